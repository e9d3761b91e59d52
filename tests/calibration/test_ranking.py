"""Ranking: the AUROC and its error, and a warning for a stage whose confidence does not rank, rarely by chance."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cascade.calibration.fit import fit_policy
from cascade.calibration.ranking import ranking_of, warn_of_weak_confidence
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.errors import WeakConfidenceWarning

SERVICE = ServiceTable.from_costs([1.0, 4.0])


def answers(n=500, signal=1.0, seed=0):
    """One stage that says a label and a confidence, which ranks the better the larger the signal."""
    rng = np.random.default_rng(seed)
    correct = rng.random(n) < 0.7
    labels = rng.integers(0, 3, n)
    trust = 1.0 / (1.0 + np.exp(-(signal * (correct - 0.5) + rng.normal(size=n))))
    return Outcomes.from_predictions(np.where(correct, labels, (labels + 1) % 3)[:, None], trust[:, None], labels)


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_ranking_counts_ties_half(levels):
    rng = np.random.default_rng(1)
    confidence = rng.integers(0, levels, 300) / levels
    correct = rng.random(300) < 0.4 + 0.4 * confidence
    assert ranking_of(confidence, correct).auroc == pytest.approx(roc_auc_score(correct, confidence))


@pytest.mark.slow
def test_the_error_of_a_ranking_is_its_spread_over_samples():
    found = [
        ranking_of(outcomes.confidence[:, 0], outcomes.correct[:, 0])
        for outcomes in (answers(seed=seed) for seed in range(200))
    ]
    spread = np.std([ranking.auroc for ranking in found])
    # 200 samples leave the spread a standard error of 5 %, so 3 of these.
    assert np.mean([ranking.error for ranking in found]) == pytest.approx(spread, rel=0.15)


def test_a_wrong_answer_that_is_alone_has_a_rank_but_no_error():
    ranking = ranking_of(np.array([0.1, 0.4, 0.6, 0.9]), np.array([True, False, True, True]))
    assert ranking.auroc == pytest.approx(2 / 3)
    assert np.isnan(ranking.error)


def test_fitting_names_a_stage_whose_confidence_does_not_rank():
    good, bad = answers(signal=3.0), answers(signal=0.0)
    both = Outcomes.from_predictions(
        np.concatenate([good.predicted, bad.predicted], axis=1),
        np.concatenate([good.confidence, bad.confidence], axis=1),
        good.labels,
        stages=["good", "bad"],
    )
    with pytest.warns(
        WeakConfidenceWarning, match=r"stage 'bad' \(AUROC 0\.\d\d, at most 0\.\d\d at 95 %\): .*leave"
    ) as seen:
        fit_policy(both, SERVICE)
    assert seen[0].filename == __file__
    assert "good" not in str(seen[0].message)


def test_a_constant_confidence_does_not_rank():
    outcomes = answers()
    constant = Outcomes.from_predictions(outcomes.predicted, np.full((500, 1), 0.9), outcomes.labels)
    with pytest.warns(WeakConfidenceWarning, match="AUROC 0.50, at most 0.50"):
        warn_of_weak_confidence(constant, 1)


@pytest.mark.slow
@pytest.mark.parametrize("n", [12, 30, 100])
def test_few_items_do_not_warn_by_chance_more_often_than_stated(n):
    # A normal deviate that separates right from wrong by this much has an AUROC of 0.6.
    signal = np.sqrt(2.0) * 0.2533
    alarms = 0
    for seed in range(400):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn_of_weak_confidence(answers(n=n, signal=signal, seed=seed), 1)
        alarms += len(caught)
    # One in twenty of 400, and three standard errors of that.
    assert alarms <= 20 + 3 * np.sqrt(400 * 0.05 * 0.95)
