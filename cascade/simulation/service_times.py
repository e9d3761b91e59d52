"""How long a batch really takes in virtual time: profiled means, with jitter, spikes and periods of slowness.

Pure: chance comes in as a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from math import inf, isfinite, log1p

import numpy as np

from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class SlowDown:
    """A period in which batches that start take longer, as on a machine that is hot or shared.

    Attributes
    ----------
    start_ms, end_ms : float
        From the first instant up to, and without, the second.
    factor : float
        What times are multiplied by; below 1 they get shorter.
    stages, lanes : tuple of int, or None
        Indices of those concerned; None for all.

    Raises
    ------
    ConfigurationError
        If the period is empty or the factor is not a positive finite number.
    """

    start_ms: float
    end_ms: float
    factor: float
    stages: tuple[int, ...] | None = None
    lanes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not self.start_ms < self.end_ms:
            raise ConfigurationError(f"expected start_ms before end_ms, got {self.start_ms} and {self.end_ms}")
        if not (self.factor > 0.0 and isfinite(self.factor)):
            raise ConfigurationError(f"expected a positive finite factor, got {self.factor}")

    def factor_at(self, lane: int, stage: int, now_ms: float) -> float:
        """The factor for a batch that starts now; 1 if it is not concerned."""
        concerns = self.start_ms <= now_ms < self.end_ms
        concerns = concerns and (self.stages is None or stage in self.stages)
        concerns = concerns and (self.lanes is None or lane in self.lanes)
        return self.factor if concerns else 1.0


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """What batches take: the profiled mean, times lognormal jitter of mean 1, times rare spikes, times slow-downs.

    Attributes
    ----------
    table : ServiceTable
    jitter : float
        Standard deviation of the jitter; 0 for none.
    spike_share : float
        Share of the batches, in [0, 1], that take ``spike_factor`` times as long.
    spike_factor : float
    slowdowns : tuple of SlowDown
        Where several hold at once, their factors multiply.

    Raises
    ------
    ConfigurationError
        If a number is outside its range.

    Examples
    --------
    >>> times = ServiceTimes(ServiceTable.from_costs([2.0]), jitter=0.0, slowdowns=(SlowDown(10.0, 20.0, 3.0),))
    >>> draw = times.drawn(seed=0)
    >>> draw.duration_ms(0, 0, 4, now_ms=0.0), draw.duration_ms(0, 0, 4, now_ms=15.0)
    (8.0, 24.0)
    """

    table: ServiceTable
    jitter: float = 0.05
    spike_share: float = 0.0
    spike_factor: float = 2.0
    slowdowns: tuple[SlowDown, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "slowdowns", tuple(self.slowdowns))
        if not (self.jitter >= 0.0 and isfinite(self.jitter)):
            raise ConfigurationError(f"expected jitter of at least 0, such as 0.05, got {self.jitter}")
        if not 0.0 <= self.spike_share <= 1.0:
            raise ConfigurationError(f"expected spike_share in [0, 1], got {self.spike_share}")
        if not (self.spike_factor > 0.0 and isfinite(self.spike_factor)):
            raise ConfigurationError(f"expected a positive finite spike_factor, got {self.spike_factor}")

    def drawn(self, seed: int) -> DrawnTimes:
        """Durations one after the other, the same for the same seed and the same questions."""
        return DrawnTimes(self, np.random.default_rng(seed))


class DrawnTimes:
    """Durations of batches, drawn one after the other.

    Parameters
    ----------
    times : ServiceTimes
    rng : numpy.random.Generator
    """

    def __init__(self, times: ServiceTimes, rng: np.random.Generator) -> None:
        self._times, self._rng = times, rng
        self._mean_ms: list[list[float]] = [[0.0] for _ in range(times.table.n_stages)]
        self._is_steady = not times.jitter and not times.spike_share
        self._factors = repeat(1.0) if self._is_steady else iter(())
        self._first_slow_ms = min((slow.start_ms for slow in times.slowdowns), default=inf)
        self._last_slow_ms = max((slow.end_ms for slow in times.slowdowns), default=-inf)

    def duration_ms(self, lane: int, stage: int, n: int, now_ms: float) -> float:
        """What a batch of ``n`` takes that starts now."""
        means = self._mean_ms[stage]
        while n >= len(means):
            means.append(self._times.table.mean_at(stage, len(means)))
        factor = next(self._factors, 0.0) or self._next_factor()
        if self._first_slow_ms <= now_ms < self._last_slow_ms:
            for slow in self._times.slowdowns:
                factor *= slow.factor_at(lane, stage, now_ms)
        return means[n] * factor

    def _next_factor(self) -> float:
        """Drawn in blocks: a number at a time costs a microsecond, one of a block a tenth of that."""
        times, rng = self._times, self._rng
        variance = log1p(times.jitter**2)
        factors = np.exp(rng.normal(-variance / 2.0, variance**0.5, _BLOCK))
        factors[rng.random(_BLOCK) < times.spike_share] *= times.spike_factor
        self._factors = iter(factors.tolist())
        return next(self._factors)
