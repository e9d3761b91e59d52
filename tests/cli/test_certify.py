import json

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.cli import main
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable

STAGES = ["small", "middle", "big"]


@pytest.fixture
def files(tmp_path):
    """A policy, and the words that certify it on rows that it was not fitted on."""
    rng = np.random.default_rng(0)
    labels, hardness = rng.integers(0, 4, 2500), rng.normal(size=(2500, 1))
    logits = rng.normal(size=(2500, 3, 4))
    logits[np.arange(2500), :, labels] += np.array([2.0, 2.8, 3.6]) + hardness
    probs = np.exp(logits)
    outcomes = Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels, stages=STAGES)
    fit_policy(outcomes.take(slice(0, 1000)), ServiceTable.from_costs([0.3, 2.1, 9.0], stages=STAGES)).save(
        tmp_path / "policy.json"
    )
    outcomes.take(slice(0, 1000)).save(tmp_path / "fitted.npz")
    outcomes.take(slice(1000, None)).save(tmp_path / "fresh.npz")

    def words(data="fresh.npz", **options):
        named = {"policy": tmp_path / "policy.json", "data": tmp_path / data, "out": tmp_path / "certified.json"}
        pairs = {**named, "max_risk": 0.03, **options}.items()
        return ["certify", *(part for name, value in pairs for part in (f"--{name.replace('_', '-')}", str(value)))]

    return tmp_path, words


def test_it_prints_the_promise_and_saves_the_certified_policy(files, capsys):
    folder, words = files
    assert main(words(risk="lost", delta=0.1)) == 0
    certified = Policy.load(folder / "certified.json")
    assert (certified.guarantee.risk, certified.guarantee.max_risk, certified.guarantee.n) == ("lost", 0.03, 1500)
    assert capsys.readouterr().out.startswith(certified.guarantee.explain())


def test_explain_says_what_was_promised(files, capsys):
    folder, words = files
    main(words(risk="error", max_risk=0.3))
    capsys.readouterr()
    assert main(["explain", "--policy", str(folder / "certified.json")]) == 0
    assert "the share of wrong answers is at most 0.3" in capsys.readouterr().out
    main(["explain", "--policy", str(folder / "certified.json"), "--json"])
    assert json.loads(capsys.readouterr().out)["guarantee"]["max_risk"] == 0.3


def test_json_holds_all_terms(files, capsys):
    _, words = files
    assert main([*words(reference="big", min_budget_ms=12), "--json"]) == 0
    terms = json.loads(capsys.readouterr().out)
    assert (terms["reference"], terms["min_budget_ms"], terms["risk"]) == ("big", 12.0, "drop")


def test_rows_that_were_fitted_are_refused_and_nothing_is_saved(files, capsys):
    folder, words = files
    assert main(words(data="fitted.npz")) == 2
    assert (
        "error: expected rows that the policy was not fitted on, got 1000 of 1000 that are known"
        in capsys.readouterr().err
    )
    assert not (folder / "certified.json").exists()


def test_a_promise_that_is_not_proved_is_a_failed_check_and_nothing_is_saved(files, capsys):
    folder, words = files
    assert main([*words(max_risk=0.001), "--json"]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("error: expected a drop risk of at most 0.001")
    assert "items are needed" in err
    assert not (folder / "certified.json").exists()
