"""Fitting policies: what comes out is sound, repeatable and no better than it says; what cannot be fitted is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, DataError, PolicyMismatch, SmallSampleWarning

SERVICE = ServiceTable.from_costs([1.0, 4.0, 10.0])


def ladder(n=900, k=3, c=4, seed=0, gain=2.0):
    """Stages that get more accurate and share the hardness of the items."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    logits = rng.normal(size=(n, k, c))
    logits[np.arange(n), :, labels] += np.linspace(1.5, 1.5 + gain, k) + rng.normal(size=(n, 1))
    probs = np.exp(logits)
    return Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels)


@pytest.fixture(scope="module")
def policy():
    return fit_policy(ladder(), SERVICE)


def test_the_same_seed_gives_the_same_policy_and_another_one_another(policy):
    assert fit_policy(ladder(), SERVICE) == policy
    assert fit_policy(ladder(), SERVICE, seed=1) != policy


def test_a_bar_over_long_work_changes_nothing_and_can_be_left_out(policy, capsys, monkeypatch):
    monkeypatch.setattr("cascade.core.progress._SHOWN_AFTER_S", 0.0)
    assert fit_policy(ladder(), SERVICE, progress=False) == policy
    assert capsys.readouterr() == ("", "")
    assert fit_policy(ladder(), SERVICE) == policy
    assert "0/7" in capsys.readouterr().err


def test_outcomes_are_not_written_into():
    outcomes = ladder(n=300)
    before = outcomes.log_probs.copy()
    fit_policy(outcomes, SERVICE)
    assert np.array_equal(outcomes.log_probs, before)


def test_a_policy_knows_what_it_was_fitted_on(policy):
    assert (policy.stages, policy.classes, policy.n_items) == (("stage0", "stage1", "stage2"), (0, 1, 2, 3), 900)
    assert (policy.service, policy.requires, policy.chain) == (SERVICE, (-1, -1, -1), None)


def test_by_default_at_most_half_a_point_is_given_up(policy):
    assert 0.0 <= policy.drop <= 0.005
    best = policy.expected(price=0.0)
    assert policy.expected().accuracy >= best.accuracy - policy.drop - 1e-9
    assert policy.expected().mean_ms <= best.mean_ms


@pytest.mark.parametrize("drop", [0.0, 0.01, 0.1])
def test_no_more_is_given_up_than_is_allowed(policy, drop):
    fitted = fit_policy(ladder(), SERVICE, drop)
    for budget_ms in (None, 5.0, 12.0):
        assert fitted.expected(budget_ms).accuracy >= fitted.expected(budget_ms, price=0.0).accuracy - drop - 1e-9
    assert fitted.expected().mean_ms <= policy.expected(price=0.0).mean_ms + 1e-9


def test_all_the_accuracy_may_be_given_up():
    fitted = fit_policy(ladder(), SERVICE, 1.0)
    assert fitted.replay(ladder(seed=1)).path_counts == {("stage0",): 900}


def test_the_audit_is_in_order_and_shows_accuracies(policy):
    modelled, shown = policy.audit
    assert np.all(np.diff(modelled) > 0.0)
    assert np.all(np.diff(shown) >= -1e-12)
    assert shown.min() > 0.4
    assert shown.max() <= 1.0


@pytest.mark.slow
def test_expectations_are_not_optimistic():
    gaps = []
    for seed in range(12):
        fitted = fit_policy(ladder(n=400, seed=seed), SERVICE)
        gaps.append(fitted.expected().accuracy - fitted.replay(ladder(n=6000, seed=100 + seed)).accuracy)
    # 400 rows leave a standard error of 1 point each: 0.3 for the mean of twelve, so 3 of these.
    assert abs(np.mean(gaps)) < 0.01


def test_a_cost_that_counts_makes_the_plan_cheaper():
    money = ServiceTable.from_costs([1.0, 40.0, 100.0], time_ms=[1.0, 1.0, 1.0])
    fresh = ladder(seed=1)
    free, dear = (fit_policy(ladder(), money, cost_weight=weight).replay(fresh).mean_cost for weight in (0.0, 0.002))
    assert dear < 0.7 * free


def test_stages_that_take_no_time_can_be_fitted():
    service = ServiceTable.from_costs([1.0, 2.0, 3.0], time_ms=[0.0, 0.0, 0.0])
    assert fit_policy(ladder(n=300), service).replay(ladder(seed=1)).accuracy > 0.7


