"""Backward induction over the lattice of evidence sets: fitted statistics and service times become decisions.

Pure. The recursion solved here, for a set S of stages run, a bin b of the pooled confidence, time left r
and price λ, is

    V(S, b, r) = max( acc(S, b),  max over j not in S with q_j <= r of
                      E[ V(S + j, b', r - T_j) | S, b ] - λ t_j - κ c_j )

with q_j an upper quantile and t_j the mean of stage j's service time, T_j three atoms of its
distribution, and c_j a cost in the user's unit with weight κ. What is carried is not V but the gain
V - acc beyond stopping: it is zero wherever the best is to stop, and those cells cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.core.evidence import reachable_sets
from cascade.core.records import FloatArray, IntArray
from cascade.core.times import StageTimes, first_fitting_class, landing_classes, time_classes

STOP = -1
MAX_TIME_CLASSES = 48
GAIN_BLUR = 0.04
"""Width of the blur over the gains of neighbouring bins, as a share of the number of bins; 0 for none."""
TIE = 1e-9
"""Gains in accuracy below this are ties, which go to the cheaper action."""
_MAX_CELLS = 4_000_000
"""Cells of gain held at a time: prices are solved in parts so that memory stays near 100 MB."""


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
        Expected accuracy, time and cost of a fresh request. Where no stage fits, those of the fastest stage, which then
        answers late.
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


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One more stage that may run after a set, in the classes of time left that it fits into.

    Attributes
    ----------
    stage : int
    first_class : int
        Lowest class of time left that the stage fits into.
    step : ndarray, shape (B, B)
        Transition probabilities between bins, blurred.
    gain : ndarray, shape (B, R - first_class, L)
        What running the stage, and going on in the best way, is worth beyond stopping.
    """

    stage: int
    first_class: int
    step: FloatArray
    gain: FloatArray


def time_edges(statistics: Statistics, times: StageTimes) -> FloatArray:
    """Remaining times at which the set of feasible continuations changes, thinned to `MAX_TIME_CLASSES`.

    Immediate feasibility stays exact: every stage's own upper quantile is always kept.
    """
    needed = np.unique([0.0, *times.upper_ms])
    sums = [
        float(times.atoms_ms[[i for i in range(statistics.n_stages) if s >> i & 1], a].sum() + times.upper_ms[j])
        for s in reachable_sets(statistics.requires)
        for j in statistics.next_stages(s)
        for a in range(times.weights.shape[0])
    ]
    wished = np.unique(sums)
    apart = np.abs(wished[:, None] - needed[None, :]).min(axis=1) > 1e-7 * wished
    wished = wished[apart & (np.diff(wished, prepend=-1.0) > 1e-7 * wished)]
    room = max(MAX_TIME_CLASSES - 1 - needed.shape[0], 1)
    if wished.shape[0] > room:
        # Even spacing in rank keeps most classes where most plans begin to fit.
        wished = wished[np.unique(np.linspace(0, wished.shape[0] - 1, room).round().astype(int))]
    return np.concatenate([np.unique(np.concatenate([needed, wished])), [np.inf]])


