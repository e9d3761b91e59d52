"""Label shift: the test against SciPy's, its false alarms at the stated rate, and a warning that says what moved."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import chi2_contingency, fisher_exact

from cascade.calibration.fit import fit_policy
from cascade.calibration.label_shift import check_labels, label_shift
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, LabelShiftWarning

SERVICE = ServiceTable.from_costs([1.0])


def outcomes_of(labels, seed=0):
    """One stage that is right on four of five, more surely where it is right."""
    rng = np.random.default_rng(seed)
    labels = np.asarray(labels)
    right = rng.random(len(labels)) < 0.8
    said = np.where(right, labels, np.roll(labels, 1))
    trust = np.clip(0.5 + 0.3 * (said == labels) + 0.1 * rng.normal(size=len(labels)), 0.0, 1.0)
    return Outcomes.from_predictions(said[:, None], trust[:, None], labels)


def drawn(shares, n, seed):
    return outcomes_of(np.random.default_rng(seed).choice(len(shares), n, p=shares))


def test_the_statistic_and_its_p_value_agree_with_scipy():
    before, after = drawn([0.5, 0.3, 0.2], 400, 0), drawn([0.4, 0.3, 0.3], 300, 1)
    shift = label_shift(before, after)
    expected = chi2_contingency([shift.fitted, shift.checked], correction=False)
    assert (shift.statistic, shift.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert not shift.exact
    assert shift.classes == (0, 1, 2)
    assert (shift.fitted.sum(), shift.checked.sum()) == (400, 300)


def test_the_p_value_of_small_counts_is_exact():
    before, after = outcomes_of([0] * 9 + [1] * 3), outcomes_of([0] * 2 + [1] * 6)
    shift = label_shift(before, after)
    assert shift.exact
    # Fisher orders the tables by their probability, which for these margins is the order of the statistic too.
    expected = fisher_exact([shift.fitted, shift.checked]).pvalue
    assert shift.p_value == pytest.approx(expected, abs=4 * np.sqrt(expected / 9999))


@pytest.mark.slow
@pytest.mark.parametrize(("shares", "n"), [([0.5, 0.3, 0.2], 300), ([0.9, 0.07, 0.02, 0.01], 60)])
def test_without_a_shift_small_p_values_are_as_rare_as_they_say(shares, n):
    found = [label_shift(drawn(shares, n, seed), drawn(shares, n, 1000 + seed)).p_value for seed in range(200)]
    # 5 % of 200, and three standard errors of that.
    assert np.sum(np.array(found) <= 0.05) <= 10 + 3 * np.sqrt(200 * 0.05 * 0.95)


def test_the_counts_of_a_policy_are_those_it_was_fitted_on():
    before = drawn([0.55, 0.3, 0.15], 997, 0)
    assert label_shift(fit_policy(before, SERVICE), before).fitted.tolist() == np.bincount(before.labels).tolist()


def test_a_class_that_only_one_side_has_met_counts():
    shift = label_shift(outcomes_of([0, 1] * 100), outcomes_of([0, 1, 2, 2] * 50))
    assert shift.classes == (0, 1, 2)
    assert (shift.fitted.tolist(), shift.checked.tolist()) == ([100, 100, 0], [50, 50, 100])
    assert shift.p_value < 1e-6
    assert shift.distance == pytest.approx(0.5)


def test_the_same_shares_are_no_shift():
    shift = label_shift(outcomes_of([0, 1] * 50), outcomes_of([0, 1] * 80))
    assert (shift.p_value, shift.distance) == (1.0, 0.0)


def test_one_class_alone_cannot_shift():
    assert label_shift(outcomes_of([3] * 9), outcomes_of([3] * 5)).p_value == 1.0


def test_checking_warns_with_the_class_that_moved_most():
    policy = fit_policy(drawn([0.6, 0.2, 0.2], 500, 0), SERVICE)
    with pytest.warns(LabelShiftWarning, match=r"p = .*most of all 0, -\d\d\.\d points.*fit it again") as seen:
        shift = check_labels(policy, drawn([0.2, 0.4, 0.4], 500, 1), 2)
    assert shift.p_value < 1e-6
    assert seen[0].filename == __file__


def test_checking_without_a_shift_warns_of_nothing():
    policy = fit_policy(drawn([0.6, 0.2, 0.2], 500, 0), SERVICE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_labels(policy, drawn([0.6, 0.2, 0.2], 500, 1), 2)


def test_a_chain_set_by_hand_was_fitted_to_no_labels():
    chain = Policy.from_thresholds([0.9], ServiceTable.from_costs([1.0, 2.0]))
    with pytest.raises(
        ConfigurationError, match="expected a policy that was fitted to labels, got a chain set by hand"
    ):
        label_shift(chain, outcomes_of([0, 1]))
