"""Time as a value that is handed in: a clock that ticks by itself, and one that tests move.

Knows nothing of the package but its errors. All instants and durations are float milliseconds.
"""

from __future__ import annotations

import time
from threading import TIMEOUT_MAX, Lock
from time import perf_counter_ns
from typing import Protocol

from cascade.errors import ConfigurationError

_SPIN_MS = 0.2
"""What is left of a wait when looking again and again takes over from sleeping, which ends late."""
_LONGEST_S = min(TIMEOUT_MAX, 86400.0)


class Gate(Protocol):
    """What a wait can be ended by: a `threading.Lock` that is held until then."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, if it is given up in time."""
        ...

    def release(self) -> None:
        """Give it up."""
        ...


class Clock(Protocol):
    """What the package needs of a clock: an instant that never runs backwards, and waits."""

    def now_ms(self) -> float:
        """The present instant in milliseconds from an arbitrary origin."""
        ...

    def wait(self, duration_ms: float) -> None:
        """Return once ``duration_ms`` milliseconds have passed."""
        ...

    def wait_for(self, gate: Gate, until_ms: float) -> bool:
        """Take the gate once it opens, or return at an instant; whether the gate was taken."""
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

    def wait_for(self, gate: Gate, until_ms: float) -> bool:
        """Take the gate once it opens, or return at an instant.

        Parameters
        ----------
        gate : threading.Lock
        until_ms : float
            Infinite for no limit.

        Returns
        -------
        bool
            Whether the gate was taken.

        Notes
        -----
        The last fifth of a millisecond is spent looking again and again, with the interpreter free for others in between.
        """
        while (left_ms := until_ms - self.now_ms()) > _SPIN_MS:
            if gate.acquire(timeout=min((left_ms - _SPIN_MS) * 1e-3, _LONGEST_S)):
                return True
        while not gate.acquire(False):
            if self.now_ms() >= until_ms:
                return False
            time.sleep(0.0)
        return True


class VirtualClock:
    """A clock that stands still until it is moved.

    Examples
    --------
    >>> clock = VirtualClock()
    >>> clock.wait(2.5)
    >>> clock.now_ms()
    2.5
    """

    __slots__ = ("_lock", "_now_ms", "_waiting")

    def __init__(self, start_ms: float = 0.0) -> None:
        self._now_ms = start_ms
        self._lock = Lock()
        self._waiting: dict[int, tuple[float, Gate]] = {}

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
        with self._lock:
            self._now_ms += duration_ms
            for key, (until_ms, gate) in [*self._waiting.items()]:
                if until_ms <= self._now_ms:
                    del self._waiting[key]
                    _open(gate)

    def wait_for(self, gate: Gate, until_ms: float) -> bool:
        """Take the gate once it opens, or return once the clock was moved to an instant; whether the gate was taken."""
        with self._lock:
            if until_ms <= self._now_ms:
                return gate.acquire(False)
            self._waiting[id(gate)] = (until_ms, gate)
        gate.acquire()
        with self._lock:
            # Not there any more: it was the clock that opened the gate.
            return self._waiting.pop(id(gate), None) is not None


def _open(gate: Gate) -> None:
    try:
        gate.release()
    except RuntimeError:
        # Somebody else has opened it already.
        return
