"""Policies: fitting, looking up, replaying, saving, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import (
    ConfigurationError,
    CorruptPolicy,
    DataError,
    PolicyMismatch,
    SmallSampleWarning,
)

SERVICE = ServiceTable.from_costs([1.0, 4.0, 10.0])


def ladder(n=900, k=3, c=4, seed=0):
    """Outcomes of stages that get more accurate, with shared hardness."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    hardness = rng.normal(size=(n, 1))
    logits = rng.normal(size=(n, k, c))
    logits[np.arange(n), :, labels] += np.linspace(1.5, 3.5, k) + hardness
    probs = np.exp(logits)
    return Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels)


@pytest.fixture(scope="module")
def policy():
    return fit_policy(ladder(), SERVICE)


def test_replay_with_no_deadline_beats_the_first_stage_and_costs_less_than_all(policy):
    fresh = ladder(seed=1)
    result = policy.replay(fresh)
    assert result.accuracy > fresh.correct[:, 0].mean() + 0.05
    assert result.mean_cost < 15.0
    assert sum(result.path_counts.values()) == fresh.n_items


def test_replay_stays_within_the_budget_where_any_stage_fits(policy):
    for budget_ms in (1.0, 4.0, 5.0, 11.0, 15.0):
        assert policy.replay(ladder(seed=1), budget_ms=budget_ms).time_ms.max() <= budget_ms + 1e-9


def test_a_budget_below_every_stage_is_answered_by_the_fastest(policy):
    assert policy.replay(ladder(seed=1), budget_ms=0.5).path_counts == {("stage0",): 900}


def test_expected_accuracy_never_falls_as_the_budget_grows(policy):
    budgets = np.linspace(1.0, 16.0, 40)
    accuracy = [policy.expected(float(b)).accuracy for b in budgets]
    assert np.all(np.diff(accuracy) >= -1e-9)


def test_expected_time_never_grows_with_the_price(policy):
    decisions = policy.decisions()
    assert np.all(np.diff(decisions.mean_ms, axis=0) <= 0.05 * decisions.mean_ms[:-1] + 1e-6)


def test_no_stage_runs_twice_for_an_item(policy):
    for path in policy.replay(ladder(seed=2), price=1e-4).path_counts:
        assert len(set(path)) == len(path)


def test_expected_accuracy_is_what_fresh_data_show(policy):
    shown = np.mean([policy.replay(ladder(seed=s, n=4000)).accuracy for s in (3, 4)])
    # Two standard errors of 900 fitted and 8000 fresh rows.
    assert abs(policy.expected().accuracy - shown) < 0.03


def test_a_saved_and_loaded_policy_is_equal_and_answers_the_same(policy, tmp_path):
    policy.save(tmp_path / "policy.json")
    loaded = Policy.load(tmp_path / "policy.json")
    assert loaded == policy
    fresh = ladder(seed=1)
    assert np.array_equal(loaded.replay(fresh, budget_ms=5.0).labels, policy.replay(fresh, budget_ms=5.0).labels)


def test_permuting_the_rows_permutes_the_answers(policy):
    fresh = ladder(seed=5)
    order = np.random.default_rng(0).permutation(fresh.n_items)
    assert np.array_equal(policy.replay(fresh).labels[order], policy.replay(fresh.take(order)).labels)


@pytest.mark.parametrize("seed", range(3))
def test_one_stage_is_that_stage(seed):
    alone = ladder(k=1, seed=seed)
    lone = fit_policy(alone, ServiceTable.from_costs([1.0]))
    assert np.array_equal(lone.replay(alone).labels, alone.predicted[:, 0])


def test_labels_with_confidences_are_stacked_and_replayed_with_unknown_labels(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 600)
    said = np.where(rng.random((600, 2)) < [0.6, 0.9], truth[:, None], rng.integers(0, 3, (600, 2)))
    names = np.array(["cat", "dog", "eel"])
    recorded = Outcomes.from_predictions(names[said], rng.uniform(0.5, 1.0, (600, 2)), names[truth])
    fitted = fit_policy(recorded, ServiceTable.from_costs([1.0, 5.0]))
    fitted.save(tmp_path / "stacked.json")
    assert Policy.load(tmp_path / "stacked.json") == fitted
    strange = Outcomes.from_predictions([["yak", "dog"]], [[0.9, 0.9]], ["dog"])
    assert fitted.replay(strange).labels.tolist()[0] in names


