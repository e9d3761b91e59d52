"""Reliability: every figure against scikit-learn or the formula written out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from cascade.calibration.fit import fit_policy
from cascade.calibration.reliability import calibration_of, reliability
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, PolicyMismatch, WeakConfidenceWarning

SERVICE = ServiceTable.from_costs([1.0, 4.0])


def ladder(n=800, k=2, c=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    logits = rng.normal(size=(n, k, c))
    logits[np.arange(n), :, labels] += np.linspace(1.5, 3.0, k) + rng.normal(size=(n, 1))
    probs = np.exp(2.0 * logits)
    return Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels)


def answers(n=500, signal=1.0, seed=0):
    """One stage that says a label and a confidence, which ranks the better the larger the signal."""
    rng = np.random.default_rng(seed)
    correct = rng.random(n) < 0.7
    labels = rng.integers(0, 3, n)
    trust = 1.0 / (1.0 + np.exp(-(signal * (correct - 0.5) + rng.normal(size=n))))
    return Outcomes.from_predictions(np.where(correct, labels, (labels + 1) % 3)[:, None], trust[:, None], labels)


def test_the_diagram_agrees_with_scikit_learn():
    outcomes = ladder()
    confidence, correct = outcomes.confidence[:, 0], outcomes.correct[:, 0]
    stage = reliability(outcomes, n_bins=10).stages["stage0"]
    accuracy, trust = calibration_curve(correct, confidence, n_bins=10)
    met = stage.counts > 0
    assert np.allclose(stage.accuracy[met], accuracy)
    assert np.allclose(stage.mean_confidence[met], trust)
    assert np.isnan(stage.accuracy[~met]).all()
    assert stage.n_items == 800
    assert np.allclose(stage.edges, np.arange(11) / 10)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_and_zero_to_the_first():
    stage = calibration_of(np.array([0.0, 0.5, 0.51, 1.0]), np.array([False, True, True, True]), 2)
    assert stage.counts.tolist() == [2, 2]


def test_the_calibration_error_is_the_mean_gap_over_items():
    confidence = np.array([0.1, 0.2, 0.9, 0.7])
    correct = np.array([False, True, True, False])
    stage = calibration_of(confidence, correct, 2)
    assert stage.ece == pytest.approx(0.5 * abs(0.15 - 0.5) + 0.5 * abs(0.8 - 0.5))
    # One bin: the gap between mean confidence and accuracy, whatever the bins' widths.
    assert calibration_of(confidence, correct, 1).ece_equal_mass == pytest.approx(abs(0.475 - 0.5))


def test_bins_of_equal_mass_hold_as_many_items_each():
    rng = np.random.default_rng(0)
    confidence = rng.beta(8, 1, 600)
    correct = rng.random(600) < confidence**2
    order = np.argsort(confidence)
    parts = np.split(order, 15)
    expected = np.mean([abs(confidence[part].mean() - correct[part].mean()) for part in parts])
    # The edges are order statistics, so a bin may differ by one item.
    assert calibration_of(confidence, correct, 15).ece_equal_mass == pytest.approx(expected, abs=0.005)


def test_equal_confidences_share_a_bin_of_equal_mass():
    correct = np.arange(100) < 60
    assert calibration_of(np.full(100, 0.6), correct, 15).ece_equal_mass == pytest.approx(0.0, abs=1e-12)


def test_scores_of_the_confidence_agree_with_scikit_learn():
    outcomes = answers()
    confidence, correct = outcomes.confidence[:, 0], outcomes.correct[:, 0]
    stage = reliability(outcomes).stages["stage0"]
    assert stage.top_brier == pytest.approx(brier_score_loss(correct, confidence))
    assert stage.top_nll == pytest.approx(log_loss(correct, confidence))
    assert stage.auroc == pytest.approx(roc_auc_score(correct, confidence))
    assert stage.brier is None
    assert stage.nll is None


def test_scores_of_all_classes_agree_with_scikit_learn():
    outcomes = ladder()
    probs = np.exp(outcomes.log_probs[:, 1].astype(np.float64))
    probs /= probs.sum(axis=1, keepdims=True)
    stage = reliability(outcomes).stages["stage1"]
    assert stage.nll == pytest.approx(log_loss(outcomes.labels, probs))
    assert stage.brier == pytest.approx(((probs - np.eye(4)[outcomes.labels]) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize("correct", [[True] * 4, [False] * 4])
def test_where_all_answers_are_alike_nothing_can_be_ranked(correct):
    stage = calibration_of(np.array([0.1, 0.4, 0.6, 0.9]), np.array(correct), 15)
    assert np.isnan([stage.auroc, stage.auroc_error]).all()
    assert np.isfinite([stage.ece, stage.top_brier, stage.top_nll]).all()


@pytest.fixture(scope="module")
def fitted():
    return fit_policy(ladder(), SERVICE)


def test_a_policy_adds_its_sets_and_its_answers(fitted):
    fresh = ladder(seed=1)
    found = reliability(fresh, fitted)
    assert list(found.sets) == [("stage0",), ("stage1",), ("stage0", "stage1")]
    probs, confidence = fitted.evidence.pool(fresh.log_probs, 3)
    together = found.sets["stage0", "stage1"]
    assert together.nll == pytest.approx(log_loss(fresh.labels, probs))
    assert together.top_brier == pytest.approx(brier_score_loss(probs.argmax(axis=1) == fresh.labels, confidence))
    replayed = fitted.replay(fresh)
    assert found.answers.top_nll == pytest.approx(log_loss(replayed.correct, replayed.confidence))


def test_fitting_calibrates_a_stage_that_is_too_sure(fitted):
    found = reliability(ladder(seed=1, n=4000), fitted)
    assert found.stages["stage0"].ece > 0.1
    assert found.sets["stage0",].ece < 0.03


def test_classes_in_another_order_give_the_same_figures(fitted):
    fresh = ladder(seed=1)
    turned = Outcomes.from_probs(np.exp(fresh.log_probs[:, :, ::-1]), fresh.labels, classes=(3, 2, 1, 0))
    assert reliability(turned, fitted).sets["stage1",].nll == pytest.approx(
        reliability(fresh, fitted).sets["stage1",].nll, rel=1e-5
    )


def test_a_true_label_that_was_never_fitted_counts_as_impossible():
    rng = np.random.default_rng(0)
    said = rng.integers(0, 2, (200, 2))
    trust = rng.uniform(0.5, 1.0, (200, 2))
    labels = np.where(rng.random(200) < trust[:, 1], said[:, 1], 1 - said[:, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WeakConfidenceWarning)
        policy = fit_policy(Outcomes.from_predictions(said, trust, labels), SERVICE)
    found = reliability(Outcomes.from_predictions(said, trust, np.full(200, 7)), policy)
    assert found.sets["stage0",].nll == pytest.approx(-np.log(1e-12))
    assert found.answers.accuracy[found.answers.counts > 0].max() == 0.0


def test_a_chain_has_answers_but_pools_nothing():
    found = reliability(ladder(), Policy.from_thresholds([0.9], SERVICE))
    assert found.sets == {}
    assert found.answers.n_items == 800


def test_the_figures_print_as_a_table_with_a_row_for_each_source(fitted):
    lines = str(reliability(ladder(seed=1), fitted)).splitlines()
    assert len(lines) == 1 + 2 + 3 + 1
    assert lines[-1].startswith("(answers)")
    assert lines[-1].endswith("-")
    assert str(reliability(answers())).splitlines()[1].startswith("stage0")


def test_no_bins_are_refused():
    with pytest.raises(ConfigurationError, match="expected n_bins of at least 1, got 0"):
        reliability(ladder(), n_bins=0)


def test_a_policy_of_other_stages_is_refused(fitted):
    with pytest.raises(PolicyMismatch):
        reliability(ladder(k=3), fitted)
