"""The engine: whoever brings an event takes its lock, asks the scheduler what to do, and hands work to the lanes.

There is no thread for the scheduler. A worker for each lane starts with the first request that waits for one, a timer with
the first that has to be watched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Protocol

from cascade.core.policy import Policy
from cascade.errors import ForkedPredictor, PredictorClosed, Unavailable
from cascade.runtime.borrowing import LaneSource
from cascade.runtime.dispatcher import Dispatcher, Resources
from cascade.runtime.lane import Lane
from cascade.runtime.lane_work import LaneWork, Work
from cascade.runtime.lending import Borrower
from cascade.runtime.nesting import HeldLanes
from cascade.runtime.pending import LoneCall, Pending, Refused
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.receivers import deliver
from cascade.scheduling.messages import Arrived, Cancelled, Command, Event
from cascade.scheduling.scheduler import Scheduler
from cascade.telemetry.stats import LoadNow

_CANCELLED = Refused("cancelled", "nobody wants the answer")
_LAST_S = 1.0
"""How long the end of the interpreter waits for a running stage."""


class Owner(Protocol):
    """Who makes answers under one policy."""

    ready: ReadyPolicy

    def adopt(self, pending: Pending) -> None:
        """Take over a request from another owner, before anything has run for it."""
        ...


class Engine(LaneSource):
    """Runs the lanes of one predictor; `follow` somebody before anything is submitted.

    Parameters
    ----------
    resources : Resources
    policy : Policy
        Under which requests are decided at first.

    Attributes
    ----------
    lanes : tuple of Lane
    max_batch : int
    clock : Clock
    renewals : list of callable
        What else is to be done in a child process.
    is_direct : bool
        Whether idle lanes answer without asking the scheduler while there is no load.
    """

    _owner: Owner

    def __init__(self, resources: Resources, policy: Policy) -> None:
        self.lanes, self._resources, self._policy = resources.lanes, resources, policy
        self.clock, self.max_batch = resources.clock, resources.max_batch
        self.renewals: list[Callable[[], None]] = []
        self.is_direct = True
        self.held = HeldLanes(self.lanes)
        for lane in self.lanes:
            lane.note, lane.holding = partial(self._note_direct, lane), partial(self.held.on, lane)
        self._begin()

    def _begin(self) -> None:
        """Nothing is in progress, and no thread has started."""
        self._lock, self._closing = Lock(), Lock()
        self._at_work = Dispatcher(self._resources, self._policy, self)
        # Opens once nothing is in progress while the engine is closed.
        self._drained = Lock()
        self._drained.acquire()
        self._is_retired = False

    def now_ms(self) -> float:
        """The present instant."""
        return self.clock.now_ms()

    @property
    def works(self) -> list[LaneWork]:
        """What runs batches, by lane."""
        return self._at_work.works

    @property
    def refusal(self) -> Unavailable | None:
        """Why nothing is taken any more; None as long as requests are."""
        return self._at_work.refusal

    def follow(self, owner: Owner) -> None:
        """Decide what comes from now on under this owner's policy; what is in progress keeps its own."""
        with self._lock:
            self._policy = owner.ready.policy
            self._at_work.follow(self._policy)
            self._owner = owner

    def submit(self, pending: Pending) -> None:
        """Queue a request; its receiver hears of the outcome, perhaps before this returns.

        Raises
        ------
        Unavailable
            If nothing is taken any more.
        """
        with self._lock:
            self.check_open()
            at_work, request = self._at_work, pending.request.id
            at_work.start_workers()
            if pending.owner is not self._owner:
                self._owner.adopt(pending)
            at_work.alive[request] = pending
            known = pending.evidence_set, pending.confidence
            ended = self._turn(Arrived(request, pending.due_ms, pending.priority, *known, pending.is_strict))
        deliver(ended)

    def answer_alone(self, call: LoneCall) -> bool:
        """Let the thread of an idle lane answer a request without asking the scheduler; False if it is to be queued.

        Only without load: under load the scheduler may want less for it than its time allows.
        """
        if all(lane.is_taken() for lane in self.lanes):
            return False
        with self._lock:
            at_work = self._at_work
            if not self.is_direct or not at_work.workers or at_work.refusal is not None or at_work.scheduler.load.price:
                return False
            lane = next((lane for lane in self.lanes if not lane.is_claimed and lane.take(False)), None)
            if lane is None:
                return False
            call.lane, lane.until_ms = lane, call.request.stop_at_ms
            at_work.workers[lane.number].give(call)
            return True

    def cancel(self, pending: Pending | LoneCall) -> bool:
        """Drop a request that waits or runs; False if it has its outcome already, or is answered alone."""
        with self._lock:
            dropped = self._at_work.alive.pop(pending.request.id, None)
            if dropped is None:
                return False
            dropped.outcome = _CANCELLED
            ended = self._turn(Cancelled(pending.request.id))
        deliver(ended)
        return True

    def finish(self, lane: Lane, work: Work) -> None:
        """A worker has run a batch."""
        with self._lock:
            ended = self._turn(self._at_work.finished(lane, work))
            self._at_work.note_slowdown()
        deliver(ended)

    def tick(self) -> None:
        """Time has passed, or a lane that was claimed is free."""
        with self._lock:
            ended = self._turn()
        deliver(ended)

    def fail(self, error: BaseException) -> None:
        """A thread ended that should not have: nothing goes on."""
        broken = Unavailable(
            f"a thread of the predictor ended: {type(error).__name__}: {error}; make another predictor"
        )
        broken.__cause__ = error
        with self._lock:
            ended = self._at_work.end_all(broken, self.now_ms())
        deliver(ended)

    def join_line(self, borrower: Borrower) -> None:
        """Let somebody wait for a lane.

        Raises
        ------
        Unavailable
            If none is given any more.
        """
        with self._lock:
            self.check_open()
            self._at_work.lending.borrowers.append(borrower)
            ended = self._turn()
        deliver(ended)

    def leave_line(self, borrower: Borrower) -> None:
        """Somebody waits for a lane no longer."""
        with self._lock:
            if borrower in self._at_work.lending.borrowers:
                self._at_work.lending.borrowers.remove(borrower)

    def check_open(self) -> None:
        """Raise `Unavailable` if nothing is taken any more."""
        refusal = self._at_work.refusal
        if refusal is not None:
            # A new one: an error that is raised in many threads collects the traces of all.
            raise type(refusal)(*refusal.args) from refusal.__cause__

    def new_scheduler(self) -> Scheduler:
        """One as this engine's own, that has seen nothing."""
        return self._resources.new_scheduler(self._policy)

    def load(self) -> LoadNow:
        """How things stand."""
        with self._lock:
            scheduler, lanes = self._at_work.scheduler, self.lanes
            factors = {
                stage.name: tuple([scheduler.slowdown.factor(lane.number, j) for lane in lanes])
                for j, stage in enumerate(lanes[0].stages)
            }
            return LoadNow(scheduler.n_waiting, scheduler.load.price, factors, self._at_work.timer.late_ms())

    def decisions(self) -> tuple[tuple[float, Command], ...]:
        """The latest commands of the scheduler, each with the instant it was given at."""
        with self._lock:
            return self._at_work.scheduler.decisions()

    def close(self, drain_ms: float | None = None) -> None:
        """Take nothing any more, finish what is in progress or, once the time for that is over, refuse it; end the threads.

        Called from a worker, it refuses at once, as that worker cannot go on meanwhile.
        """
        at_work = self._at_work
        is_worker = any(worker.is_current for worker in at_work.workers)
        if not self._closing.acquire(not is_worker):
            return
        try:
            with self._lock:
                at_work.refuse(PredictorClosed("the predictor was closed"))
                ended = self._turn()
            deliver(ended)
            until_ms = float("inf") if drain_ms is None else self.now_ms() + drain_ms
            if not is_worker and self.clock.wait_for(self._drained, until_ms):
                self._drained.release()
            self._end_all(timeout_s=None)
            self._resources.threads.forget()
        finally:
            self._closing.release()

    def end(self) -> None:
        """The interpreter ends: refuse what is in progress, and do not wait for long."""
        self._end_all(timeout_s=_LAST_S)

    def retire(self) -> None:
        """Nobody can bring anything any more: let the threads end once nothing is in progress. Safe in a finaliser."""
        self._is_retired = True
        for worker in self._at_work.workers[:1]:
            worker.nudge()

    def renew(self) -> None:
        """In a child process: nothing of what was in progress is, and no thread is there."""
        refusal = self.refusal
        for renew in (*(lane.renew for lane in self.lanes), self.held.clear, *self.renewals):
            renew()
        self._begin()
        devices = sorted({stage.device for stage in self.lanes[0].stages} - {"cpu"})
        if devices:
            refusal = ForkedPredictor(
                f"this process was forked after stages had used {devices}, which a child cannot use: make the predictor after "
                "the fork, or start processes with spawn"
            )
        if refusal is not None:
            self._at_work.refuse(refusal)

    def _turn(self, event: Event | None = None) -> list[Pending]:
        """One turn of the dispatcher; the lock is held."""
        ended = self._at_work.turn(self.now_ms(), event)
        if (self._is_retired or self._at_work.refusal is not None) and self._at_work.is_idle:
            if self._drained.locked():
                self._drained.release()
            if self._is_retired:
                self._at_work.refuse(PredictorClosed("the predictor is not there any more"))
                self._stop_threads()
        return ended

    def _note_direct(self, lane: Lane, stage: int, service_ms: float) -> None:
        """A stage took this long for one item on a lane that a caller holds."""
        lane.counters.count_service(lane.stages[stage].name, 1, service_ms)
        self._at_work.scheduler.slowdown.note(lane.number, stage, 1, service_ms)
        self._at_work.note_slowdown()

    def _end_all(self, timeout_s: float | None) -> None:
        with self._lock:
            ended = self._at_work.end_all(PredictorClosed("the predictor was closed"), self.now_ms())
            self._stop_threads()
        deliver(ended)
        for thread in self._at_work.threads:
            thread.join(timeout_s)

    def _stop_threads(self) -> None:
        for thread in self._at_work.threads:
            thread.stop()