def test_retiming_changes_the_plan_and_nothing_that_was_learned(policy):
    slow = policy.retime(ServiceTable.from_costs([1.0, 40.0, 100.0]))
    assert slow.statistics is policy.statistics
    assert slow.retime(SERVICE) == policy


def test_a_chain_exits_at_its_threshold():
    chain = Policy.from_thresholds([0.8, 0.7], SERVICE)
    outcomes = ladder(seed=6)
    result = chain.replay(outcomes)
    goes_on = outcomes.confidence[:, 0] < 0.8
    assert result.path_counts[("stage0",)] == int((~goes_on).sum())
    assert chain.replay(outcomes, budget_ms=4.9).path_counts == {("stage0",): 900}


def test_thresholds_and_explanation_name_the_stages(policy):
    rows = policy.thresholds(budget_ms=15.0)
    assert rows[0].evidence == ()
    assert all(row.evidence for row in list(rows)[1:])
    assert "Expected: accuracy" in policy.explain(budget_ms=15.0)
    assert "no stage fits" in policy.explain(budget_ms=0.1)


def test_bad_arguments_are_refused_in_words(policy):
    with pytest.raises(ConfigurationError, match="expected 2 thresholds"):
        Policy.from_thresholds([0.5], SERVICE)
    with pytest.raises(ConfigurationError, match=r"in \[0, 1\]"):
        Policy.from_thresholds([0.5, 1.5], SERVICE)
    with pytest.raises(ConfigurationError, match="expected budget_ms >= 0"):
        policy.replay(ladder(), budget_ms=-1.0)
    with pytest.raises(ConfigurationError, match="expected a price >= 0"):
        policy.replay(ladder(), price=-1.0)
    with pytest.raises(ConfigurationError, match="has no prices"):
        Policy.from_thresholds([0.5, 0.5], SERVICE).replay(ladder(), price=0.1)
    with pytest.raises(PolicyMismatch, match="same stages"):
        policy.replay(ladder(k=2))
    with pytest.raises(PolicyMismatch, match="profile these stages"):
        policy.retime(ServiceTable.from_costs([1.0, 2.0]))


def test_fitting_refuses_what_cannot_be_fitted():
    with pytest.raises(DataError, match="only 1"):
        fit_policy(Outcomes.from_probs(np.full((60, 2, 2), 0.5), np.ones(60, int)), ServiceTable.from_costs([1.0, 2.0]))
    with pytest.raises(ConfigurationError, match="at most 8 stages"):
        fit_policy(ladder(n=500, k=9), ServiceTable.from_costs(np.arange(1.0, 10.0)))
    with pytest.warns(SmallSampleWarning, match="standard error of an accuracy is up to 5.0 points"):
        fit_policy(ladder(n=100), SERVICE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.pop("statistics"),
        lambda data: data.update(format="cascade.Policy/99"),
        lambda data: data["statistics"]["accuracy"].update(base64="AAAA"),
        lambda data: data["stages"].append("ghost"),
        lambda data: data["evidence"]["weights"].update(shape=[1, 1]),
    ],
)
def test_a_damaged_file_is_called_damaged(policy, tmp_path, damage):
    data = policy.to_dict()
    damage(data)
    (tmp_path / "bad.json").write_text(json.dumps(data))
    with pytest.raises(CorruptPolicy, match="expected a"):
        Policy.load(tmp_path / "bad.json")


def test_a_truncated_or_missing_file_is_called_corrupt(policy, tmp_path):
    (tmp_path / "half.json").write_text(json.dumps(policy.to_dict())[:500])
    for name in ("half.json", "missing.json"):
        with pytest.raises(CorruptPolicy, match="saved as JSON"):
            Policy.load(tmp_path / name)


def test_labels_that_json_cannot_hold_are_named(tmp_path):
    labels = [frozenset({i % 2}) for i in range(300)]
    outcomes = ladder(n=300, c=2)
    strange = Outcomes.from_probs(np.exp(outcomes.log_probs), labels, classes=[frozenset({0}), frozenset({1})])
    with pytest.raises(ConfigurationError, match="map the labels before fitting"):
        fit_policy(strange, SERVICE).save(tmp_path / "policy.json")
