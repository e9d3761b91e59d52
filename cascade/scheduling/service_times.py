"""Service times of every stage at every batch size up to a limit, as plain values.

Pure.
"""

from __future__ import annotations

import numpy as np

from cascade.core.records import FloatArray
from cascade.core.service import ServiceTable


class Times:
    """Means and upper quantiles, read by batch size.

    Parameters
    ----------
    service : ServiceTable
    level : float
        Of the upper quantile.
    max_batch : int

    Attributes
    ----------
    mean_ms, upper_ms : list of list of float
        ``[stage][n]`` for 0 to ``max_batch`` rows; entry 0 is 0.
    means, uppers : ndarray, shape (K, max_batch + 1)
        The same as arrays.
    fixed_ms, each_ms : ndarray, shape (K,)
        Straight lines through the means: what a run takes whatever its size, and what each row adds.
    """

    def __init__(self, service: ServiceTable, level: float, max_batch: int) -> None:
        sizes = range(1, max_batch + 1)
        stages = range(service.n_stages)
        self.n_stages, self.max_batch = service.n_stages, max_batch
        self.mean_ms = [[0.0, *(service.mean_at(j, n) for n in sizes)] for j in stages]
        self.upper_ms = [[0.0, *(service.quantile_at(j, n, level) for n in sizes)] for j in stages]
        self.means, self.uppers = np.array(self.mean_ms), np.array(self.upper_ms)
        one, most = self.means[:, 1], self.means[:, max_batch]
        self.each_ms: FloatArray = (most - one) / (max_batch - 1) if max_batch > 1 else one
        self.fixed_ms: FloatArray = np.maximum(one - self.each_ms, 0.0)

    def mean_of(self, stage: int, n: int) -> float:
        """Mean time of a batch of any size; beyond the limit, proportional to it."""
        return self.mean_ms[stage][n] if n <= self.max_batch else self.mean_ms[stage][-1] * n / self.max_batch

    def upper_of(self, stage: int, n: int) -> float:
        """Upper quantile of the time of a batch of any size; beyond the limit, proportional to it."""
        return self.upper_ms[stage][n] if n <= self.max_batch else self.upper_ms[stage][-1] * n / self.max_batch
