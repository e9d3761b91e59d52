"""Prices of a millisecond: the grid that decisions are solved on, and the one that rules while there is no load.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.core.records import FloatArray, IntArray
from cascade.core.times import StageTimes

N_PRICES = 33


@dataclass(frozen=True, slots=True)
class Expected:
    """What a fresh request may expect: accuracy, service time in milliseconds, cost in the user's unit."""

    accuracy: float
    mean_ms: float
    mean_cost: float


@dataclass(frozen=True, slots=True, eq=False)
class Unloaded:
    """What rules while there is no load, for each of R classes of time left.

    Attributes
    ----------
    rows : ndarray of int64, shape (R,)
        Index of the unloaded price.
    accuracy : ndarray, shape (R,)
        Expected accuracy there, as held-out rows showed it; never falls as the time grows.
    """

    rows: IntArray
    accuracy: FloatArray


def price_grid(times: StageTimes) -> FloatArray:
    """Prices from next to nothing to where only the cheapest stage is worth its time, shape (L,)."""
    taking = times.mean_ms[times.mean_ms > 0.0]
    longest, shortest = (float(taking.max()), float(taking.min())) if taking.size else (1.0, 1.0)
    return np.geomspace(1e-5 / longest, 2.0 / shortest, N_PRICES)


def audited(audit: FloatArray, accuracy: FloatArray | float) -> FloatArray:
    """Accuracies the model expects, as held-out rows showed them; beyond the audited range the gap stays."""
    modelled, shown = audit
    expected = np.asarray(accuracy, np.float64)
    if modelled.shape[0] == 0:
        return expected
    nearest = np.clip(expected, modelled[0], modelled[-1])
    return np.asarray(np.clip(np.interp(nearest, modelled, shown) + expected - nearest, 0.0, 1.0))


def unloaded(accuracy: FloatArray, drop: float) -> Unloaded:
    """For every class of time left the largest price that gives up no more than ``drop``.

    Parameters
    ----------
    accuracy : ndarray, shape (L, R)
        Audited accuracy at each price, ascending.
    drop : float
        Accuracy that may be given up against the best price.

    Notes
    -----
    More time must not cost accuracy, so what was reached with less time is kept as a floor. At the lowest price a
    near-tie may still go to a cheaper plan, which is at most that price times the time saved below the floor: such
    dips are levelled.
    """
    rows, floor = np.zeros(accuracy.shape[1], np.int64), 0.0
    reached = np.zeros(accuracy.shape[1])
    for r, column in enumerate(accuracy.T):
        best = float(column.max())
        wanted = max(best - drop, min(floor, best))
        rows[r] = np.flatnonzero(column >= wanted - 1e-12).max()
        floor = reached[r] = max(floor, float(column[rows[r]]))
    return Unloaded(rows, reached)
