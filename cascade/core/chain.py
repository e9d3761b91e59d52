"""Service times as the dynamic program reads them, and the checks of a chain of thresholds set by hand.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cascade.core.induction import StageTimes
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError


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


def checked_thresholds(thresholds: Sequence[float], n_stages: int) -> tuple[float, ...]:
    """The thresholds of a chain.

    Raises
    ------
    ConfigurationError
        If their number is not ``n_stages - 1`` or one lies outside [0, 1].
    """
    values = tuple(float(value) for value in thresholds)
    if len(values) != n_stages - 1:
        raise ConfigurationError(
            f"expected {n_stages - 1} thresholds, one for each of {n_stages} stages but the last, got {len(values)}"
        )
    if not all(0.0 <= value <= 1.0 for value in values):
        raise ConfigurationError(f"expected thresholds in [0, 1], got {list(values)}")
    return values
