"""Decisions in the form they are looked up in: per set and time left, intervals of confidence with an action each.

Pure. A solved lattice decides per bin of confidence; here the values of the actions are read as straight lines between
the middles of the bins, so that a threshold lies where two actions are worth the same and moves smoothly with the price.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.core.evidence import reachable_sets
from cascade.core.induction import GAIN_BLUR, STOP, TIE, Statistics, backward, time_edges
from cascade.core.records import FloatArray, IntArray
from cascade.core.times import ROUNDING_MS, StageTimes, first_fitting_class, time_classes

_PARTS = 4
"""Intervals between the middles of two neighbouring bins."""
_CHAIN_SLACK = 2e-7
"""Evidence is kept in single precision, so a confidence of 0.9 may come back as 0.89999999."""


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
    slack : float
        A confidence this close below an edge counts as reaching it.
    """

    time_edges_ms: FloatArray
    edges: FloatArray
    actions: NDArray[np.int8]
    slack: float = 0.0

    def action(self, evidence_set: int, confidence: float, left_ms: float) -> int:
        """The stage to run next for one item, or `STOP`."""
        return int(self.actions_of(evidence_set, np.array([confidence]), np.array([left_ms]))[0])

    def actions_of(self, evidence_set: int, confidence: FloatArray, left_ms: FloatArray) -> IntArray:
        """The stage to run next for each of n items with the same set of stages run, or `STOP`."""
        columns = np.searchsorted(self.edges[evidence_set] - self.slack, confidence, side="right")
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

    Attributes
    ----------
    ample_ms : float
        With this much time left, more changes no decision.
    """

    __slots__ = ("_actions", "_edges", "_time_edges", "ample_ms")

    def __init__(self, table: DecisionTable) -> None:
        self._time_edges: list[float] = (table.time_edges_ms - ROUNDING_MS).tolist()
        self.ample_ms = max((edge for edge in self._time_edges if edge < float("inf")), default=0.0)
        self._edges: list[list[float]] = (table.edges - table.slack).tolist()
        # Bytes index faster than arrays or lists of ints; STOP becomes 255. Less than no time left is no time left.
        self._actions: list[list[bytes]] = [
            [row.astype(np.uint8).tobytes() for row in (by_time[0], *by_time)] for by_time in table.actions
        ]

    def action(self, evidence_set: int, confidence: float, left_ms: float) -> int:
        """The stage to run next, or 255 to stop."""
        row = self._actions[evidence_set][bisect_right(self._time_edges, left_ms)]
        return row[bisect_right(self._edges[evidence_set], confidence)]


STOP_BYTE = STOP & 0xFF
"""`STOP` as `Lookup` gives it."""


def decision_table(
    statistics: Statistics, times: StageTimes, price: float, *, blur: float = GAIN_BLUR
) -> DecisionTable:
    """The decisions at one price, with thresholds between the bins.

    Parameters
    ----------
    statistics : Statistics
    times : StageTimes
    price : float
        Accuracy per millisecond, >= 0.
    blur : float
        Width of the blur over gains, as a share of the number of bins.
    """
    edges_ms = time_edges(statistics, times)
    actions = table_actions(statistics, times, np.array([price]), edges_ms, blur=blur)[0]
    return DecisionTable(edges_ms, table_edges(statistics), actions)


def table_actions(
    statistics: Statistics, times: StageTimes, prices: FloatArray, edges_ms: FloatArray, *, blur: float = GAIN_BLUR
) -> NDArray[np.int8]:
    """The actions of `decision_table` at each of L prices, shape (L, 2**K, R, F); L prices cost far less than L times one.

    Parameters
    ----------
    statistics : Statistics
    times : StageTimes
    prices : ndarray, shape (L,)
        Accuracy per millisecond, >= 0.
    edges_ms : ndarray, shape (R,)
        Lower ends of the classes of time left; ``[inf]``: without a deadline only.
    blur : float
        Width of the blur over gains, as a share of the number of bins.
    """
    n_sets, n_bins = statistics.accuracy.shape
    between = _between(n_bins)
    actions = np.full((len(prices), n_sets, len(edges_ms), len(between)), STOP, np.int8)
    for s, options in backward(statistics, times, prices, edges_ms, blur=blur):
        best = np.full((len(between), len(edges_ms), len(prices)), 0.0 if s else -np.inf)
        for option in options:
            gain, fitting = np.tensordot(between, option.gain, 1), best[:, option.first_class :]
            better = gain > fitting + TIE
            np.copyto(fitting, gain, where=better)
            actions[:, s, option.first_class :][better.T] = option.stage
    return actions


def table_edges(statistics: Statistics) -> FloatArray:
    """Inner edges of the confidence intervals of a table, shape (2**K, F - 1): the same at every price."""
    n_sets, n_bins = statistics.accuracy.shape
    edges = np.zeros((n_sets, (n_bins - 1) * _PARTS + 1))
    for s in reachable_sets(statistics.requires):
        edges[s] = _cell_edges(_centres(statistics.edges[s]))
    return edges


def chain_table(thresholds: tuple[float, ...], times: StageTimes) -> DecisionTable:
    """Run the stages in order, answering at the first confidence that reaches the stage's threshold.

    The next stage runs only if its upper quantile fits into the time left. Where stages have spoken out of order, the last of the chain
    among them decides, as it does about the answer.
    """
    k = len(thresholds) + 1
    edges_ms = np.concatenate([np.unique([0.0, *times.upper_ms]), [np.inf]])
    edges = np.zeros((1 << k, 1))
    actions = np.full((1 << k, len(edges_ms), 2), STOP, np.int8)
    first_classes = first_fitting_class(times, edges_ms)
    actions[0, first_classes[0] :] = 0
    for j, threshold in enumerate(thresholds, start=1):
        # All sets whose last stage is the one before j.
        done = slice(1 << j - 1, 1 << j)
        edges[done] = threshold
        actions[done, first_classes[j] :, 0] = j
    return DecisionTable(edges_ms, edges, actions, _CHAIN_SLACK)


def _centres(edges: FloatArray) -> FloatArray:
    """Middle of every bin, from the inner edges of at least two bins; the outer bins are as wide as their neighbours."""
    inner = 0.5 * (edges[1:] + edges[:-1])
    first, last = (edges[1] - edges[0], edges[-1] - edges[-2]) if len(edges) > 1 else (edges[0], 1.0 - edges[0])
    below, above = max(edges[0] - 0.5 * first, 0.0), min(edges[-1] + 0.5 * last, 1.0)
    return np.concatenate([[below], inner, [above]])


def _cell_edges(centres: FloatArray) -> FloatArray:
    """Inner edges of the intervals: the centres, and ``_PARTS - 1`` more between two of them."""
    parts = np.arange(_PARTS) / _PARTS
    between = centres[:-1, None] + np.diff(centres)[:, None] * parts
    return np.concatenate([between.ravel(), centres[-1:]])


def _between(n_bins: int) -> FloatArray:
    """Weights (F, B) that read values of the bins along straight lines in the middle of every interval."""
    share = np.tile((np.arange(_PARTS) + 0.5) / _PARTS, n_bins - 1)
    lower = np.repeat(np.arange(n_bins - 1), _PARTS)
    cells = np.arange(1, len(lower) + 1)
    weights = np.zeros((len(lower) + 2, n_bins))
    weights[cells, lower] = 1.0 - share
    weights[cells, lower + 1] = share
    weights[0, 0] = weights[-1, -1] = 1.0
    return weights
