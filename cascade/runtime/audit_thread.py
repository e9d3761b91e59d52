"""A thread that runs audits while a lane is free.

It starts when there is something to do and ends when there has been nothing for a moment, so that it never keeps a
program from ending.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Event, Thread

from cascade.runtime.engine import Engine
from cascade.runtime.lane import Lane

_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.0001, 0.05
_LINGER_S = 0.1


class AuditThread:
    """Runs what waits, one stage at a time, whenever nobody else wants the lanes.

    Parameters
    ----------
    engine : Engine
        Whose lanes are used.
    run_next : callable
        Runs one audit, given what takes a lane; False if none waits.

    Notes
    -----
    It pauses before every stage and looks whether a request waits, so a request waits for one stage of an audit at most.
    Starting the thread takes about a tenth of a millisecond, on the request that was drawn after a longer pause.
    """

    def __init__(self, engine: Engine, run_next: Callable[[Callable[[], Lane | None]], bool]) -> None:
        self._engine, self._run_next = engine, run_next
        self._closing = Event()
        self._changed = Condition()
        self._thread: Thread | None = None
        self._is_called = False

    def wake(self) -> None:
        """There is something to do."""
        with self._changed:
            if self._closing.is_set():
                return
            self._is_called = True
            # After a fork the thread is there in name only.
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._work, name="cascade-audits")
                self._thread.start()
            else:
                self._changed.notify()

    def close(self) -> None:
        """Let the running stage end, and the thread with it."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while self._is_wanted():
            while not self._closing.is_set() and self._run_next(self._take_free_lane):
                pass

    def _is_wanted(self) -> bool:
        """Whether it is called within the time that it lingers; the thread ends where not."""
        with self._changed:
            if not self._is_called and not self._closing.is_set():
                self._changed.wait(_LINGER_S)
            is_called, self._is_called = self._is_called, False
            if not is_called or self._closing.is_set():
                self._thread = None
                return False
            return True

    def _take_free_lane(self) -> Lane | None:
        """Wait until a lane is free and nobody waits for it; None if the predictor closes before."""
        pause_s = _SHORTEST_PAUSE_S
        while not self._closing.wait(pause_s):
            if (lane := self._engine.borrow_free()) is not None:
                return lane
            pause_s = min(2.0 * pause_s, _LONGEST_PAUSE_S)
        return None
