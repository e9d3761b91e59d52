"""How long before its deadline a strict request must be answered, learnt from how late such answers came.

Pure state; the owner serialises the calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from cascade.errors import ConfigurationError

_STEP = 0.5
_LEAST_MS, _MOST_MS = 0.05, 100.0
_MOST_SHARE = 0.5
"""Of a budget: a guard that leaves no time for a stage would be a refusal."""


@dataclass(frozen=True, slots=True)
class Strictness:
    """How strict deadlines are taken; as the keywords ``strict`` and ``strict_miss_rate`` of `Predictor`.

    Raises
    ------
    ConfigurationError
        If the miss rate is not in (0, 1).
    """

    is_usual: bool
    miss_rate: float

    def __post_init__(self) -> None:
        if not 0.0 < self.miss_rate < 1.0:
            raise ConfigurationError(f"expected strict_miss_rate in (0, 1), got {self.miss_rate}")


class HighQuantile:
    """Follows a high quantile of durations that come one by one.

    Parameters
    ----------
    miss_rate : float
        Share of the durations, in (0, 1), that are to be longer.
    start_ms : float

    Attributes
    ----------
    value_ms : float

    Notes
    -----
    Every longer duration raises the value, every other one lowers it a little, such that both cancel at the rate that is
    aimed at, however the durations come; steps are shares of the value, as scales are not known beforehand.

    References
    ----------
    Gibbs and Candès, 2021, Adaptive Conformal Inference Under Distribution Shift.

    Examples
    --------
    >>> late = HighQuantile(0.5, 1.0)
    >>> for _ in range(100):
    ...     late.note(3.0)
    >>> 2.0 < late.value_ms < 4.5
    True
    """

    __slots__ = ("_miss_rate", "value_ms")

    def __init__(self, miss_rate: float, start_ms: float) -> None:
        self._miss_rate, self.value_ms = miss_rate, start_ms

    def note(self, duration_ms: float) -> None:
        """A duration came."""
        is_miss = float(duration_ms > self.value_ms)
        moved_ms = self.value_ms * (1.0 + _STEP * (is_miss - self._miss_rate))
        self.value_ms = min(max(moved_ms, _LEAST_MS), _MOST_MS)


class StrictGuard:
    """Sets the instant at which a strict request is answered from what there is.

    Parameters
    ----------
    miss_rate : float
        Share of the strict requests, in (0, 1), that may be answered after their deadline.
    """

    def __init__(self, miss_rate: float) -> None:
        self.miss_rate = miss_rate
        self._late = HighQuantile(miss_rate, 0.5)

    @property
    def guard_ms(self) -> float:
        """Time kept back at present."""
        return self._late.value_ms

    def due_ms(self, start_ms: float, deadline_ms: float) -> float:
        """When a request of this deadline is to be answered at the latest."""
        return deadline_ms - min(self._late.value_ms, _MOST_SHARE * max(deadline_ms - start_ms, 0.0))

    def note(self, late_ms: float) -> None:
        """An answer that was due came this much later."""
        self._late.note(late_ms)