def test_stages_that_are_always_right_are_asked_but_once():
    labels = np.arange(300) % 3
    probs = np.repeat(np.eye(3)[labels][:, None, :], 2, axis=1)
    fitted = fit_policy(Outcomes.from_probs(probs, labels), ServiceTable.from_costs([1.0, 2.0]))
    assert fitted.replay(Outcomes.from_probs(probs, labels)).path_counts == {("stage0",): 300}
    assert fitted.expected().accuracy > 0.98


@pytest.mark.filterwarnings("ignore::cascade.errors.WeakConfidenceWarning")
@pytest.mark.parametrize("kind", ["uniform", "always wrong", "one label said"])
def test_stages_without_a_clue_can_be_fitted(kind):
    labels = np.arange(300) % 3
    said = {"uniform": np.full((300, 3), 1 / 3), "always wrong": np.eye(3)[(labels + 1) % 3]}.get(
        kind, np.eye(3)[labels * 0]
    )
    outcomes = Outcomes.from_probs(np.stack([said, said], axis=1), labels)
    fitted = fit_policy(outcomes, ServiceTable.from_costs([1.0, 2.0]))
    assert np.isfinite(fitted.expected().accuracy)
    assert np.isfinite(fitted.replay(outcomes).confidence).all()


@pytest.mark.slow
def test_eight_stages_are_fitted_exactly():
    fitted = fit_policy(ladder(n=500, k=8), ServiceTable.from_costs(np.geomspace(1.0, 30.0, 8)))
    assert fitted.replay(ladder(k=8, seed=1)).accuracy > 0.85


def test_labels_of_one_class_teach_nothing():
    outcomes = Outcomes.from_probs(np.full((60, 2, 2), 0.5), ["yes"] * 60, classes=["no", "yes"])
    with pytest.raises(DataError, match="expected labels of at least two classes, got only 'yes': nothing can be told"):
        fit_policy(outcomes, ServiceTable.from_costs([1.0, 2.0]))


def test_fewer_items_than_folds_are_refused():
    with pytest.raises(DataError, match="expected at least 5 labelled items, one for each fold, got 4"):
        fit_policy(ladder(n=4), SERVICE)


@pytest.mark.parametrize("n", [5, 20, 149])
def test_fewer_than_fifty_items_a_stage_warn_with_the_consequence(n):
    error = 100 * 0.5 / np.sqrt(n)
    with pytest.warns(
        SmallSampleWarning, match=f"{n} labelled items for 3 stages, fewer than 50 each: .* up to {error:.1f} points"
    ):
        fitted = fit_policy(ladder(n=n, seed=3), SERVICE)
    assert fitted.replay(ladder(seed=1)).accuracy > 0.3


def test_the_warning_points_at_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_policy(ladder(n=60), SERVICE)
    assert caught[0].filename == __file__


def test_fifty_items_a_stage_are_enough():
    fit_policy(ladder(n=150), SERVICE)


def test_more_than_eight_stages_are_refused():
    with pytest.raises(ConfigurationError, match="expected at most 8 stages, got 9: drop those"):
        fit_policy(ladder(n=500, k=9), ServiceTable.from_costs(np.arange(1.0, 10.0)))


def test_outcomes_and_service_times_must_be_of_the_same_stages():
    with pytest.raises(PolicyMismatch, match="expected service times of 3 stages .* got 2"):
        fit_policy(ladder(n=300), ServiceTable.from_costs([1.0, 2.0]))
    with pytest.raises(PolicyMismatch, match="got those of .'a', 'b', 'c'."):
        fit_policy(ladder(n=300), ServiceTable.from_costs([1.0, 2.0, 3.0], stages=["a", "b", "c"]))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"max_accuracy_drop": -0.1}, r"expected max_accuracy_drop in \[0, 1\] or None, got -0.1"),
        ({"max_accuracy_drop": 1.1}, "expected max_accuracy_drop"),
        ({"max_accuracy_drop": float("nan")}, "expected max_accuracy_drop .* got nan"),
        ({"cost_weight": -1.0}, "expected a finite cost_weight >= 0, got -1.0"),
        ({"cost_weight": float("inf")}, "expected a finite cost_weight >= 0, got inf"),
        ({"cost_weight": float("nan")}, "expected a finite cost_weight >= 0, got nan"),
        ({"level": 0.3}, r"expected level in \[0.5, 0.999\], .* got 0.3"),
        ({"level": 0.9999}, "expected level .* got 0.9999"),
        ({"level": float("nan")}, "expected level .* got nan"),
    ],
)
def test_numbers_out_of_range_are_refused_in_words(keywords, message):
    with pytest.raises(ConfigurationError, match=message):
        fit_policy(ladder(n=300), SERVICE, **keywords)
