"""Follow the decisions about held-out items as the price of a millisecond rises.

Pure. Every item is decided by statistics that were counted without its fold, through the same interpolated tables as
`Policy.replay` uses, without a deadline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cascade.calibration.transitions import count_statistics
from cascade.core.induction import STOP, Statistics
from cascade.core.prices import price_grid
from cascade.core.records import FloatArray, IntArray
from cascade.core.table import table_actions, table_edges
from cascade.core.times import StageTimes

PRICE_STEP = 1e-4
"""Prices closer than this share are not told apart: what changes between them is a jump."""
_SAME_TIME = 1e-6
_UNHURRIED = np.array([np.inf])
"""The one class of time left where there is no deadline."""
_AT_ONCE = 32
"""Prices that are solved together: with eight stages in less than a tenth of the time that they take one by one."""

Sets = NDArray[np.uint8]
"""The set of stages each item is answered from, as bits, shape (n,)."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What held-out items show at one price."""

    price: float
    sets: Sets


@dataclass(frozen=True, slots=True, eq=False)
class PricePath:
    """Held-out items, sorted by fold, with what decides about them.

    Attributes
    ----------
    times : StageTimes
    statistics : tuple of Statistics
        Counted without each fold.
    parts : tuple of slice
        The items of each fold.
    cells : ndarray of unsigned int, shape (n, 2**K)
        Interval of confidence of every item at every set.
    """

    times: StageTimes
    statistics: tuple[Statistics, ...]
    parts: tuple[slice, ...]
    cells: NDArray[np.unsignedinteger]

    @classmethod
    def of(
        cls,
        confidence: FloatArray,
        correct: NDArray[np.bool_],
        folds: IntArray,
        requires: tuple[int, ...],
        times: StageTimes,
    ) -> Self:
        """The path of items sorted by fold.

        Parameters
        ----------
        confidence : ndarray, shape (n, 2**K)
            Held-out, of every evidence set.
        correct : ndarray of bool, shape (n, 2**K)
        folds : ndarray of int64, shape (n,)
            Ascending.
        requires : tuple of int
        times : StageTimes
        """
        prior_accuracy = float(correct[:, 0].mean())
        starts = [*np.flatnonzero(np.diff(folds, prepend=-1)).tolist(), len(folds)]
        parts = tuple(slice(start, end) for start, end in pairwise(starts))
        statistics: list[Statistics] = []
        cells: list[NDArray[np.unsignedinteger]] = []
        for part in parts:
            outside = np.r_[: part.start, part.stop : len(folds)]
            statistics.append(count_statistics(confidence[outside], correct[outside], requires, prior_accuracy))
            edges = table_edges(statistics[-1])
            kind = np.min_scalar_type(edges.shape[1])
            cells.append(intervals_of(confidence[part], edges).astype(kind))
        return cls(times, tuple(statistics), parts, np.concatenate(cells))

    def visits(self, prices: Sequence[float], between: Sequence[tuple[Visit, Visit]] | None = None) -> list[Visit]:
        """What the items show at some prices.

        Parameters
        ----------
        prices : sequence of float
        between : sequence of pairs of Visit, optional
            For every price, what was seen at a lower and a higher one: folds that both decide alike are not solved again.
        """
        sets = [np.zeros(len(self.cells), np.uint8) for _ in prices]
        asked = np.array(prices, np.float64)
        for statistics, part in zip(self.statistics, self.parts, strict=True):
            unknown = np.ones(len(prices), np.bool_)
            for i, (low, high) in enumerate(between or ()):
                sets[i][part], unknown[i] = low.sets[part], not np.array_equal(low.sets[part], high.sets[part])
            if not unknown.any():
                continue
            actions = table_actions(statistics, self.times, asked[unknown], _UNHURRIED)[:, :, -1]
            for i, decided in zip(np.flatnonzero(unknown).tolist(), actions, strict=True):
                sets[i][part] = answered_from(decided, self.cells[part])
        return [Visit(float(price), row) for price, row in zip(prices, sets, strict=True)]

    def follow(self, max_step: float) -> Iterator[Visit]:
        """Visits from the lowest to the highest price, then those between neighbours that are neither alike nor close.

        Parameters
        ----------
        max_step : float
            Difference in mean time that needs no refinement, as a share of the range of mean times.
        """
        grid = self.visits(starting_prices(self.times))
        yield from grid
        mean_ms = [self.mean_ms(visit) for visit in grid]
        step_ms = max_step * (max(mean_ms) - min(mean_ms))
        waiting = [pair for pair in pairwise(grid) if not self._are_close(*pair, step_ms)]
        while waiting:
            # The last ones first, so that few visits are kept at a time.
            pairs, waiting = waiting[-_AT_ONCE:], waiting[:-_AT_ONCE]
            found = self.visits([sqrt(low.price * high.price) for low, high in pairs], pairs)
            yield from found
            halves = [half for (low, high), at in zip(pairs, found, strict=True) for half in ((low, at), (at, high))]
            waiting += [pair for pair in halves if not self._are_close(*pair, step_ms)]

    def mean_ms(self, visit: Visit) -> float:
        """Mean time per item in milliseconds."""
        counts = np.bincount(visit.sets, minlength=self.cells.shape[1])
        return float(counts @ sums_over(self.times.mean_ms) / len(visit.sets))

    def _are_close(self, low: Visit, high: Visit, step_ms: float) -> bool:
        return (
            high.price <= low.price * (1.0 + PRICE_STEP)
            or abs(self.mean_ms(low) - self.mean_ms(high)) <= step_ms
            or np.array_equal(low.sets, high.sets)
        )


def intervals_of(confidence: FloatArray, edges: FloatArray) -> IntArray:
    """The interval that every confidence (n, 2**K) lies in at its set, given the inner edges (2**K, F - 1), shape (n, 2**K)."""
    found = [np.searchsorted(row, trust, side="right") for row, trust in zip(edges, confidence.T, strict=True)]
    return np.stack(found, axis=1)


def answered_from(actions: NDArray[np.int8], cells: NDArray[np.integer]) -> Sets:
    """The set each item is answered from, from actions (2**K, F) and intervals of confidence (n, 2**K)."""
    sets = np.zeros(len(cells), np.uint8)
    going, at = np.arange(len(cells)), np.zeros(len(cells), np.int64)
    while going.size:
        action = actions[at, cells[going, at]]
        onward = action != STOP
        sets[going[~onward]] = at[~onward]
        going, at = going[onward], at[onward] | 1 << action[onward].astype(np.int64)
    return sets


def sums_over(per_stage: FloatArray) -> FloatArray:
    """The sum of an amount per stage (K,) over the stages of every set, shape (2**K,)."""
    sets = np.arange(1 << len(per_stage))
    members = sets[:, None] >> np.arange(len(per_stage)) & 1
    return np.asarray(members @ per_stage, np.float64)


def starting_prices(times: StageTimes) -> list[float]:
    """The grid of prices, and one at which nothing but time and cost counts."""
    grid: list[float] = price_grid(times).tolist()
    apart = np.concatenate([times.mean_ms, np.abs(np.subtract.outer(times.mean_ms, times.mean_ms)).ravel()])
    # No gain in accuracy or cost outweighs so high a price for the smallest difference in time there is.
    real = apart[apart > _SAME_TIME * times.mean_ms.max()]
    most = (2.0 + times.cost_weight * float(times.costs.sum())) / float(real.min()) if real.size else 0.0
    return [*grid, most] if most > grid[-1] else grid
