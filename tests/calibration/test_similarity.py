"""A threshold of similarity keeps its promise about neighbours' answers, and none is given where nothing is proved."""

import numpy as np
import pytest

from cascade.calibration.similarity import control_similarity, neighbour_pairs
from cascade.errors import ConfigurationError, EmptyBatch, InputMismatch, NotCertifiable

MAX_RISK = 0.05


def pairs(n, seed, slope=0.5, floor=0.0):
    """Pairs whose answers are the more often wrong the less alike they are: share = floor + slope * distance."""
    rng = np.random.default_rng(seed)
    similarity = 1.0 - 10.0 ** rng.uniform(-4.0, 0.0, n)
    return similarity, rng.random(n) < floor + slope * (1.0 - similarity)


def true_risk(threshold, slope=0.5, floor=0.0):
    """Mean share of wrong answers above a threshold, for log-uniform distances from 1e-4 on."""
    furthest = 1.0 - threshold
    return floor + slope * (furthest - 1e-4) / np.log(furthest / 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("slope", "floor"), [(0.5, 0.0), (0.9, 0.02), (0.2, 0.045)])
def test_the_promise_is_broken_no_more_often_than_stated(slope, floor):
    delta, n_broken, n_trials = 0.2, 0, 600
    for seed in range(n_trials):
        try:
            found = control_similarity(*pairs(1500, seed, slope, floor), MAX_RISK, delta)
        except NotCertifiable:
            continue
        n_broken += true_risk(found.threshold, slope, floor) > MAX_RISK
    # Four standard deviations above the stated share: a false alarm once in 30,000.
    assert n_broken <= n_trials * delta + 4.0 * np.sqrt(n_trials * delta * (1.0 - delta))


def test_more_pairs_prove_a_lower_similarity():
    few, many = control_similarity(*pairs(2000, 1), MAX_RISK), control_similarity(*pairs(50_000, 2), MAX_RISK)
    assert many.threshold < few.threshold
    assert true_risk(many.threshold) <= MAX_RISK
    assert true_risk(many.threshold - 0.15) > MAX_RISK


def test_where_few_pairs_are_very_alike_a_lower_start_may_still_prove_something():
    rng = np.random.default_rng(0)
    similarity = 1.0 - rng.uniform(0.03, 0.05, 3000)
    found = control_similarity(similarity, rng.random(3000) < 0.01, MAX_RISK)
    assert found.threshold < 0.97
    assert found.n_taken == int((similarity >= found.threshold).sum())


def test_the_threshold_counts_what_is_exactly_as_alike():
    similarity = np.full(500, 1.0 - 10.0 ** (-40 / 20.0))
    found = control_similarity(similarity, np.zeros(500), MAX_RISK)
    assert found.n_taken == 500
    assert found.shown == 0.0


@pytest.mark.parametrize("n", [5, 2000])
def test_where_nothing_is_proved_the_error_says_how_many_pairs_it_takes(n):
    similarity, _ = pairs(n, 0)
    wrong = np.arange(n) % 4 == 0 if n > 5 else np.zeros(n)
    with pytest.raises(NotCertifiable, match="at least 90 pairs"):
        control_similarity(similarity, wrong, MAX_RISK)


def test_the_promise_is_put_in_words():
    text = str(control_similarity(*pairs(5000, 3), MAX_RISK))
    assert "at most 5.00% are wrong, with probability 0.95" in text


@pytest.mark.parametrize(
    ("similarity", "wrong", "settings", "error"),
    [
        ([], [], {}, EmptyBatch),
        ([0.5], [0, 1], {}, InputMismatch),
        ([np.nan], [0], {}, InputMismatch),
        ([0.5], [0.3], {}, InputMismatch),
        ([0.5], [0], {"max_risk": 0.0}, ConfigurationError),
        ([0.5], [0], {"delta": 1.0}, ConfigurationError),
    ],
)
def test_what_cannot_work_is_refused(similarity, wrong, settings, error):
    with pytest.raises(error, match="expected"):
        control_similarity(similarity, wrong, **{"max_risk": 0.1, **settings})


def test_every_request_is_beside_its_nearest_neighbour():
    rng = np.random.default_rng(0)
    known, requests = rng.normal(size=(60, 8)), rng.normal(size=(2500, 8))
    answers, labels = rng.integers(0, 3, 60), rng.integers(0, 3, 2500)
    similarity, wrong = neighbour_pairs(known, answers, requests, labels)
    cosines = (requests @ known.T) / np.outer(np.linalg.norm(requests, axis=1), np.linalg.norm(known, axis=1))
    np.testing.assert_allclose(similarity, cosines.max(axis=1), atol=1e-6)
    assert (wrong == (answers[cosines.argmax(axis=1)] != labels)).all()


@pytest.mark.parametrize(
    ("known", "answers", "requests", "labels"),
    [
        (np.ones((2, 3)), "ab", np.ones((2, 4)), "ab"),
        (np.ones((2, 3)), "a", np.ones((2, 3)), "ab"),
        (np.ones((2, 3)), "ab", np.ones((2, 3)), "a"),
        (np.ones(3), "a", np.ones((2, 3)), "ab"),
    ],
)
def test_embeddings_and_answers_that_do_not_fit_together_are_refused(known, answers, requests, labels):
    with pytest.raises(InputMismatch, match="expected"):
        neighbour_pairs(known, answers, requests, labels)
