"""Pooling, stacking, floors and statistics on data with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.calibration.evidence import assign_folds, fit_evidence, natural_form
from cascade.calibration.pooling import LoglinearFitter, clearly_better, fit_floors
from cascade.calibration.transitions import count_statistics, fit_recalibration, recalibrated
from cascade.core.evidence import features_of
from cascade.core.outcomes import Outcomes


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def expert_logits(rng, labels, c, strength):
    logits = rng.normal(size=(len(labels), c))
    logits[np.arange(len(labels)), labels] += strength
    return logits


@pytest.fixture(scope="module")
def truth():
    return np.random.default_rng(0).integers(0, 4, 4000)


def test_temperature_is_found_again(truth):
    rng = np.random.default_rng(1)
    # Unit normal noise with a shift of s has true log-odds s times the scores.
    honest = 2.0 * expert_logits(rng, truth, 4, 2.0)
    table = Outcomes.from_probs(softmax(3.0 * honest)[:, None], truth)
    _, inverse = fit_floors(features_of(table, "loglinear"), truth)
    assert inverse[0] == pytest.approx(1 / 3, rel=0.1)


def test_two_independent_experts_beat_each(truth):
    rng = np.random.default_rng(2)
    probs = np.stack([softmax(2.0 * expert_logits(rng, truth, 4, 2.0)) for _ in range(2)], axis=1)
    _, held_out = fit_evidence(Outcomes.from_probs(probs, truth), assign_folds(truth, 5, rng))
    singles = held_out.correct[:, [1, 2]].mean(axis=0)
    assert held_out.correct[:, 3].mean() > singles.max() + 0.05


def test_a_useless_stage_is_ignored(truth):
    rng = np.random.default_rng(3)
    good = softmax(2.0 * expert_logits(rng, truth, 4, 2.0))
    noise = softmax(3.0 * rng.normal(size=(4000, 4)))
    model, held_out = fit_evidence(
        Outcomes.from_probs(np.stack([noise, good], axis=1), truth), assign_folds(truth, 5, rng)
    )
    assert abs(model.weights[3, 0]) < 0.1 * model.weights[3, 1]
    assert held_out.correct[:, 3].mean() > held_out.correct[:, 2].mean() - 0.005


def test_equal_stages_share_the_weight(truth):
    rng = np.random.default_rng(4)
    probs = softmax(2.0 * expert_logits(rng, truth, 4, 2.0))
    model, _ = fit_evidence(Outcomes.from_probs(np.stack([probs, probs], axis=1), truth), assign_folds(truth, 5, rng))
    assert model.weights[3, 0] == pytest.approx(model.weights[3, 1], rel=1e-3)


def test_a_stage_that_rules_out_the_truth_does_not_wreck_the_pool(truth):
    rng = np.random.default_rng(5)
    good = softmax(2.0 * expert_logits(rng, truth, 4, 2.0))
    hard = np.eye(4)[np.where(rng.random(4000) < 0.7, truth, rng.integers(0, 4, 4000))]
    _, held_out = fit_evidence(Outcomes.from_probs(np.stack([hard, good], axis=1), truth), assign_folds(truth, 5, rng))
    assert held_out.correct[:, 3].mean() > held_out.correct[:, 2].mean()


def test_one_step_without_a_fold_is_close_to_an_exact_refit(truth):
    rng = np.random.default_rng(6)
    probs = np.stack([softmax(2.0 * expert_logits(rng, truth, 4, s)) for s in (1.0, 2.0)], axis=1)
    features = features_of(Outcomes.from_probs(probs, truth), "loglinear")
    folds = np.arange(4000) % 5
    quick = LoglinearFitter(features, truth, folds, 5, np.ones(2)).fit(3)
    rest = folds != 0
    exact = LoglinearFitter(features[rest], truth[rest], np.zeros(3200, int), 1, np.ones(2))
    refit = exact.fit(3)
    z = np.einsum("k,nkc->nc", refit.weights, features[~rest].astype(float)) + refit.bias
    assert quick.probs[~rest] == pytest.approx(softmax(z), abs=0.01)


def test_better_means_by_more_than_a_standard_error():
    rng = np.random.default_rng(7)
    base = rng.random(500)
    assert clearly_better(base - 0.1, base)
    assert not clearly_better(base + rng.normal(0, 1.0, 500) * 1e-9, base)
    assert not clearly_better(base, base - 0.1)


def test_stacking_mends_a_stage_that_swaps_two_labels():
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 3, 1500)
    swapped = np.array([1, 0, 2])[labels]
    said = np.stack([swapped, np.where(rng.random(1500) < 0.5, labels, 2)], axis=1)
    table = Outcomes.from_predictions(said, np.full((1500, 2), 0.8), labels)
    assert natural_form(table) == "stacked"
    _, held_out = fit_evidence(table, assign_folds(labels, 5, rng))
    assert held_out.correct[:, 1].mean() > 0.99


def test_recalibration_finds_the_share_that_is_right():
    rng = np.random.default_rng(9)
    top = rng.uniform(0.4, 0.99, 20000)
    right = rng.random(20000) < top**2
    trust = recalibrated(top, fit_recalibration(top, right))
    for low in (0.4, 0.6, 0.8):
        inside = (top >= low) & (top < low + 0.2)
        assert trust[inside].mean() == pytest.approx(right[inside].mean(), abs=0.03)


def test_statistics_are_probabilities_and_accuracy_never_falls(truth):
    rng = np.random.default_rng(10)
    probs = np.stack([softmax(2.0 * expert_logits(rng, truth, 4, s)) for s in (1.0, 2.0)], axis=1)
    _, held_out = fit_evidence(Outcomes.from_probs(probs, truth), assign_folds(truth, 5, rng))
    statistics = count_statistics(held_out.confidence, held_out.correct, (-1, -1), 0.25)
    assert statistics.transitions[1, 1].sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert np.all(np.diff(statistics.accuracy[1:], axis=1) >= 0)
    assert np.all(np.diff(statistics.edges[1:], axis=1) >= 0)


def two_stages(n, seed, kind):
    """Probabilities (n, 2, 10) and labels: a weak and a strong stage, one of them spoiled."""
    rng = np.random.default_rng(seed)
    labels, hardness = rng.integers(0, 10, n), rng.normal(size=n)
    logits = rng.normal(size=(n, 2, 10))
    logits[np.arange(n), :, labels] += np.array([2.2, 3.0]) + hardness[:, None]
    if kind == "useless":
        logits[:, 0] = rng.normal(size=(n, 10))
    elif kind == "equal":
        logits[:, 0] = logits[:, 1]
    elif kind == "confidently wrong":
        spoiled = rng.random(n) < 0.3
        logits[spoiled, 0] = 12.0 * np.eye(10)[rng.integers(0, 10, int(spoiled.sum()))]
    elif kind == "hopeless items":
        foreign = rng.random(n) < 0.2
        labels = np.where(foreign, rng.integers(0, 10, n), labels)
    probs = np.exp(logits - logits.max(axis=2, keepdims=True))
    return probs / probs.sum(axis=2, keepdims=True), labels


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 1000])
@pytest.mark.parametrize("says", ["scores", "labels"])
@pytest.mark.parametrize("kind", ["plain", "useless", "equal", "confidently wrong", "hopeless items"])
def test_pooling_is_never_worse_than_the_best_member(kind, says, n):
    # On 20,000 fresh items a difference of accuracies has a standard error of at most .35 points.
    differences = []
    for seed in range(3):
        probs, labels = two_stages(n + 20_000, seed, kind)
        if says == "scores":
            outcomes = Outcomes.from_probs(probs, labels)
        else:
            outcomes = Outcomes.from_predictions(probs.argmax(axis=2), probs.max(axis=2), labels)
        fresh = outcomes.take(np.arange(n, n + 20_000))
        evidence, _ = fit_evidence(outcomes.take(np.arange(n)), assign_folds(labels[:n], 5, np.random.default_rng(0)))
        pooled, _ = evidence.pool(features_of(fresh, evidence.form), 0b11)
        differences.append((pooled.argmax(axis=1) == fresh.labels).mean() - fresh.correct.mean(axis=0).max())
    assert np.mean(differences) > -0.004
    if kind == "plain":
        assert np.mean(differences) > 0.01


def test_a_set_with_a_useless_stage_uses_the_fit_of_its_best_part():
    probs, labels = two_stages(2000, 0, "useless")
    evidence, held_out = fit_evidence(
        Outcomes.from_predictions(probs.argmax(axis=2), probs.max(axis=2), labels),
        assign_folds(labels, 5, np.random.default_rng(0)),
    )
    assert (held_out.confidence[:, 0b11] == held_out.confidence[:, 0b10]).all()
    assert (evidence.recal[0b11] == evidence.recal[0b10]).all()
