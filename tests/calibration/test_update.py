"""Refitting on feedback: what is accepted, what is not, and what cannot be compared at all."""

from dataclasses import replace

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.calibration.risk import control_risk
from cascade.calibration.update import policy_digest, update_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import (
    ConfigurationError,
    DataError,
    LabelShiftWarning,
    PolicyMismatch,
    ReusedData,
    SmallSampleWarning,
    WeakConfidenceWarning,
)

NAMES = ("small", "big")
SERVICE = ServiceTable.from_costs([1.0, 10.0], stages=NAMES)


def drawn(n, seed, gain=(1.5, 3.0), c=4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    logits = rng.normal(size=(n, 2, c))
    logits[np.arange(n), :, labels] += gain
    probs = np.exp(logits)
    return Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels, stages=NAMES)


OLD_DATA = drawn(800, 0)
OLD = fit_policy(OLD_DATA, SERVICE)
EASY = drawn(900, 7, gain=(3.0, 3.1))
"""The small stage has become nearly as good as the big one."""


def test_feedback_that_says_the_same_changes_nothing():
    update = update_policy(OLD, drawn(900, 2))
    assert not update.accepted
    assert "more labelled items may tell" in update.reason
    assert update.accuracy_difference.ci_low < 0.0 < update.accuracy_difference.ci_high


