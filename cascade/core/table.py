"""Decisions in the form they are looked up in: per set and time left, intervals of confidence with an action each.

Pure. A solved lattice decides per bin of confidence; here the values of the actions are read as straight lines between
the middles of the bins, so that a threshold lies where two actions are worth the same and moves smoothly with the price.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.core.induction import STOP, StageTimes, Statistics, backward, time_classes, time_edges
from cascade.core.records import FloatArray, IntArray

_PARTS = 4
"""Intervals per bin."""
_TIE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class DecisionTable:
    """What to do next, for every set of stages run, time left and confidence, at one price.

    Attributes
    ----------
    time_edges_ms : ndarray, shape (R,)
        Lower ends of the classes of time left, ascending from 0; the last is infinite.
    edges : ndarray, shape (2**K, F - 1)
        Inner edges of the confidence intervals of each set, ascending.
    actions : ndarray of int8, shape (2**K, R, F)
        Index of the stage to run, or `STOP`; at the empty set `STOP` means that no stage fits.
    """

    time_edges_ms: FloatArray
    edges: FloatArray
    actions: NDArray[np.int8]

    def action(self, evidence_set: int, confidence: float, left_ms: float) -> int:
        """The stage to run next for one item, or `STOP`."""
        return int(self.actions_of(evidence_set, np.array([confidence]), np.array([left_ms]))[0])

    def actions_of(self, evidence_set: int, confidence: FloatArray, left_ms: FloatArray) -> IntArray:
        """The stage to run next for each of n items with the same set of stages run, or `STOP`."""
        columns = np.searchsorted(self.edges[evidence_set], confidence, side="right")
        return np.asarray(self.actions[evidence_set, time_classes(self.time_edges_ms, left_ms), columns], np.int64)

    def intervals(self, evidence_set: int, left_ms: float) -> list[tuple[float, int]]:
        """Lower end of each confidence interval and its action, neighbours with one action merged."""
        row = self.actions[evidence_set, int(time_classes(self.time_edges_ms, left_ms))]
        starts = [0, *(np.flatnonzero(np.diff(row)) + 1)]
        return [(0.0 if k == 0 else float(self.edges[evidence_set][k - 1]), int(row[k])) for k in starts]


class Lookup:
    """A `DecisionTable` as plain Python values, for a decision in well under a microsecond.

    Parameters
    ----------
    table : DecisionTable
    """

    __slots__ = ("_actions", "_edges", "_time_edges")

    def __init__(self, table: DecisionTable) -> None:
        self._time_edges: list[float] = (table.time_edges_ms - 1e-9).tolist()
        self._edges: list[list[float]] = table.edges.tolist()
        # Bytes index faster than arrays or lists of ints; STOP becomes 255.
        self._actions: list[list[bytes]] = [
            [row.astype(np.uint8).tobytes() for row in by_time] for by_time in table.actions
        ]

    def action(self, evidence_set: int, confidence: float, left_ms: float) -> int:
        """The stage to run next, or 255 to stop."""
        time_class = bisect_right(self._time_edges, left_ms) - 1
        row = self._actions[evidence_set][max(0, time_class)]
        return row[bisect_right(self._edges[evidence_set], confidence)]


STOP_BYTE = STOP & 0xFF
"""`STOP` as `Lookup` gives it."""


def decision_table(statistics: Statistics, times: StageTimes, price: float) -> DecisionTable:
    """The decisions at one price, with thresholds between the bins.

    Parameters
    ----------
    statistics : Statistics
    times : StageTimes
    price : float
        Accuracy per millisecond, >= 0.
    """
    edges_ms = time_edges(statistics, times)
    n_sets, n_bins = statistics.accuracy.shape
    n_cells = (n_bins - 1) * _PARTS + 2
    edges = np.zeros((n_sets, n_cells - 1))
    actions = np.full((n_sets, len(edges_ms), n_cells), STOP, np.int8)
    lower, share = _between(n_bins)
    for s, stop, options in backward(statistics, times, np.array([price]), edges_ms):
        edges[s] = _cell_edges(_centres(statistics.edges[s]))
        if not options:
            continue
        best = _interpolated(np.broadcast_to(stop[:, 0], (n_bins, len(edges_ms))), lower, share)
        for j, value in options:
            onward = _interpolated(value[:, 0].astype(np.float64), lower, share)
            better = onward > best + _TIE
            best = np.where(better, onward, best)
            actions[s][better.T] = j
    return DecisionTable(edges_ms, edges, actions)


def chain_table(thresholds: tuple[float, ...], times: StageTimes) -> DecisionTable:
    """Run the stages in order, answering at the first confidence that reaches the stage's threshold.

    The next stage runs only if its upper quantile fits into the time left.
    """
    k = len(thresholds) + 1
    edges_ms = np.concatenate([np.unique(np.concatenate([[0.0], times.upper_ms])), [np.inf]])
    edges = np.zeros((1 << k, 1))
    actions = np.full((1 << k, len(edges_ms), 2), STOP, np.int8)
    for j in range(k):
        done = (1 << j) - 1
        fits = edges_ms + 1e-9 >= times.upper_ms[j]
        if j:
            edges[done] = thresholds[j - 1]
        actions[done, fits, 0] = j
        if not j:
            actions[done, fits, 1] = j
    return DecisionTable(edges_ms, edges, actions)


def _centres(edges: FloatArray) -> FloatArray:
    inner = 0.5 * (edges[1:] + edges[:-1])
    below = max(edges[0] - 0.5 * (edges[1] - edges[0]), 0.0) if len(edges) > 1 else edges[0] * 0.5
    above = min(edges[-1] + 0.5 * (edges[-1] - edges[-2]), 1.0) if len(edges) > 1 else 0.5 * (edges[0] + 1.0)
    return np.concatenate([[below], inner, [above]])


def _cell_edges(centres: FloatArray) -> FloatArray:
    parts = np.arange(_PARTS) / _PARTS
    between = centres[:-1, None] + np.diff(centres)[:, None] * parts
    return np.concatenate([between.ravel(), centres[-1:]])


def _between(n_bins: int) -> tuple[IntArray, FloatArray]:
    """For every cell the bin below it and its position on the way to the next."""
    lower = np.concatenate([[0], np.repeat(np.arange(n_bins - 1), _PARTS), [n_bins - 1]])
    share = np.concatenate([[0.0], np.tile((np.arange(_PARTS) + 0.5) / _PARTS, n_bins - 1), [0.0]])
    return lower, share


def _interpolated(values: FloatArray, lower: IntArray, share: FloatArray) -> FloatArray:
    """Values per bin (B, R) read along straight lines at every cell, shape (F, R)."""
    upper = np.minimum(lower + 1, values.shape[0] - 1)
    low, high = values[lower], values[upper]
    with np.errstate(invalid="ignore"):
        mixed = low + share[:, None] * (high - low)
    return np.asarray(np.where(np.isfinite(low), mixed, low))
