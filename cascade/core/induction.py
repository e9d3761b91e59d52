"""Backward induction over the lattice of evidence sets: fitted statistics and service times become decisions.

Pure. The recursion solved here, for a set S of stages run, a bin b of the pooled confidence, time left r
and price λ, is

    V(S, b, r) = max( acc(S, b),  max over j not in S with q_j <= r of
                      E[ V(S + j, b', r - T_j) | S, b ] - λ t_j - κ c_j )

with q_j an upper quantile and t_j the mean of stage j's service time, T_j three atoms of its
distribution, and c_j a cost in the user's unit with weight κ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.core.evidence import reachable_sets
from cascade.core.records import FloatArray, IntArray

STOP = -1
MAX_TIME_CLASSES = 48
_TIE = 1e-9
"""Gains in accuracy below this are ties, which go to the cheaper action."""
_ROUNDING_MS = 1e-9
"""Slack for sums of durations that are equal on paper but not in floating point."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """What was learned about confidence, independent of any machine.

    Attributes
    ----------
    requires : tuple of int
        Stage that must have run before each stage, -1 for none; length K.
    edges : ndarray, shape (2**K, B - 1)
        Inner edges of the confidence bins of each set, ascending.
    accuracy : ndarray, shape (2**K, B)
        Probability of being right when stopping in each bin; never falls along the bins.
    transitions : ndarray of float32, shape (2**K, K, B, B)
        ``[S, j, b, b']``: probability that stage j leads from bin b of S to bin b' of S + j.
    """

    requires: tuple[int, ...]
    edges: FloatArray
    accuracy: FloatArray
    transitions: NDArray[np.float32]

    @property
    def n_stages(self) -> int:
        """Number of stages K."""
        return len(self.requires)

    def next_stages(self, evidence_set: int) -> list[int]:
        """Stages that may run next: not run yet, and with their predecessor run."""
        return [
            j
            for j, before in enumerate(self.requires)
            if not evidence_set >> j & 1 and (before < 0 or evidence_set >> before & 1)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class StageTimes:
    """Service times of K stages in one batch regime.

    Attributes
    ----------
    mean_ms, upper_ms : ndarray, shape (K,)
        Mean time per item, and upper quantile of the time of a whole batch.
    atoms_ms, weights : ndarray, shape (K, 3) and (3,)
        Three values of the time of a whole batch, and their probabilities.
    costs : ndarray, shape (K,)
        Cost per item in the user's unit.
    cost_weight : float
        Accuracy worth one unit of cost (κ).
    """

    mean_ms: FloatArray
    upper_ms: FloatArray
    atoms_ms: FloatArray
    weights: FloatArray
    costs: FloatArray
    cost_weight: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Solved decisions for L prices in one batch regime.

    Attributes
    ----------
    prices : ndarray, shape (L,)
        Accuracy per millisecond, ascending.
    time_edges_ms : ndarray, shape (R,)
        Lower ends of the classes of time left, ascending from 0; the last is infinite.
    actions : ndarray of int8, shape (2**K, L, R, B)
        Index of the stage to run, or `STOP`.
    accuracy, mean_ms, mean_cost : ndarray, shape (L, R)
        Expected accuracy, time and cost of a fresh request.
    """

    prices: FloatArray
    time_edges_ms: FloatArray
    actions: NDArray[np.int8]
    accuracy: FloatArray
    mean_ms: FloatArray
    mean_cost: FloatArray

    def time_class(self, left_ms: float) -> int:
        """The class of a remaining time in milliseconds; 0 for none left."""
        return int(time_classes(self.time_edges_ms, left_ms))


def time_classes(edges_ms: FloatArray, left_ms: FloatArray | float) -> IntArray:
    """Class of each remaining time: the last edge not above it, 0 for none left."""
    return np.maximum(np.searchsorted(edges_ms, np.asarray(left_ms) + _ROUNDING_MS, side="right") - 1, 0)


def time_edges(statistics: Statistics, times: StageTimes) -> FloatArray:
    """Remaining times at which the set of feasible continuations changes, thinned to `MAX_TIME_CLASSES`.

    Immediate feasibility stays exact: every stage's own upper quantile is always kept.
    """
    sums = [
        float(times.atoms_ms[[i for i in range(statistics.n_stages) if s >> i & 1], a].sum() + times.upper_ms[j])
        for s in reachable_sets(statistics.requires)
        for j in statistics.next_stages(s)
        for a in range(times.weights.shape[0])
    ]
    needed = np.unique(np.concatenate([[0.0], times.upper_ms]))
    wished = np.unique(np.array(sums))
    room = MAX_TIME_CLASSES - 1 - needed.shape[0]
    if wished.shape[0] > room:
        # Even spacing in rank keeps most classes where most plans begin to fit.
        wished = wished[np.unique(np.linspace(0, wished.shape[0] - 1, max(room, 1)).round().astype(int))]
    edges = np.unique(np.concatenate([needed, wished]))
    apart = np.concatenate([[True], np.diff(edges) > 1e-7 * np.maximum(edges[1:], 1e-9)])
    return np.concatenate([edges[apart], [np.inf]])


def solve(statistics: Statistics, times: StageTimes, prices: FloatArray) -> Decisions:
    """Optimal decisions for every price and every class of time left.

    Parameters
    ----------
    statistics : Statistics
    times : StageTimes
    prices : ndarray, shape (L,)
        Accuracy per millisecond, >= 0.

    Notes
    -----
    O(2**K K B**2 L R) time and O(2**K B L R) memory.
    """
    edges = time_edges(statistics, times)
    n_sets, n_bins = statistics.accuracy.shape
    actions = np.full((n_sets, len(prices), len(edges), n_bins), STOP, np.int8)
    spent_ms = np.zeros((n_sets, n_bins, len(prices), len(edges)), np.float32)
    spent_cost = np.zeros_like(spent_ms)
    landing = landing_classes(times, edges)
    start = np.zeros(0)
    for s, stop, options in backward(statistics, times, prices, edges):
        best = np.broadcast_to(stop, spent_ms[s].shape).copy()
        for j, value in options:
            better = value > best + _TIE
            if not better.any():
                continue
            best = np.where(better, value, best)
            actions[s][better.transpose(1, 2, 0)] = j
            after = s | 1 << j
            for spent, own in ((spent_ms, times.mean_ms[j]), (spent_cost, times.costs[j])):
                onward = expected(statistics.transitions[s, j], spent[after], landing[j], times.weights) + own
                spent[s] = np.where(better, onward, spent[s])
        start = best[0]
    start_ms, start_cost = spent_ms[0, 0].astype(np.float64), spent_cost[0, 0].astype(np.float64)
    accuracy = start + prices[:, None] * start_ms + times.cost_weight * start_cost
    # Where no stage fits there is nothing but the prior to value.
    accuracy = np.where(np.isfinite(accuracy), accuracy, statistics.accuracy[0, 0])
    return Decisions(prices, edges, actions, accuracy, start_ms, start_cost)


Options = list[tuple[int, NDArray[np.float32]]]


def backward(
    statistics: Statistics, times: StageTimes, prices: FloatArray, edges: FloatArray
) -> Iterator[tuple[int, FloatArray, Options]]:
    """Every set from the fullest to the empty one, with the value of stopping and of each stage that may run next.

    Stopping has shape (B, 1, 1), running (B, L, R); the cheapest stage comes first, so that ties can go to it.
    Nothing is answered from no stage at all: stopping at the empty set is worth minus infinity.
    """
    n_sets, n_bins = statistics.accuracy.shape
    value = np.zeros((n_sets, n_bins, len(prices), len(edges)), np.float32)
    landing = landing_classes(times, edges)
    blur = gain_blur(n_bins)
    cheapest_first = [int(j) for j in np.lexsort((times.costs, times.mean_ms))]
    for s in reversed(reachable_sets(statistics.requires)):
        successors = statistics.next_stages(s)
        options: Options = []
        stop = statistics.accuracy[s][:, None, None] if s else np.full((n_bins, 1, 1), -np.inf)
        value[s] = stop
        for j in (j for j in cheapest_first if j in successors):
            # Before any stage has run there is a single bin: row 0.
            step = statistics.transitions[s, j] if s else np.repeat(statistics.transitions[0, j, :1], n_bins, axis=0)
            onward = expected(step, value[s | 1 << j], landing[j], times.weights)
            onward -= (prices * times.mean_ms[j] + times.cost_weight * times.costs[j]).astype(np.float32)[None, :, None]
            if s:
                onward = stop.astype(np.float32) + np.tensordot(blur, onward - stop.astype(np.float32), axes=1)
            onward[:, :, edges + _ROUNDING_MS < times.upper_ms[j]] = -np.inf
            np.maximum(value[s], onward, out=value[s])
            options.append((j, onward))
        yield s, stop, options


GAIN_BLUR = 0.04
"""Width of the blur over gains, as a share of the number of bins."""


def gain_blur(n_bins: int) -> NDArray[np.float32]:
    """Weights (B, B) that average the gain of running a stage over neighbouring bins."""
    apart = np.subtract.outer(np.arange(n_bins), np.arange(n_bins)) / max(GAIN_BLUR * n_bins, 1e-6)
    weights = np.exp(-0.5 * apart**2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def landing_classes(times: StageTimes, edges: FloatArray) -> IntArray:
    """Class of the time left after each atom of each stage, shape (K, 3, R)."""
    with np.errstate(invalid="ignore"):
        left = edges[None, None, :] - times.atoms_ms[:, :, None] + _ROUNDING_MS
    return np.maximum(np.searchsorted(edges, left, side="right") - 1, 0)


def expected(
    step: NDArray[np.float32], after: NDArray[np.float32], landing: IntArray, weights: FloatArray
) -> NDArray[np.float32]:
    """Expectation over the next bin and the time taken, shape (B, L, R)."""
    n_bins, n_prices, n_classes = after.shape
    over_bins = (step @ after.reshape(n_bins, -1)).reshape(n_bins, n_prices, n_classes)
    if (landing == landing[0]).all():
        return over_bins[:, :, landing[0]]
    mixed = np.zeros_like(over_bins)
    for weight, where in zip(weights, landing, strict=True):
        mixed += np.float32(weight) * over_bins[:, :, where]
    return mixed
