"""Service times as the dynamic program reads them, and the classes that the time left falls into.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.core.records import FloatArray, IntArray
from cascade.core.service import ServiceTable

ROUNDING_MS = 1e-9
"""Slack for sums of durations that are equal on paper but not in floating point."""


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

    @property
    def cheapest_first(self) -> list[int]:
        """The stages in the order in which ties are settled: by mean time, then by cost."""
        return [int(j) for j in np.lexsort((self.costs, self.mean_ms))]


def stage_times(service: ServiceTable, batch_size: int, level: float, cost_weight: float) -> StageTimes:
    """Mean, upper quantile and atoms of every stage at one batch size."""
    stages = range(service.n_stages)
    atoms, weights = service.atoms(batch_size)
    return StageTimes(
        np.array([service.mean_at(j, batch_size) / batch_size for j in stages]),
        np.array([service.quantile_at(j, batch_size, level) for j in stages]),
        atoms,
        weights,
        np.asarray(service.costs),
        cost_weight,
    )


def time_classes(edges_ms: FloatArray, left_ms: FloatArray | float) -> IntArray:
    """Class of each remaining time: the last edge not above it, 0 for none left."""
    return np.maximum(np.searchsorted(edges_ms - ROUNDING_MS, np.asarray(left_ms), side="right") - 1, 0)


def landing_classes(times: StageTimes, edges_ms: FloatArray) -> IntArray:
    """Class of the time left after each atom of each stage, shape (K, 3, R)."""
    return time_classes(edges_ms, edges_ms[None, None, :] - times.atoms_ms[:, :, None])


def first_fitting_class(times: StageTimes, edges_ms: FloatArray) -> IntArray:
    """Lowest class of time left into which each stage's upper quantile fits, shape (K,)."""
    return np.asarray(np.searchsorted(edges_ms + ROUNDING_MS, times.upper_ms), np.int64)
