"""A lane: the right to run stages, held by one thread at a time, with faults contained and thread counts set."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any

from cascade.clock import Clock
from cascade.errors import StageError
from cascade.runtime.breaker import Breaker
from cascade.runtime.thread_counts import ThreadCounts
from cascade.stages.base import RunnableStage
from cascade.telemetry.counters import Counters

INFINITE = float("inf")


class Lane:
    """One execution resource and what it runs on.

    Parameters
    ----------
    stages : sequence of stages
    clock : Clock
    threads : ThreadCounts
    counters : Counters
        Where the holder of the lane counts faults and answers.
    number : int
        Place among the lanes of a predictor.

    Attributes
    ----------
    take, release, is_taken : callable
        Of the lock: ``take(False)`` says whether it was free.
    runs : list of callable
        The stages' own.
    prepared : container of int
        The threads that need not be prepared.
    troubled : int
        Bit mask of the stages whose last call failed: of all others no clock need be read.
    slowdown : float
        Measured over profiled service times of late; exactly 1 while they hardly differ.
    note : callable
        Told which stage took how many milliseconds for one item.
    until_ms : float
        When who holds the lane expects to be done.
    at_work : callable
        Context of a thread other than a caller's that runs stages of it.
    holding : callable
        Context of a thread that has taken it and runs stages.
    caller : int or None
        The thread that answers one item on it, instead of `holding`.
    is_claimed : bool
        Whether somebody waits for who holds the lane without having been told to; they call the engine once it is released.
    """

    def __init__(
        self, stages: Sequence[RunnableStage], clock: Clock, threads: ThreadCounts, counters: Counters, number: int = 0
    ) -> None:
        self.stages, self.number = tuple(stages), number
        self.runs = [stage.run for stage in stages]
        self.counters = counters
        self.breakers = [Breaker() for _ in stages]
        self.troubled = 0
        self.slowdown = 1.0
        self.until_ms = INFINITE
        self.note: Callable[[int, float], None] = _forget
        self.at_work: Callable[[], AbstractContextManager[None]] = nullcontext
        self.holding: Callable[[], AbstractContextManager[None]] = nullcontext
        self._now = clock.now_ms
        self._threads = threads
        # Stages on a device run on the stream of the lane.
        self._on_device = [stage for stage in stages if hasattr(stage, "use_lane") and stage.device != "cpu"]
        self.prepared: Container[int] = () if self._on_device else threads.known
        self.renew()

    def renew(self) -> None:
        """Free it, whoever holds it: in a child process the holder is not there."""
        self._lock = Lock()
        self.take, self.release, self.is_taken = self._lock.acquire, self._lock.release, self._lock.locked
        self.is_claimed = False
        self.caller: int | None = None

    def prepare(self) -> None:
        """Make the calling thread, which has just taken the lane, fit to run stages."""
        self._threads.limit()
        self.use_device()

    def use_device(self) -> None:
        """Let the calling thread run stages on a device on the stream of this lane."""
        for stage in self._on_device:
            stage.use_lane(self.number)

    def run(self, j: int, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """One call of stage j while the lane is held; who reads what it returned also says `accept` or `reject`.

        Raises
        ------
        StageError
            If the model raises; the cause is attached.
        """
        try:
            return self.runs[j](batch, carry)
        except Exception as error:
            raise self.fault_of(j, error) from error

    def fault_of(self, j: int, error: Exception) -> StageError:
        """What to say about a model that raised."""
        if isinstance(error, StageError):
            return error
        return StageError(f"stage {self.stages[j].name!r} raised {type(error).__name__}: {error}")

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


def _forget(stage: int, service_ms: float) -> None:
    """Before there is an engine."""