def test_the_bar_of_the_fit_can_be_left_out(capsys, monkeypatch):
    monkeypatch.setattr("cascade.core.progress._SHOWN_AFTER_S", 0.0)
    update_policy(OLD, drawn(900, 2), progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_policy_that_is_surely_more_accurate_is_accepted():
    blind = fit_policy(drawn(300, 3, gain=(3.0, 0.3)), SERVICE)
    update = update_policy(blind, drawn(900, 4, gain=(0.4, 3.0)))
    assert (update.accepted, update.reason) == (True, "it is more accurate")
    assert update.accuracy > update.previous_accuracy
    assert update.accuracy_difference.ci_low > 0.0


def test_a_policy_that_is_surely_faster_is_accepted_if_it_loses_as_little_as_is_allowed():
    strict, generous = (update_policy(OLD, EASY, max_loss=loss) for loss in (0.005, 0.05))
    assert strict.ms_difference.ci_high < 0.0
    assert (strict.accepted, generous.accepted) == (False, True)
    assert "may lose more than 0.005" in strict.reason
    assert generous.reason == "it is faster and loses at most 0.05 in accuracy"


def test_where_costs_count_accuracy_is_weighed_against_them():
    """The small stage is the slow one, but costs less: saving nine units is worth more than a few points."""
    service = ServiceTable.from_costs([1.0, 10.0], time_ms=[10.0, 1.0], stages=NAMES)
    policy = fit_policy(OLD_DATA, service, 0.0, cost_weight=0.02)
    update = update_policy(policy, EASY)
    assert update.cost_difference.ci_high < 0.0 < update.ms_difference.ci_low
    assert update.accuracy < update.previous_accuracy
    assert update.accepted
    assert update.reason.startswith("accuracy less 0.02 per unit of cost changes by +0.1")


def test_where_costs_count_the_same_again_is_not_worth_more():
    policy = fit_policy(OLD_DATA, SERVICE, 0.0, cost_weight=0.002)
    assert not update_policy(policy, drawn(900, 2)).accepted


def test_a_guarantee_does_not_carry_over():
    certified = control_risk(OLD, drawn(600, 20), max_risk=0.2)
    update = update_policy(certified.policy, drawn(600, 2))
    assert update.policy.guarantee is None
    assert "does not carry over" in update.reason


def test_what_is_compared_on_is_not_fitted_on():
    feedback = drawn(900, 2)
    update = update_policy(OLD, feedback)
    assert (update.n_fit, update.n_check, update.policy.n_items) == (600, 300, 600)
    n_found, n_told = update.policy.rows.n_reused(feedback)
    assert (n_found, n_told) == (600, 900)
    replayed = update.policy.replay(feedback).accuracy, update.accuracy
    assert replayed[0] != replayed[1]


def test_an_update_keeps_the_settings_and_service_times_of_the_policy():
    policy = fit_policy(OLD_DATA, SERVICE, 0.02, cost_weight=0.001, level=0.95)
    new = update_policy(policy, drawn(600, 2)).policy
    assert (new.service, new.drop, new.cost_weight, new.level) == (SERVICE, 0.02, 0.001, 0.95)
    assert new.classes == policy.classes


def test_versions_form_a_chain_that_can_be_told_apart():
    first = update_policy(OLD, drawn(600, 2))
    second = update_policy(first.policy, drawn(600, 3), version=first.version)
    assert (first.version, second.version) == (2, 3)
    assert (first.parent, second.parent) == (policy_digest(OLD), first.digest)
    assert first.digest != first.parent
    assert first.previous is OLD
    assert policy_digest(Policy.from_dict(OLD.to_dict())) == policy_digest(OLD)


def test_earlier_items_are_fitted_on_as_well():
    update = update_policy(OLD, drawn(600, 2), earlier=OLD_DATA)
    assert (update.n_fit, update.n_check, update.policy.n_items) == (1200, 200, 1200)


def test_the_budget_is_that_of_the_comparison():
    update = update_policy(OLD, drawn(600, 2), budget_ms=2.0)
    assert (update.mean_ms, update.previous_mean_ms) == (1.0, 1.0)


def test_the_same_seed_gives_the_same_update_and_another_one_another():
    feedback = drawn(600, 2)
    one, same, other = (update_policy(OLD, feedback, seed=seed) for seed in (0, 0, 1))
    assert one.digest == same.digest != other.digest


def test_labels_that_only_feedback_knows_become_classes_where_stages_say_labels():
    rng = np.random.default_rng(0)

    def votes(names, n):
        truth = rng.choice(names, n)
        said = np.where(rng.random((n, 2)) < [0.7, 0.9], truth[:, None], rng.choice(names, (n, 2)))
        trust = np.where(said == truth[:, None], rng.beta(5, 2, (n, 2)), rng.beta(2, 4, (n, 2)))
        return Outcomes.from_predictions(said, trust, truth, stages=NAMES)

    policy = fit_policy(votes(["cat", "dog"], 400), SERVICE)
    with pytest.warns(LabelShiftWarning, match="most of all 'owl'"):
        update = update_policy(policy, votes(["cat", "dog", "owl"], 600))
    assert update.policy.classes == ("cat", "dog", "owl")
    assert update.accepted


def test_the_report_says_what_was_found():
    said = str(update_policy(OLD, drawn(600, 2)))
    assert said.startswith("Version 2 (")
    assert "is not accepted" in said
    assert "Fitted on 400 items, compared on 200 others" in said


def test_labels_in_other_shares_than_fitted_are_pointed_out_at_the_line_of_the_caller():
    feedback = drawn(1200, 2)
    fewer_zeros = np.flatnonzero((feedback.labels > 0) | (np.arange(1200) % 3 == 0))
    with pytest.warns(LabelShiftWarning, match="most of all 0, -1") as caught:
        update_policy(OLD, feedback.take(fewer_zeros))
    assert caught[0].filename == __file__


def test_a_confidence_that_ranks_nothing_is_pointed_out():
    feedback = drawn(600, 2, gain=(0.0, 3.0))
    with pytest.warns(WeakConfidenceWarning, match="'small'"):
        update_policy(OLD, feedback)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"check_share": 0.0}, ConfigurationError, "check_share between 0 and 1"),
        ({"delta": 1.0}, ConfigurationError, "delta between 0 and 1"),
        ({"max_loss": -0.1}, ConfigurationError, "max_loss in"),
        ({"check_share": 0.01}, DataError, "wait for more feedback"),
        ({"check_share": 0.99}, DataError, "wait for more feedback"),
        ({"earlier": drawn(600, 2)}, ReusedData, "not among the earlier items"),
    ],
)
def test_what_cannot_be_compared_is_refused(keywords, error, message):
    with pytest.raises(error, match=message):
        update_policy(OLD, drawn(600, 2), **keywords)


def test_items_that_the_policy_was_fitted_on_are_refused():
    with pytest.raises(ReusedData, match="the comparison would favour it"):
        update_policy(OLD, OLD_DATA)


def test_too_few_items_are_refused_and_few_ones_warned_of():
    with pytest.raises(DataError, match="expected at least 50 labelled items"):
        update_policy(OLD, drawn(149, 2))
    with pytest.warns(SmallSampleWarning):
        update_policy(OLD, drawn(150, 2), check_share=0.5)


def test_other_stages_and_chains_are_refused():
    feedback = drawn(600, 2)
    with pytest.raises(PolicyMismatch):
        update_policy(OLD, replace(feedback, stages=("one", "two")))
    with pytest.raises(ConfigurationError, match="chain of thresholds"):
        update_policy(Policy.from_thresholds([0.9], SERVICE), feedback)
    with pytest.raises(DataError, match="recorded like the outcomes"):
        update_policy(OLD, feedback, earlier=replace(drawn(600, 9), log_probs=None))
