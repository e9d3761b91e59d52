"""A circuit breaker per stage: after repeated failures a stage is left alone for a while, then tried again.

Time comes in as an argument; the owner serialises the calls.
"""

from __future__ import annotations

MAX_FAILURES = 3
FENCE_MS = 1000.0


class Breaker:
    """Counts consecutive failures of one stage.

    Parameters
    ----------
    max_failures : int
        Failures in a row after which the stage is fenced off.
    fence_ms : float
        Milliseconds until it is tried again; doubled, up to 64 times, while the trial fails too.

    Examples
    --------
    >>> breaker = Breaker(max_failures=1, fence_ms=100.0)
    >>> breaker.note_failure(now_ms=0.0)
    >>> breaker.is_fenced(now_ms=50.0), breaker.is_fenced(now_ms=150.0)
    (True, False)
    """

    __slots__ = ("_failures", "_fence_ms", "_fenced_until_ms", "_max_failures")

    def __init__(self, max_failures: int = MAX_FAILURES, fence_ms: float = FENCE_MS) -> None:
        self._max_failures, self._fence_ms = max_failures, fence_ms
        self._failures = 0
        self._fenced_until_ms = float("-inf")

    def is_fenced(self, now_ms: float) -> bool:
        """Whether the stage should not be called now."""
        return now_ms < self._fenced_until_ms

    def note_failure(self, now_ms: float) -> None:
        """The stage failed."""
        self._failures += 1
        if self._failures >= self._max_failures:
            doublings = min(self._failures - self._max_failures, 6)
            self._fenced_until_ms = now_ms + self._fence_ms * 2**doublings

    def note_success(self) -> None:
        """The stage answered."""
        self._failures = 0
        self._fenced_until_ms = float("-inf")
