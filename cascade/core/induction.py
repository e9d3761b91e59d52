"""Backward induction over the lattice of evidence sets: fitted statistics and service times become decisions.

Pure. The recursion solved here, for a set S of stages run, a bin b of the pooled confidence, time left r
and price λ, is

    V(S, b, r) = max( acc(S, b),  max over j not in S with q_j <= r of
                      E[ V(S + j, b', r - T_j) | S, b ] - λ t_j - κ c_j )

with q_j an upper quantile and t_j the mean of stage j's service time, T_j three atoms of its
distribution, and c_j a cost in the user's unit with weight κ.
"""

from __future__ import annotations

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
        return max(int(np.searchsorted(self.time_edges_ms, left_ms + _ROUNDING_MS, side="right")) - 1, 0)


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


def solve(
    statistics: Statistics, times: StageTimes, prices: FloatArray, edges_ms: FloatArray | None = None
) -> Decisions:
    """Optimal decisions for every price and every class of time left.

    Parameters
    ----------
    statistics : Statistics
    times : StageTimes
    prices : ndarray, shape (L,)
        Accuracy per millisecond, >= 0.
    edges_ms : ndarray, shape (R,), optional
        Classes of time left; by default where plans begin to fit.

    Notes
    -----
    O(2**K K B**2 L R) time and O(2**K B L R) memory.
    """
    edges = time_edges(statistics, times) if edges_ms is None else edges_ms
    n_sets, n_bins = statistics.accuracy.shape
    shape = (n_sets, len(prices), len(edges), n_bins)
    actions = np.full(shape, STOP, np.int8)
    sets = reachable_sets(statistics.requires)
    value = np.zeros((n_sets, n_bins, len(prices), len(edges)), np.float32)
    spent_ms, spent_cost = np.zeros_like(value), np.zeros_like(value)
    landing = _landing_classes(times, edges)
    cheapest_first = np.lexsort((times.costs, times.mean_ms))
    for s in reversed(sets):
        value[s] = statistics.accuracy[s][:, None, None]
        successors = set(statistics.next_stages(s))
        for j in (int(j) for j in cheapest_first if int(j) in successors):
            after = s | 1 << j
            step = statistics.transitions[s, j]
            gained = _expected(step, value[after], landing[j], times.weights)
            gained -= (prices * times.mean_ms[j] + times.cost_weight * times.costs[j]).astype(np.float32)[None, :, None]
            gained[:, :, edges + _ROUNDING_MS < times.upper_ms[j]] = -np.inf
            better = gained > value[s] + _TIE
            if not better.any():
                continue
            value[s] = np.where(better, gained, value[s])
            actions[s][better.transpose(1, 2, 0)] = j
            spent_ms[s] = np.where(
                better, _expected(step, spent_ms[after], landing[j], times.weights) + times.mean_ms[j], spent_ms[s]
            )
            spent_cost[s] = np.where(
                better, _expected(step, spent_cost[after], landing[j], times.weights) + times.costs[j], spent_cost[s]
            )
    start_ms, start_cost = spent_ms[0, 0].astype(np.float64), spent_cost[0, 0].astype(np.float64)
    accuracy = value[0, 0] + prices[:, None] * start_ms + times.cost_weight * start_cost
    return Decisions(prices, edges, actions, accuracy, start_ms, start_cost)


def _landing_classes(times: StageTimes, edges: FloatArray) -> IntArray:
    """Class of the time left after each atom of each stage, shape (K, 3, R)."""
    with np.errstate(invalid="ignore"):
        left = edges[None, None, :] - times.atoms_ms[:, :, None] + _ROUNDING_MS
    return np.maximum(np.searchsorted(edges, left, side="right") - 1, 0)


def _expected(
    step: NDArray[np.float32], after: NDArray[np.float32], landing: IntArray, weights: FloatArray
) -> NDArray[np.float32]:
    """Expectation over the next bin and the time taken, shape (B, L, R)."""
    n_bins, n_prices, n_classes = after.shape
    over_bins = (step @ after.reshape(n_bins, -1)).reshape(n_bins, n_prices, n_classes)
    if (landing == landing[0]).all():
        return over_bins[:, :, landing[0]]
    mixed: NDArray[np.float32] = sum(
        np.float32(w) * over_bins[:, :, where] for w, where in zip(weights, landing, strict=True)
    )
    return mixed
