"""How fast requests arrive, measured over a window.

Pure state.
"""

from __future__ import annotations

from collections import deque

from cascade.errors import ConfigurationError


class ArrivalRate:
    """Arrivals per second over the last ``window_ms``; over the time since the first one where that is less.

    Parameters
    ----------
    window_ms : float

    Examples
    --------
    >>> rate = ArrivalRate(window_ms=100.0)
    >>> for now_ms in (0.0, 10.0, 20.0, 30.0, 40.0):
    ...     rate.arrived(now_ms)
    >>> rate.at(50.0), rate.at(130.0)
    (100.0, 20.0)
    """

    def __init__(self, window_ms: float) -> None:
        if not window_ms > 0.0:
            raise ConfigurationError(f"expected window_ms above 0, got {window_ms}")
        self._window_ms = window_ms
        self._arrivals: deque[float] = deque()
        self._first_ms: float | None = None

    def arrived(self, now_ms: float) -> None:
        """Count one arrival."""
        if self._first_ms is None:
            self._first_ms = now_ms
        self._arrivals.append(now_ms)

    def at(self, now_ms: float) -> float:
        """Arrivals per second; 0 while fewer than two have been seen."""
        oldest_ms = now_ms - self._window_ms
        while self._arrivals and self._arrivals[0] < oldest_ms:
            self._arrivals.popleft()
        if self._first_ms is None or now_ms <= self._first_ms:
            return 0.0
        return 1000.0 * len(self._arrivals) / min(self._window_ms, now_ms - self._first_ms)
