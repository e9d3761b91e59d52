import json

import numpy as np
import pytest

from cascade.cli import main
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable


def fit(arrays, out, *more):
    return main(["fit", "--data", str(arrays), "--out", str(out), *more])


@pytest.fixture
def out(tmp_path):
    return tmp_path / "policy.json"


def test_it_saves_a_policy_over_the_stages_of_the_file(arrays, out, capsys):
    assert fit(arrays, out, "--costs", "0.3,2.1,9.0") == 0
    policy = Policy.load(out)
    assert policy.stages == ("small", "middle", "big")
    assert policy.service.costs.tolist() == [0.3, 2.1, 9.0]
    assert "fitted on 450 rows; everything below is on the 150 rows kept back" in capsys.readouterr().out


def test_the_table_shows_the_policy_and_every_stage_alone(arrays, out, capsys):
    assert fit(arrays, out, "--costs", "0.3,2.1,9.0") == 0
    text = capsys.readouterr().out
    for choice in ("policy, unloaded", "policy, priced", "only small", "only middle", "only big"):
        assert choice in text


def test_json_adds_up_to_the_rows_kept_back(arrays, out, capsys):
    assert fit(arrays, out, "--costs", "0.3,2.1,9.0", "--held-out", "0.5", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["n_fitted"], summary["n_held_out"]) == (300, 300)
    assert [line["choice"] for line in summary["singles"]] == ["small", "middle", "big"]
    for line in summary["policies"]:
        assert sum(line["path_shares"].values()) == pytest.approx(1.0)
        assert line["ci_low"] <= line["accuracy"] <= line["ci_high"]


def test_higher_prices_cost_no_more(arrays, out, capsys):
    assert fit(arrays, out, "--costs", "0.3,2.1,9.0", "--json") == 0
    priced = [line for line in json.loads(capsys.readouterr().out)["policies"] if line["choice"] == "priced"]
    assert len(priced) >= 3
    assert priced[0]["mean_cost"] > priced[-1]["mean_cost"]
    assert [line["price"] for line in priced] == sorted(line["price"] for line in priced)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_policy(arrays, tmp_path, capsys):
    for name in ("a.json", "b.json"):
        assert fit(arrays, tmp_path / name, "--costs", "1,2,4", "--seed", "5") == 0
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


def test_measured_times_and_costs_stand_side_by_side(arrays, out, tmp_path, capsys):
    ServiceTable.from_costs([0.1, 0.5, 2.0], stages=["small", "middle", "big"]).save(tmp_path / "service.json")
    assert fit(arrays, out, "--costs", "1,10,100", "--service", str(tmp_path / "service.json")) == 0
    service = Policy.load(out).service
    assert service.mean_ms[:, 0].tolist() == [0.1, 0.5, 2.0]
    assert service.costs.tolist() == [1.0, 10.0, 100.0]


@pytest.mark.slow
def test_a_larger_drop_makes_the_unloaded_policy_cheaper(arrays, tmp_path, capsys):
    costs = []
    for drop in ("0", "0.3"):
        assert fit(arrays, tmp_path / "p.json", "--costs", "1,4,16", "--max-accuracy-drop", drop, "--json") == 0
        costs.append(json.loads(capsys.readouterr().out)["policies"][0]["mean_cost"])
    assert costs[1] < costs[0]


