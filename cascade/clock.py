"""Time as a value that is handed in: a clock that ticks by itself, and one that tests move.

Knows nothing of the package but its errors. All instants and durations are float milliseconds.
"""

from __future__ import annotations

import time
from time import perf_counter_ns
from typing import Protocol

from cascade.errors import ConfigurationError


class Clock(Protocol):
    """What the package needs of a clock: an instant that never runs backwards, and a wait."""

    def now_ms(self) -> float:
        """The present instant in milliseconds from an arbitrary origin."""
        ...

    def wait(self, duration_ms: float) -> None:
        """Return once ``duration_ms`` milliseconds have passed."""
        ...


class MonotonicClock:
    """The machine's monotonic clock.

    Examples
    --------
    >>> clock = MonotonicClock()
    >>> start_ms = clock.now_ms()
    >>> clock.now_ms() >= start_ms
    True
    """

    __slots__ = ()

    def now_ms(self) -> float:
        """The present instant in milliseconds."""
        return perf_counter_ns() * 1e-6

    def wait(self, duration_ms: float) -> None:
        """Sleep for ``duration_ms`` milliseconds; nothing for durations of zero or below."""
        if duration_ms > 0.0:
            time.sleep(duration_ms * 1e-3)


class VirtualClock:
    """A clock that stands still until it is moved.

    Examples
    --------
    >>> clock = VirtualClock()
    >>> clock.wait(2.5)
    >>> clock.now_ms()
    2.5
    """

    __slots__ = ("_now_ms",)

    def __init__(self, start_ms: float = 0.0) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> float:
        """The present instant in milliseconds."""
        return self._now_ms

    def wait(self, duration_ms: float) -> None:
        """Move the clock on by ``duration_ms`` milliseconds at once.

        Raises
        ------
        ConfigurationError
            If ``duration_ms`` is negative: time never runs backwards.
        """
        if duration_ms < 0.0:
            raise ConfigurationError(f"a clock moves forwards only: expected duration_ms >= 0, got {duration_ms}")
        self._now_ms += duration_ms
