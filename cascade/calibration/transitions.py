"""From held-out confidences to the statistics of the dynamic program: bins, accuracies, transitions.

Pure. Everything is counted on predictions made without the item's own fold, so that the table is not
optimistic, and smoothed once: accuracy is made monotone, transitions borrow from neighbouring bins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import betaln, expit

from cascade.core.evidence import reachable_sets
from cascade.core.fit_kernels import blur_moves, joint_counts
from cascade.core.induction import Statistics
from cascade.core.records import FloatArray, IntArray

MAX_BINS = 48
_ROWS_PER_BIN = 20
_ROWS_FOR_EDGES = 100_000
"""Enough to place the edges of bins by: an edge need not be an exact quantile."""
_NARROW, _WIDE = 0.033, 0.16
"""Widths of the blur over transitions, as shares of the number of bins."""
_WIDE_ROWS = 10.0
_TRUSTS = np.array([3.0, 5.0, *(10.0 * 2.0 ** np.arange(9))])
"""Rows that the mean recalibrated confidence of a bin may count for beside the bin's own outcomes."""


def fit_recalibration(top: FloatArray, correct: NDArray[np.bool_]) -> FloatArray:
    """Slope and shift of a logistic curve from top probability to the probability of being right.

    Parameters
    ----------
    top : ndarray, shape (n,)
        Held-out top probabilities.
    correct : ndarray of bool, shape (n,)

    References
    ----------
    Platt (1999), Probabilistic Outputs for Support Vector Machines.
    """
    trust = np.clip(top, 1e-12, 1.0 - 1e-12)
    design = np.stack([np.log(trust / (1.0 - trust)), np.ones_like(trust)], axis=1)
    params, ridge = np.array([1.0, 0.0]), np.array([4.0, 4.0])
    for _ in range(30):
        z = np.clip(design @ params, -40.0, 40.0)
        p = 1.0 / (1.0 + np.exp(-z))
        gradient = design.T @ (p - correct) + ridge * (params - [1.0, 0.0])
        curvature = (design * (p * (1.0 - p))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        params = params - step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    # A falling curve would turn the ranking round; with no signal it is better to keep the order given.
    return params if params[0] > 0.05 else np.array([0.05, params[1]])


def recalibrated(top: FloatArray, recal: FloatArray) -> FloatArray:
    """Confidences (n,) from top probabilities (n,), by the slope and shift of a logistic curve."""
    trust = np.clip(top, 1e-12, 1.0 - 1e-12)
    # Written out, a steep curve overflows where it is zero.
    return np.asarray(expit(recal[0] * np.log(trust / (1.0 - trust)) + recal[1]))


def bin_edges(confidence: FloatArray, n_bins: int) -> FloatArray:
    """Inner edges of ``n_bins`` bins, narrower in mass at both ends, where decisions are made."""
    grid = np.arange(1, n_bins) / n_bins
    mass = 0.5 * grid + 0.5 * np.sin(0.5 * np.pi * grid) ** 2
    return np.quantile(confidence[:: max(1, len(confidence) // _ROWS_FOR_EDGES)], mass)


def count_statistics(
    confidence: FloatArray, correct: NDArray[np.bool_], requires: tuple[int, ...], prior_accuracy: float
) -> Statistics:
    """The statistics of the dynamic program from held-out confidences.

    Parameters
    ----------
    confidence : ndarray, shape (n, 2**K)
        Recalibrated held-out confidence of every item under every evidence set.
    correct : ndarray of bool, shape (n, 2**K)
        Whether the pooled answer was right.
    requires : tuple of int
        Predecessor of each stage, -1 for none.
    prior_accuracy : float
        Accuracy of answering without running any stage.
    """
    n, n_sets = confidence.shape
    k = len(requires)
    n_bins = int(np.clip(n // _ROWS_PER_BIN, 4, MAX_BINS))
    edges = np.zeros((n_sets, n_bins - 1))
    accuracy = np.full((n_sets, n_bins), prior_accuracy)
    bins = np.zeros((n_sets, n), np.int64)
    sets = reachable_sets(requires)
    for s in sets[1:]:
        column = np.ascontiguousarray(confidence[:, s])
        edges[s] = bin_edges(column, n_bins)
        bins[s] = np.searchsorted(edges[s], column, side="right")
        accuracy[s] = _bin_accuracy(bins[s], column, correct[:, s], n_bins)
    transitions = np.zeros((n_sets, k, n_bins, n_bins), np.float32)
    plain = Statistics(requires, edges, accuracy, transitions)
    for s in sets:
        for j in plain.next_stages(s):
            transitions[s, j] = _transition(bins[s], bins[s | 1 << j], n_bins)
    return plain


def _bin_accuracy(bins: IntArray, confidence: FloatArray, correct: NDArray[np.bool_], n_bins: int) -> FloatArray:
    """Accuracy per bin, shrunk towards the mean confidence there and made monotone."""
    rows = np.bincount(bins, minlength=n_bins).astype(np.float64)
    trust = np.bincount(bins, confidence, minlength=n_bins)
    right = np.bincount(bins[correct], minlength=n_bins).astype(np.float64)
    centre = np.where(rows > 0, trust / np.maximum(rows, 1.0), np.nan)
    filled = np.isnan(centre)
    if filled.any():
        known = np.flatnonzero(~filled)
        centre[filled] = np.interp(np.flatnonzero(filled), known, centre[known])
    counts_for = _rows_of_confidence(rows, right, centre)
    shrunk = (right + counts_for * centre) / (rows + counts_for)
    monotone: FloatArray = isotonic_regression(shrunk, weights=rows + counts_for).x
    return monotone


def _rows_of_confidence(rows: FloatArray, right: FloatArray, centre: FloatArray) -> float:
    """How many rows the mean confidence of each bin counts for, from how well it foretold the right answers of all bins.

    Right answers are beta-binomial around the confidence. The weight is the harmonic mean over the posterior, since what
    is averaged is the variance of the accuracies around the confidence, which is as one over the rows.
    """
    expected = np.clip(centre, 1e-3, 1.0 - 1e-3)
    yes, no = _TRUSTS[:, None] * expected, _TRUSTS[:, None] * (1.0 - expected)
    fit = (betaln(right + yes, rows - right + no) - betaln(yes, no)).sum(axis=1)
    posterior = np.exp(fit - fit.max())
    return float(posterior.sum() / (posterior / _TRUSTS).sum())


def _transition(before: IntArray, after: IntArray, n_bins: int) -> NDArray[np.float32]:
    """Transition probabilities between bins; bins with few rows borrow from their neighbours."""
    counts = np.zeros((n_bins, n_bins))
    joint_counts(before, after, counts)
    narrow, wide = np.zeros_like(counts), np.zeros_like(counts)
    blur_moves(counts, _NARROW * n_bins, narrow)
    blur_moves(counts, _WIDE * n_bins, wide)
    wide /= np.maximum(wide.sum(axis=1, keepdims=True), 1e-12)
    smooth = narrow + _WIDE_ROWS * wide + 1e-9
    return np.asarray(smooth / smooth.sum(axis=1, keepdims=True), np.float32)