def test_few_rows_are_a_warning_in_one_line(tmp_path, out, capsys):
    rng = np.random.default_rng(1)
    path = tmp_path / "few.npz"
    labels, predictions = rng.integers(0, 2, 80), rng.integers(0, 2, (80, 2))
    confidence = rng.uniform(0.3, 0.8, (80, 2)) + 0.2 * (predictions == labels[:, None])
    np.savez(path, labels=labels, predictions=predictions, confidence=confidence)
    assert fit(path, out, "--costs", "1,2") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: 60 labelled items for 2 stages, fewer than 50 each")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "expected --costs A,B,... or --service JSON, got neither"),
        (["--costs", "1,2"], "expected 3 costs, one per stage small, middle, big, got 2"),
        (["--costs", "1,2,-3"], "costs"),
        (["--costs", "1,2,4", "--max-accuracy-drop", "2"], "expected max_accuracy_drop in [0, 1] or None, got 2.0"),
        (["--costs", "1,2,4", "--held-out", "0.0001"], "expected enough rows to keep a share of 0.0001 back, got 600"),
    ],
)
def test_arguments_that_cannot_work_say_why(arrays, out, more, message, capsys):
    assert fit(arrays, out, *more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not out.exists()


def test_service_times_of_other_stages_are_refused(arrays, out, tmp_path, capsys):
    ServiceTable.from_costs([1.0, 2.0, 4.0], stages=["a", "b", "c"]).save(tmp_path / "service.json")
    assert fit(arrays, out, "--service", str(tmp_path / "service.json")) == 2
    assert "('a', 'b', 'c')" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(tmp_path, out, capsys):
    assert fit(tmp_path / "none.npz", out, "--costs", "1,2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: expected a file of outcomes at ")
    assert "none.npz, got 'No such file or directory' on opening it: check the path" in line


def test_a_file_without_labels_lists_what_it_has(tmp_path, out, capsys):
    np.savez(tmp_path / "arrays.npz", scores=[[0.5]])
    assert fit(tmp_path / "arrays.npz", out, "--costs", "1,2") == 2
    assert "got ['scores']" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"PK\x03\x04 is how an archive begins", b"text", b""])
def test_a_file_that_is_no_archive_is_refused(tmp_path, out, content, capsys):
    (tmp_path / "arrays.npz").write_bytes(content)
    assert fit(tmp_path / "arrays.npz", out, "--costs", "1,2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: expected an npz archive at ")


def test_a_single_array_is_refused(tmp_path, out, capsys):
    np.save(tmp_path / "array.npy", np.zeros((3, 2)))
    assert fit(tmp_path / "array.npy", out, "--costs", "1,2") == 2
    assert "got a single array: save all arrays in one file with numpy.savez" in capsys.readouterr().err


def answers_as_csv(arrays, path):
    """What the models of the arrays say, a row for each item."""
    table = Outcomes.load(arrays)
    with path.open("w", encoding="utf-8") as file:
        print("label", *(f"{name}_label,{name}_confidence" for name in table.stages), sep=",", file=file)
        for truth, said, sure in zip(table.labels, table.predicted, table.confidence, strict=True):
            print(truth, *(f"{label},{trust}" for label, trust in zip(said, sure, strict=True)), sep=",", file=file)
    return path


def test_a_sheet_of_answers_is_fitted_too(arrays, tmp_path, out, capsys):
    assert fit(answers_as_csv(arrays, tmp_path / "answers.csv"), out, "--costs", "0.3,2.1,9.0") == 0
    policy = Policy.load(out)
    assert policy.stages == ("small", "middle", "big")
    assert policy.classes == (0, 1, 2, 3)
    assert "fitted on 450 rows" in capsys.readouterr().out


def test_saved_outcomes_give_the_policy_of_the_arrays_they_came_from(arrays, tmp_path, capsys):
    Outcomes.load(arrays).save(tmp_path / "outcomes.npz")
    for data, name in ((arrays, "a.json"), (tmp_path / "outcomes.npz", "b.json")):
        assert fit(data, tmp_path / name, "--costs", "1,2,4") == 0
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


def test_a_sheet_with_other_columns_names_them(tmp_path, out, capsys):
    (tmp_path / "answers.csv").write_text("truth,small\n1,1\n")
    assert fit(tmp_path / "answers.csv", out, "--costs", "1,2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "error: expected the columns label, then <stage>_label and <stage>_confidence for every stage"
    )
    assert line.endswith("got 'truth', 'small': rename them")


def test_the_help_names_both_kinds_of_files(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    text = capsys.readouterr().out
    assert "--data FILE" in text
    assert "--data answers.csv" in text
    assert "NAME_label, NAME_confidence" in text
