import json

import pytest

from cascade.cli import demo, main
from cascade.cli.ladder_of_digits import Effort
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import MissingExtra

LITTLE = Effort(mlp_epochs=4, n_networks=2, network_epochs=2)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The folder and the report of a demo whose networks are barely trained."""
    folder = tmp_path_factory.mktemp("demo") / "made" / "by the demo"
    return folder, demo.demonstrate(folder, seed=1, effort=LITTLE, cell_ms=50.0)


@pytest.mark.slow
def test_the_folder_gets_picture_numbers_policy_and_service_times(shown):
    folder, report = shown
    assert sorted(path.name for path in folder.iterdir()) == [
        "curve.png",
        "policy.json",
        "results.json",
        "service.json",
    ]
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(report.to_dict()))
    policy = Policy.load(folder / "policy.json")
    assert policy.stages == ("thumbnail", "linear", "mlp", "ensemble")
    assert policy.service == ServiceTable.load(folder / "service.json")


@pytest.mark.slow
def test_under_every_budget_three_ways_answer_the_same_held_out_images(shown):
    _, report = shown
    budgets_ms = [rows[0].budget_ms for rows in report.budgets]
    assert budgets_ms[-1] is None
    assert budgets_ms[:-1] == sorted(budgets_ms[:-1])
    for cascade, largest, smallest in report.budgets:
        assert cascade.contestant == "cascade"
        assert largest.contestant.startswith("largest that fits: ")
        assert smallest.contestant == "always smallest: thumbnail"
        assert {row.n for row in (cascade, largest, smallest)} == {600}
        assert sum(cascade.path_shares.values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_a_model_is_as_accurate_under_one_budget_as_under_another(shown):
    _, report = shown
    assert len({rows[2].accuracy for rows in report.budgets}) == 1


@pytest.mark.slow
def test_the_saved_policy_explains_itself(shown, capsys):
    folder, _ = shown
    assert main(["explain", "--policy", str(folder / "policy.json"), "--budget-ms", "50"]) == 0
    assert "run " in capsys.readouterr().out


@pytest.fixture
def in_little_time(monkeypatch, shown):
    """The command with the report that is there already."""
    _, report = shown
    monkeypatch.setattr(demo, "demonstrate", lambda folder, *, seed: report)


@pytest.mark.slow
def test_the_command_prints_the_report_and_where_the_files_are(in_little_time, shown, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert str(shown[1]) in printed.out
    assert f"Written to {tmp_path}/" in printed.out


@pytest.mark.slow
def test_json_is_all_that_goes_to_stdout(in_little_time, shown, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sizes"] == {"train": 697, "calibration": 500, "held_out": 600}


def test_without_matplotlib_it_says_so_before_it_trains(monkeypatch, tmp_path, capsys):
    def missing():
        raise MissingExtra("install 'cascade-inference[plots]'")

    monkeypatch.setattr(demo, "new_figure", missing)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 2
    assert capsys.readouterr().err == "error: install 'cascade-inference[plots]'\n"
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["demo", "--out", str(tmp_path / "file" / "demo")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Not a directory: ")
