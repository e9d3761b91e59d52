import json
import sys

import numpy as np
import pytest

from cascade.cli import main
from cascade.cli.bench_runs import BenchRun

MODELS = """
from cascade.testing import FakeStage

stages = [FakeStage(name, [[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]]) for name in ("small", "middle", "big")]
"""


@pytest.fixture
def folder(arrays, tmp_path, monkeypatch):
    """Three stages, a policy for them, and inputs with labels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "models_to_bench.py").write_text(MODELS, encoding="utf-8")
    np.save("inputs.npy", np.array([0, 1] * 20))
    np.save("labels.npy", np.array([0, 1] * 20))
    assert main(["fit", "--data", str(arrays), "--costs", "0.3,2,9", "--out", "policy.json"]) == 0
    yield tmp_path
    sys.modules.pop("models_to_bench", None)


def bench(*more):
    stages = ["--stages", "models_to_bench:stages", "--policy", "policy.json", "--data", "inputs.npy"]
    return main(["bench", *stages, "--rows", "10", "--rounds", "3", *more])


def rescaled(path, factor):
    """A baseline whose times are those of a run times a factor."""
    found = json.loads(path.read_text(encoding="utf-8"))
    found["latency_ms"] = (np.array(found["latency_ms"]) * factor).tolist()
    path.write_text(json.dumps(found), encoding="utf-8")


def test_what_is_measured_is_printed_and_kept(folder, capsys):
    assert bench("--labels", "labels.npy", "--out", "now.json") == 0
    text = capsys.readouterr().out
    assert "10 rows in 3 rounds" in text
    assert "saved now.json" in text
    run = BenchRun.load(folder / "now.json")
    assert run.stages == ("small", "middle", "big")
    assert run.latency_ms.shape == run.in_time.shape == run.correct.shape == (3, 10)
    assert (run.yardstick_ms > 0.0).all()
    assert run.in_time.all()


@pytest.mark.slow
def test_a_baseline_that_was_much_faster_makes_it_fail(folder, capsys):
    assert bench("--labels", "labels.npy", "--out", "base.json") == 0
    rescaled(folder / "base.json", 1e-3)
    assert bench("--labels", "labels.npy", "--compare", "base.json") == 1
    out, err = capsys.readouterr()
    assert "WORSE" in out
    assert err.startswith("error: latency, typical is worse than the baseline: +")
    assert "measure a new baseline if that is how it is to be" in err


@pytest.mark.slow
def test_a_baseline_that_was_much_slower_does_not(folder, capsys):
    assert bench("--out", "base.json") == 0
    rescaled(folder / "base.json", 1e3)
    capsys.readouterr()
    assert bench("--compare", "base.json", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [change["is_worse"] for change in found["changes"]] == [False] * 3
    assert found["n_rows"] == 10


@pytest.mark.slow
def test_a_baseline_from_elsewhere_is_said_to_be_from_there(folder, capsys):
    assert bench("--out", "base.json") == 0
    found = json.loads((folder / "base.json").read_text(encoding="utf-8"))
    found["stamp"]["n_cpus"] = 999
    (folder / "base.json").write_text(json.dumps(found), encoding="utf-8")
    rescaled(folder / "base.json", 1e3)
    assert bench("--compare", "base.json") == 0
    assert "the number of usable CPUs was 999" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("no json", "expected what 'cascade bench --out' wrote"),
        ("[]", "expected what 'cascade bench --out' wrote"),
        ('{"format": 9}', "expected format 1"),
    ],
)
def test_a_file_that_is_no_baseline_is_an_error(folder, capsys, content, why):
    (folder / "base.json").write_text(content, encoding="utf-8")
    assert bench("--compare", "base.json") == 2
    assert why in capsys.readouterr().err


def test_rounds_of_different_rows_are_an_error(folder, capsys):
    assert bench("--out", "base.json") == 0
    found = json.loads((folder / "base.json").read_text(encoding="utf-8"))
    found["in_time"] = found["in_time"][:-1]
    (folder / "base.json").write_text(json.dumps(found), encoding="utf-8")
    assert bench("--compare", "base.json") == 2
    assert "expected rounds of as many rows each" in capsys.readouterr().err


def test_labels_of_other_inputs_are_an_error(folder, capsys):
    np.save("few.npy", np.zeros(3))
    assert bench("--labels", "few.npy", "--out", "now.json") == 2
    assert "expected one label for each of the 40 inputs" in capsys.readouterr().err


def test_without_anywhere_to_go_nothing_is_measured(folder, capsys):
    assert bench() == 2
    assert "expected --out, to keep what is measured, or --compare, or both" in capsys.readouterr().err
