"""Recalibrated confidences at the ends of their range, and the edges of bins."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.calibration.transitions import bin_edges, count_statistics, recalibrated

TOP = np.array([0.0, 1e-9, 0.3, 0.5, 0.9, 1.0])


@pytest.mark.parametrize("slope", [40.0, 1e6])
def test_a_steep_curve_does_not_overflow(slope):
    trust = recalibrated(TOP, np.array([slope, 0.0]))
    assert trust == pytest.approx([0.0, 0.0, 0.0, 0.5, 1.0, 1.0], abs=1e-12)


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_a_large_shift_does_not_overflow(shift):
    assert recalibrated(TOP, np.array([1.0, shift])).tolist() == [float(shift > 0)] * len(TOP)


def test_slope_one_without_shift_changes_nothing():
    assert recalibrated(TOP, np.array([1.0, 0.0])) == pytest.approx(TOP, abs=1e-11)


def test_a_rising_curve_keeps_the_order():
    trust = recalibrated(np.linspace(0.0, 1.0, 101), np.array([0.7, -0.4]))
    assert (np.diff(trust) > 0.0).all()


def accuracies_of(right_at, seed=0):
    """Accuracy of the bins of one stage whose item with confidence u is right with probability ``right_at(u)``."""
    rng = np.random.default_rng(seed)
    confidence = np.repeat(rng.random((4000, 1)), 2, axis=1)
    correct = rng.random((4000, 1)) < right_at(confidence)
    statistics = count_statistics(confidence, correct, (-1,), 0.5)
    middle = np.concatenate([[0.0], statistics.edges[1], [1.0]])
    return 0.5 * (middle[1:] + middle[:-1]), statistics.accuracy[1]


def test_bins_follow_a_confidence_that_foretells_what_is_right():
    centre, accuracy = accuracies_of(lambda u: u)
    # 83 rows per bin by themselves would miss by .04 on average.
    assert np.abs(accuracy - centre).mean() < 0.02


def test_bins_follow_their_own_outcomes_where_the_confidence_misleads():
    centre, accuracy = accuracies_of(lambda u: np.where(u < 0.5, 0.1, 0.9))
    assert np.abs(accuracy - np.where(centre < 0.5, 0.1, 0.9)).mean() < 0.04


def test_edges_of_very_many_items_are_nearly_those_of_all():
    confidence = np.random.default_rng(0).beta(4, 1, 300_001)
    edges = bin_edges(confidence, 4)
    shares = np.searchsorted(np.sort(confidence), edges) / len(confidence)
    # The mass below the middle edge is a half; a third of the items place it within three standard errors.
    assert shares[1] == pytest.approx(0.5, abs=3 * 0.5 / np.sqrt(100_000))
    ranks = np.arange(1, 4) / 4
    mass = 0.5 * ranks + 0.5 * np.sin(0.5 * np.pi * ranks) ** 2
    assert np.array_equal(bin_edges(confidence[:150_000], 4), np.quantile(confidence[:150_000], mass))
