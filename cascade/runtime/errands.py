"""Requests that nobody's thread waits for, while they wait for what another request finds out.

Asks neither cache nor scheduler: whoever opens the room says what becomes of who has waited.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from itertools import count
from threading import Lock, Thread, current_thread
from typing import Any

from cascade.caching.flight import Join
from cascade.clock import Clock
from cascade.runtime.cache_use import CacheUse
from cascade.runtime.memory import Start
from cascade.runtime.receivers import LaneFuture, LoopReceiver
from cascade.runtime.single import Request

INFINITE = float("inf")


class Errand:
    """A request with a cache, of which somebody will be told the outcome.

    Parameters
    ----------
    owner : object
        Who makes the answer.
    use : CacheUse
    request : Request
    priority : str
    is_strict : bool
    receiver : LaneFuture or LoopReceiver

    Attributes
    ----------
    stopped : Start or None
        What the answer rests on, once what is known is enough.
    error : BaseException or None
        Why there is no answer.
    wait : Wait or None
        Its latest place in a waiting room.
    """

    __slots__ = ("error", "is_strict", "owner", "priority", "receiver", "request", "stopped", "use", "wait")

    def __init__(
        self,
        owner: Any,
        use: CacheUse,
        request: Request,
        priority: str,
        *,
        is_strict: bool,
        receiver: LaneFuture | LoopReceiver,
    ) -> None:
        self.owner, self.use, self.request, self.priority = owner, use, request, priority
        self.is_strict, self.receiver = is_strict, receiver
        self.stopped: Start | None = None
        self.error: BaseException | None = None
        self.wait: Wait | None = None

    def stop_waiting(self) -> bool:
        """Wait no longer, and let nothing become of it; False if it does not wait any more."""
        wait = self.wait
        if wait is None or not wait.end():
            return False
        wait.turn.leave()
        return True


class Wait:
    """One errand's place in a waiting room; whoever ends it first has it."""

    __slots__ = ("_tokens", "errand", "turn")

    def __init__(self, errand: Errand, turn: Join) -> None:
        self.errand, self.turn = errand, turn
        self._tokens = [True]

    def end(self) -> bool:
        """Whether this call is the one that ends it. Safe in a finaliser."""
        try:
            return self._tokens.pop()
        except IndexError:
            return False

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return not self._tokens


class WaitingRoom:
    """Wakes errands when whom they wait for has ended, or their patience; its thread lives as long as somebody waits.

    Parameters
    ----------
    clock : Clock
    woken : callable
        Told of the errand and whom it waited for, on the room's thread; raises nothing.
    """

    def __init__(self, clock: Clock, woken: Callable[[Errand, Join], None]) -> None:
        self._clock, self._woken, self._numbers = clock, woken, count()
        self.renew()

    def renew(self) -> None:
        """In a child process: nobody waits here, and no thread is there."""
        self._lock, self._gate = Lock(), Lock()
        self._gate.acquire()
        self._ended: deque[Wait] = deque()
        self._by_patience: list[tuple[float, int, Wait]] = []
        self._waiting: dict[int, Wait] = {}
        self._thread: Thread | None = None
        self._is_closed = False

    def enter(self, errand: Errand, turn: Join, until_ms: float) -> bool:
        """Let an errand wait; False if it must not, on this thread, or the room is closed."""
        wait = Wait(errand, turn)
        with self._lock:
            if self._is_closed:
                return False
            number = next(self._numbers)
            errand.wait, errand.receiver.request = wait, errand
            if not turn.call_back(partial(self._end, wait)):
                errand.wait = errand.receiver.request = None
                return False
            self._waiting[number] = wait
            if until_ms < INFINITE:
                heappush(self._by_patience, (until_ms, number, wait))
            if self._thread is None:
                self._thread = Thread(target=self._work, name="cascade-joins", daemon=True)
                self._thread.start()
        self._wake()
        return True

    def nudge(self) -> None:
        """Somebody waits no longer: look whether anybody is left."""
        self._wake()

    def close(self) -> None:
        """Wake everybody, and let nobody in any more; returns once all have been told."""
        with self._lock:
            self._is_closed, thread = True, self._thread
        self._wake()
        if thread is not None and thread is not current_thread():
            thread.join()

    def _end(self, wait: Wait) -> None:
        """Whom somebody waited for has ended. Takes no lock: it may be a finaliser who says so."""
        self._ended.append(wait)
        self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError):
            self._gate.release()

    def _work(self) -> None:
        while True:
            for wait in self._due():
                if wait.end():
                    wait.turn.leave()
                    self._woken(wait.errand, wait.turn)
            with self._lock:
                self._waiting = {number: wait for number, wait in self._waiting.items() if not wait.is_over}
                if not self._waiting:
                    self._thread = None
                    return
                while self._by_patience and self._by_patience[0][2].is_over:
                    heappop(self._by_patience)
                until_ms = self._by_patience[0][0] if self._by_patience else INFINITE
            if not self._is_closed:
                self._clock.wait_for(self._gate, until_ms)

    def _due(self) -> list[Wait]:
        """Who is to be told now."""
        due: list[Wait] = []
        with suppress(IndexError):
            while True:
                due.append(self._ended.popleft())
        with self._lock:
            now_ms = self._clock.now_ms()
            while self._by_patience and self._by_patience[0][0] <= now_ms:
                due.append(heappop(self._by_patience)[2])
            if self._is_closed:
                due += self._waiting.values()
        return due
