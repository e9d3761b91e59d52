"""A lane: the right to run stages, held by one caller at a time, with faults contained and thread counts set.

The only module of the package that holds a lock while a stage runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from threading import Lock, get_ident
from typing import Any

from cascade.clock import Clock
from cascade.errors import StageError
from cascade.runtime.breaker import Breaker
from cascade.stages.base import RunnableStage
from cascade.telemetry.counters import Counters

LEAVE_THREADS = 0


class Lane:
    """One execution resource and what it runs on; use it as a context manager around runs.

    Parameters
    ----------
    stages : sequence of stages
    clock : Clock
    n_threads : int
        Intra-op threads of each calling thread; `LEAVE_THREADS` touches nothing.
    counters : Counters
        Where faults are counted.

    Attributes
    ----------
    troubled : int
        Bit mask of the stages whose last call failed: of all others no clock need be read.
    """

    def __init__(self, stages: Sequence[RunnableStage], clock: Clock, n_threads: int, counters: Counters) -> None:
        self.stages = tuple(stages)
        self._runs = [stage.run for stage in stages]
        self.counters = counters
        self.breakers = [Breaker() for _ in stages]
        self.troubled = 0
        self._now = clock.now_ms
        self._lock = Lock()
        self.release = self._lock.release
        self._n_threads = n_threads
        self._limited: dict[int, ExitStack] = {}
        self._waiting: set[int] = set()

    def acquire(self) -> float:
        """Take the lane; the milliseconds that this had to wait. Whoever takes it must `release` it."""
        waited_ms = 0.0
        if not self._lock.acquire(False):
            asked_ms, thread = self._now(), get_ident()
            self._waiting.add(thread)
            try:
                self._lock.acquire()
            finally:
                self._waiting.discard(thread)
            waited_ms = self._now() - asked_ms
        self._prepare_thread()
        return waited_ms

    def acquire_if_free(self) -> bool:
        """Take the lane unless somebody has it or waits for it; whoever takes it must `release` it."""
        if self.is_wanted or not self._lock.acquire(False):
            return False
        if self.is_wanted:
            # Came between the two looks: a lock does not know who came first.
            self.release()
            return False
        self._prepare_thread()
        return True

    @property
    def is_wanted(self) -> bool:
        """Whether a caller waits for the lane."""
        return bool(self._waiting)

    def _prepare_thread(self) -> None:
        if self._n_threads != LEAVE_THREADS and get_ident() not in self._limited:
            try:
                self._limit_threads()
            except BaseException:
                self.release()
                raise

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def run(self, j: int, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """One call of stage j while the lane is held; who reads what it returned also says `accept` or `reject`.

        Raises
        ------
        StageError
            If the model raises; the cause is attached.
        """
        try:
            return self._runs[j](batch, carry)
        except Exception as error:
            raise StageError(f"stage {self.stages[j].name!r} raised {type(error).__name__}: {error}") from error

    def reject(self, j: int) -> None:
        """Stage j raised, or what it returned could not be used."""
        self.counters.count_fault(self.stages[j].name)
        self.breakers[j].note_failure(self._now())
        self.troubled |= 1 << j

    def accept(self, j: int) -> None:
        """Stage j answered."""
        if self.troubled >> j & 1:
            self.breakers[j].note_success()
            self.troubled &= ~(1 << j)

    def is_fenced(self, j: int) -> bool:
        """Whether stage j failed so often of late that it should not be called now."""
        return bool(self.troubled >> j & 1) and self.breakers[j].is_fenced(self._now())

    def usable(self, candidates: Sequence[int], failed: int) -> list[int]:
        """The candidates that are not among the failed (a bit mask) and are not fenced off, in their order."""
        return [j for j in candidates if not (failed >> j & 1 or self.is_fenced(j))]

    def close(self) -> None:
        """Give the calling thread, and the pools of the process, their thread counts back."""
        with self._lock:
            mine = self._limited.pop(get_ident(), None)
            self._limited.clear()
        if mine is not None:
            mine.close()

    def _limit_threads(self) -> None:
        stack = ExitStack()
        for stage in self.stages:
            if stage.threads() != self._n_threads:
                stack.enter_context(stage.limit_threads(self._n_threads))
        self._limited[get_ident()] = stack
