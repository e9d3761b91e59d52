"""Prices of a millisecond: the grid that decisions are solved on, and the one that rules while there is no load.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.core.induction import StageTimes
from cascade.core.records import FloatArray

N_PRICES = 33


@dataclass(frozen=True, slots=True)
class Expected:
    """What a fresh request may expect: accuracy, service time in milliseconds, cost in the user's unit."""

    accuracy: float
    mean_ms: float
    mean_cost: float


def price_grid(times: StageTimes) -> FloatArray:
    """Prices from next to nothing to where only the cheapest stage is worth its time, shape (L,)."""
    longest, shortest = float(times.mean_ms.max()), float(times.mean_ms[times.mean_ms > 0].min(initial=np.inf))
    if not np.isfinite(shortest):
        longest = shortest = 1.0
    return np.geomspace(1e-5 / longest, 2.0 / shortest, N_PRICES)


def audited(audit: FloatArray, accuracy: FloatArray | float) -> FloatArray:
    """Accuracies the model expects, as held-out rows showed them; beyond the audited range the gap stays."""
    modelled, shown = audit
    expected = np.asarray(accuracy, np.float64)
    if modelled.shape[0] == 0:
        return expected
    nearest = np.clip(expected, modelled[0], modelled[-1])
    return np.asarray(np.clip(np.interp(nearest, modelled, shown) + expected - nearest, 0.0, 1.0))


def unloaded_indices(accuracy: FloatArray, drop: float) -> list[int]:
    """Index of the unloaded price for every class of time left."""
    chosen, floor = [], 0.0
    for column in accuracy.T:
        wanted = max(float(column.max()) - drop, min(floor, float(column.max())))
        index = int(np.flatnonzero(column >= wanted - 1e-9).max())
        floor = max(floor, float(column[index]))
        chosen.append(index)
    return chosen
