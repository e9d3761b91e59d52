"""Between the scheduler and the lanes: what is in progress, and how its commands are carried out.

Every method holds the engine's lock; none waits, and none calls whoever gets an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isnan

from cascade.clock import Clock
from cascade.core.policy import Policy
from cascade.errors import CascadeError, PredictorClosed, Unavailable
from cascade.runtime.lane import Lane
from cascade.runtime.lane_work import LaneWork, Work, work_for
from cascade.runtime.lending import Lending
from cascade.runtime.pending import Pending, Refused
from cascade.runtime.thread_counts import ThreadCounts
from cascade.runtime.timer import Timer
from cascade.runtime.worker import Employer, Worker
from cascade.scheduling.messages import Answer, Arrived, Cancelled, Event, Faulted, Finished, Refuse, Run
from cascade.scheduling.scheduler import Scheduler
from cascade.telemetry.requests import StageRun

_AS_PROFILED = 0.1
"""Stages that are slower or faster by less than this share count as profiled on the direct path."""
_SAME_MS = 1e-5


@dataclass(frozen=True, slots=True)
class Resources:
    """What an engine runs on.

    Attributes
    ----------
    lanes : tuple of Lane
    clock : Clock
    threads : ThreadCounts
    max_batch : int
    new_scheduler : callable
        Makes a scheduler for a policy.
    """

    lanes: tuple[Lane, ...]
    clock: Clock
    threads: ThreadCounts
    max_batch: int
    new_scheduler: Callable[[Policy], Scheduler]


class Dispatcher:
    """Carries out what a scheduler says.

    Parameters
    ----------
    resources : Resources
    policy : Policy
        Under which requests are decided at first.
    employer : Employer
        Whose workers and timer these are.

    Attributes
    ----------
    scheduler : Scheduler
    lending : Lending
    alive : dict of int to Pending
        Requests that have no outcome yet.
    timer : Timer
    works : list of LaneWork
        What runs batches, by lane.
    workers : list of Worker
        One for each lane, or none yet.
    refusal : Unavailable or None
        Why nothing is taken any more.
    """

    def __init__(self, resources: Resources, policy: Policy, employer: Employer) -> None:
        self._resources, self._policy, self._employer = resources, policy, employer
        self._lanes = resources.lanes
        self._longest_ms = float(policy.times().mean_ms.sum())
        self.scheduler = resources.new_scheduler(policy)
        self.lending = Lending(resources.lanes)
        self.alive: dict[int, Pending] = {}
        self.timer = Timer(resources.clock, employer.tick)
        self.works = [LaneWork(lane, resources.clock, resources.max_batch) for lane in resources.lanes]
        self.workers: list[Worker] = []
        self.refusal: Unavailable | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in progress."""
        return not self.alive and self.lending.is_idle

    @property
    def threads(self) -> list[Worker | Timer]:
        """All that may have started."""
        return [*self.workers, self.timer]

    def start_workers(self) -> None:
        """One for each lane, unless they are there."""
        if not self.workers:
            threads = self._resources.threads
            self.workers = [Worker(doing, threads, self._employer) for doing in self.works]

    def follow(self, policy: Policy) -> None:
        """Decide under another policy what comes from now on."""
        if policy is not self._policy:
            self._policy = policy
            self.scheduler.follow(policy)

    def turn(self, now_ms: float, event: Event | None = None) -> list[Pending]:
        """Tell the scheduler, and do what it says; the requests that have ended by it."""
        try:
            return self._decide(now_ms, event)
        except Exception as error:  # noqa: BLE001 - else everybody would wait for ever for an engine that stopped half-way
            broken = Unavailable(f"the engine cannot go on: {type(error).__name__}: {error}; make another predictor")
            broken.__cause__ = error
            return self.end_all(broken, now_ms)

    def end_all(self, refusal: Unavailable, now_ms: float) -> list[Pending]:
        """Take nothing any more, and end what is in progress: from the evidence there is, else without an answer."""
        self.refuse(refusal)
        ended = [*self.alive.values()]
        self.alive.clear()
        is_whole = type(refusal) is PredictorClosed
        for pending in ended:
            request = pending.request.id
            if is_whole:
                self.scheduler.handle(Cancelled(request), now_ms)
            is_answer = is_whole and pending.evidence_set
            self._end(pending, Answer(request, pending.evidence_set, True) if is_answer else refusal, now_ms)
        self.lending.turn_away()
        return ended

    def refuse(self, refusal: Unavailable) -> None:
        """Take nothing any more; what is in progress goes on."""
        self.refusal = self.refusal or refusal
        self.lending.claim_for_ever()

    def finished(self, lane: Lane, work: Work) -> Event:
        """Let what a stage said count; the event for the scheduler."""
        confidences = tuple([_confidence_after(work, i) for i in range(len(work.members))])
        self.lending.finish(lane)
        _note_run(lane, work)
        return Faulted(lane.number) if work.has_failed else Finished(lane.number, confidences, work.service_ms)

    def note_slowdown(self) -> None:
        """Let the direct path know how much longer than profiled stages take."""
        factor = self.scheduler.slowdown.overall
        for lane in self._lanes:
            lane.slowdown = 1.0 if abs(factor - 1.0) < _AS_PROFILED else factor

    def _decide(self, now_ms: float, event: Event | None) -> list[Pending]:
        scheduler, lending = self.scheduler, self.lending
        if event is not None:
            scheduler.handle(event, now_ms)
        idle = lending.take_idle(scheduler, now_ms, self._longest_ms)
        if lending.borrowers:
            lending.grant(idle, scheduler, now_ms, is_needed=scheduler.n_waiting > 0)
        if type(event) is Arrived and not idle and (wakeup_ms := scheduler.next_wakeup_ms()) > now_ms:
            # With every lane busy there is nothing to decide about a request that comes, unless the scheduler says so.
            self.timer.set(wakeup_ms)
            return []
        ended: list[Pending] = []
        for command in scheduler.poll(now_ms):
            if isinstance(command, Run):
                idle.remove(self._lanes[command.lane])
                self._hand_over(command, now_ms)
            elif (pending := self.alive.pop(command.request, None)) is not None:
                self._conclude(pending, command, now_ms)
                ended.append(pending)
        if lending.borrowers and idle:
            lending.grant(idle, scheduler, now_ms, is_needed=False)
        for lane in idle:
            lane.release()
        wakeup_ms = scheduler.next_wakeup_ms()
        # An instant that is not in the future has just been dealt with.
        self.timer.set(wakeup_ms if wakeup_ms > now_ms else inf)
        return ended

    def _hand_over(self, run: Run, now_ms: float) -> None:
        """Give a batch to the worker of its lane, which is taken."""
        lane, members = self._lanes[run.lane], [self.alive[request] for request in run.requests]
        price = max(run.price, self.scheduler.load.price)
        for member in members:
            if member.started_ms == -inf:
                member.started_ms = now_ms
            member.decide(price, now_ms)
        lane.counters.count_run(lane.stages[run.stage].name, len(members), run.closed_by)
        self.lending.run(lane)
        self.workers[run.lane].give(work_for(run.stage, members, run.closed_by))

    def _conclude(self, pending: Pending, command: Answer | Refuse, now_ms: float) -> None:
        """End a request as the scheduler says."""
        scheduler = self.scheduler
        pending.was_due = pending.is_strict and now_ms >= pending.due_ms - _SAME_MS
        if isinstance(command, Refuse):
            refused = Refused(command.reason, command.why, scheduler.n_waiting, scheduler.load.price)
            self._end(pending, refused, now_ms)
        elif not pending.evidence_set:
            self._end(pending, Refused("failed", "nothing that the stages said could be used"), now_ms)
        else:
            pending.decide(scheduler.load.price, now_ms)
            self._end(pending, command, now_ms)

    def _end(self, pending: Pending, outcome: Answer | Refused | CascadeError, now_ms: float) -> None:
        pending.stopped_ms = now_ms
        if isinstance(outcome, Answer) and outcome.is_degraded:
            pending.is_degraded = True
        pending.outcome = outcome


def _note_run(lane: Lane, work: Work) -> None:
    """Count what a batch took, and note it with those of its requests that somebody hears of."""
    name, n = lane.stages[work.stage].name, len(work.members)
    if not work.has_failed:
        lane.counters.count_service(name, n, work.service_ms)
    if any(member.request.trail is not None for member in work.members) and not isnan(work.began_ms):
        ended_ms = work.began_ms + work.service_ms
        run = StageRun(name, lane.number, n, work.began_ms, ended_ms, work.has_failed, work.closed_by)
        for member in work.members:
            if member.request.trail is not None:
                member.request.trail.runs.append(run)


def _confidence_after(work: Work, i: int) -> float:
    """Of one request of a batch that has run, under what is known of it now."""
    member, fault = work.members[i], work.faults.get(i)
    if member.outcome is not None:
        return 0.0
    if fault is not None:
        member.note_fault(fault)
    else:
        member.commit(work.stage)
    return member.confidence
