"""A thread that calls at an instant: for what must happen while every lane is busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock, Thread, current_thread

from cascade.clock import Clock

INFINITE = float("inf")
_REMEMBERED = 1024


class Timer:
    """Calls somebody at the instant that was set last; its thread starts with the first one.

    Parameters
    ----------
    clock : Clock
    call : callable
        May set the next instant.

    Notes
    -----
    `set` and `stop` are serialised by the owner. The end of a wait is spun away, as plain waits end late: what is left of
    the lateness is in `lateness_ms`.
    """

    def __init__(self, clock: Clock, call: Callable[[], None]) -> None:
        self._clock, self._call = clock, call
        self._gate = Lock()
        self._gate.acquire()
        self._at_ms = self._awake_ms = INFINITE
        self._is_stopped = False
        self._thread: Thread | None = None
        self._late_ms: deque[float] = deque(maxlen=_REMEMBERED)

    def set(self, at_ms: float) -> None:
        """Call at this instant instead of the one that was set before; infinite for not at all."""
        self._at_ms = at_ms
        # To wake up once for an instant that was put off costs less than to be woken for every one that is set.
        if at_ms >= self._awake_ms:
            return
        if self._thread is None:
            self._thread = Thread(target=self._work, name="cascade-timer", daemon=True)
            self._thread.start()
        else:
            self._wake()

    def stop(self) -> None:
        """Let the thread end."""
        self._is_stopped = True
        self._wake()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the thread has ended, if it has ever started and is not this one."""
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join(timeout_s)

    def late_ms(self, level: float = 0.99) -> float:
        """A quantile of how late the latest waits ended; 0 before the first."""
        lateness = sorted(self._late_ms)
        return lateness[min(int(level * len(lateness)), len(lateness) - 1)] if lateness else 0.0

    def _wake(self) -> None:
        if self._gate.locked():
            self._gate.release()

    def _work(self) -> None:
        while not self._is_stopped:
            # First, so that an instant that is set from here on opens the gate.
            self._awake_ms = INFINITE
            self._awake_ms = at_ms = self._at_ms
            if self._clock.wait_for(self._gate, at_ms) or self._clock.now_ms() < self._at_ms:
                continue
            self._late_ms.append(self._clock.now_ms() - at_ms)
            # Who is called sets the next one, and looks at all that was set meanwhile.
            self._at_ms = INFINITE
            self._call()