def solve(
    statistics: Statistics,
    times: StageTimes,
    prices: FloatArray,
    *,
    edges_ms: FloatArray | None = None,
    blur: float = GAIN_BLUR,
) -> Decisions:
    """Optimal decisions for every price and every class of time left.

    Parameters
    ----------
    statistics : Statistics
    times : StageTimes
    prices : ndarray, shape (L,)
        Accuracy per millisecond, >= 0.
    edges_ms : ndarray, shape (R,), optional
        Lower ends of the classes of time left; by default those of `time_edges`. ``[inf]``: without a deadline only.
    blur : float
        Width of the blur over gains, as a share of the number of bins.

    Notes
    -----
    O(2**K K B**2 L R) time and O(2**K B L R) bytes. The expected time is blurred as the gain is, so that it is the
    exact derivative of the value by the price and never grows with it.
    """
    edges = time_edges(statistics, times) if edges_ms is None else edges_ms
    cells = statistics.accuracy.size * len(edges) * len(prices)
    parts = np.array_split(prices, min(-(-cells // _MAX_CELLS), len(prices)))
    solved = [_solve_part(statistics, times, part, edges, blur) for part in parts]
    actions = np.concatenate([actions for actions, _ in solved], axis=1)
    accuracy, mean_ms, mean_cost = np.concatenate([outlook for _, outlook in solved], axis=1)
    return Decisions(prices, edges, actions, accuracy, mean_ms, mean_cost)


def _solve_part(
    statistics: Statistics, times: StageTimes, prices: FloatArray, edges: FloatArray, blur: float
) -> tuple[NDArray[np.int8], FloatArray]:
    """Actions (2**K, L, R, B) and the outlook (3, L, R) of a fresh request: accuracy, time, cost."""
    (n_sets, n_bins), n_prices, n_classes = statistics.accuracy.shape, len(prices), len(edges)
    actions = np.full((n_sets, n_prices, n_classes, n_bins), STOP, np.int8)
    spent = np.zeros((n_sets, n_bins, n_classes, 2 * n_prices))
    own = np.stack([times.mean_ms, times.costs], axis=1).repeat(n_prices, axis=1)
    landing = landing_classes(times, edges)
    start = np.full((n_classes, n_prices), -np.inf)
    for s, options in backward(statistics, times, prices, edges, blur=blur):
        best = np.zeros((n_bins, n_classes, n_prices)) if s else np.full((n_bins, n_classes, n_prices), -np.inf)
        chosen = np.full(best.shape, STOP, np.int8)
        for option in options:
            j, first = option.stage, option.first_class
            better = option.gain > best[:, first:] + TIE
            if not better.any():
                continue
            np.copyto(best[:, first:], option.gain, where=better)
            chosen[:, first:][better] = j
            onward = expected(option.step, spent[s | 1 << j], landing[j, :, first:], times.weights) + own[j]
            np.copyto(spent[s][:, first:], onward, where=np.concatenate([better, better], axis=2))
        actions[s] = chosen.transpose(2, 1, 0)
        start = best[0]
    mean_ms, mean_cost = spent[0, 0, :, :n_prices], spent[0, 0, :, n_prices:]
    accuracy = start + prices * mean_ms + times.cost_weight * mean_cost
    outlook = np.stack([accuracy, mean_ms, mean_cost]).transpose(0, 2, 1)
    outlook[:, :, np.isneginf(start).all(axis=1)] = _late(statistics, times)[:, None, None]
    return actions, outlook


def _late(statistics: Statistics, times: StageTimes) -> FloatArray:
    """Accuracy, time and cost of the fastest stage alone, shape (3,): what is left where nothing fits."""
    j = min(statistics.next_stages(0), key=lambda j: float(times.upper_ms[j]))
    accuracy = float(statistics.transitions[0, j, 0] @ statistics.accuracy[1 << j])
    return np.array([accuracy, times.mean_ms[j], times.costs[j]])


def backward(
    statistics: Statistics, times: StageTimes, prices: FloatArray, edges: FloatArray, *, blur: float = GAIN_BLUR
) -> Iterator[tuple[int, list[Option]]]:
    """Every set from the fullest to the empty one, with the stages that may run next, the cheapest first.

    So ties can go to the cheaper. Nothing can be answered at the empty set: gains there are beyond zero accuracy, and
    every bin is the same.
    """
    n_bins = statistics.accuracy.shape[1]
    gain = np.zeros((statistics.accuracy.shape[0], n_bins, len(edges), len(prices)))
    landing, first_classes = landing_classes(times, edges), first_fitting_class(times, edges)
    kernel = gain_blur(n_bins, blur)
    for s in reversed(reachable_sets(statistics.requires)):
        options: list[Option] = []
        successors = statistics.next_stages(s)
        for j in (j for j in times.cheapest_first if j in successors):
            first, after = int(first_classes[j]), s | 1 << j
            step = statistics.transitions[s, j].astype(np.float64)
            # Before any stage has run there is a single bin: row 0.
            step = kernel @ step if s else np.repeat(step[:1], n_bins, axis=0)
            stopping = kernel @ statistics.accuracy[s] if s else 0.0
            price = prices * times.mean_ms[j] + times.cost_weight * times.costs[j]
            worth = expected(step, gain[after], landing[j, :, first:], times.weights)
            worth += (step @ statistics.accuracy[after] - stopping)[:, None, None]
            worth -= price
            np.maximum(gain[s][:, first:], worth, out=gain[s][:, first:])
            options.append(Option(j, first, step, worth))
        yield s, options


def gain_blur(n_bins: int, width: float = GAIN_BLUR) -> FloatArray:
    """Weights (B, B) that average the gain of running a stage over neighbouring bins."""
    if width <= 0.0:
        return np.eye(n_bins)
    apart = np.subtract.outer(np.arange(n_bins), np.arange(n_bins)) / (width * n_bins)
    weights = np.exp(-0.5 * apart**2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def expected(step: FloatArray, after: FloatArray, landing: IntArray, weights: FloatArray) -> FloatArray:
    """Expectation over the next bin and the time taken, shape (B, R', L).

    ``after`` (B, R, L) is read at the classes ``landing`` (3, R') with the probabilities ``weights`` (3,).
    """
    live = np.flatnonzero(after.any(axis=(1, 2)))
    if live.size == 0:
        return np.zeros((step.shape[0], landing.shape[1], after.shape[2]))
    low, high = int(live[0]), int(live[-1]) + 1
    reached = after[low:high]
    if (landing == landing[0]).all():
        mixed = reached[:, landing[0]]
    else:
        mixed = sum(weight * reached[:, where] for weight, where in zip(weights, landing, strict=True))
    shape = (step.shape[0], *mixed.shape[1:])
    return np.asarray(step[:, low:high] @ mixed.reshape(high - low, -1)).reshape(shape)
