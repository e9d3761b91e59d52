"""What the published rules share: a queue in the order of deadlines, large batches that are in time, early drop.

Pure, as the scheduler that they stand beside: events in, commands out. Strict requests are treated like all others; requests that
come with evidence from an earlier answer are not known to these rules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right, insort
from collections.abc import Sequence
from math import inf
from typing import Literal, TypedDict, Unpack

from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.scheduling.messages import (
    Answer,
    Arrived,
    Borrowed,
    Cancelled,
    Command,
    Event,
    Faulted,
    Finished,
    Refuse,
    Returned,
    Run,
)
from cascade.scheduling.service_times import Times

_BUDGET_MEMORY = 0.05
"""Weight of the newest budget in their running mean."""
_LONGEST_BUDGET_MS = 10_000.0


class Queued:
    """One request that has not ended.

    Attributes
    ----------
    request : int
    deadline_ms : float
    order : tuple
        Requests are served in the order of these: class, deadline, arrival.
    evidence_set : int
        Bit mask of the stages that have run for it.
    confidence : float
        Of the answer from them.
    has_ended : bool
        Cancelled while a stage ran for it.
    """

    __slots__ = ("confidence", "deadline_ms", "evidence_set", "has_ended", "order", "request")

    def __init__(self, event: Arrived, number: int) -> None:
        self.request, self.deadline_ms = event.request, event.deadline_ms
        self.order = (int(event.priority), event.deadline_ms, number)
        self.evidence_set, self.confidence = 0, 0.0
        self.has_ended = False

    def __lt__(self, other: Queued) -> bool:
        return self.order < other.order


class Frame(TypedDict, total=False):
    """What every rule takes besides its own.

    Attributes
    ----------
    n_lanes : int
        1 by default.
    max_batch : int
        Largest batch; 32 by default.
    level : float
        Quantile of the service time that counts as its worst case; 0.99 by default.
    drop : {"late", "small batches"}
        Which of the most urgent requests are dropped: those that would be late even alone (the default), or those too that
        force a small batch while enough wait for a large one.
    """

    n_lanes: int
    max_batch: int
    level: float
    drop: Literal["late", "small batches"]


class Baseline(ABC):
    """The frame of a rule: it keeps the queue and the lanes, a rule says which batch is next and which request is done.

    Parameters
    ----------
    service : ServiceTable
    **frame
        As in `Frame`.

    Raises
    ------
    ConfigurationError
        If a number is below 1, or the table knows no such quantile.
    """

    def __init__(self, service: ServiceTable, **frame: Unpack[Frame]) -> None:
        n_lanes, max_batch, level = frame.get("n_lanes", 1), frame.get("max_batch", 32), frame.get("level", 0.99)
        if n_lanes < 1 or max_batch < 1:
            raise ConfigurationError(f"expected n_lanes and max_batch of at least 1, got {n_lanes} and {max_batch}")
        self._times = Times(service, level, max_batch)
        self._queue: list[Queued] = []
        self._alive: dict[int, Queued] = {}
        self._pending: list[Command] = []
        # Of each lane: the stage and the batch that run on it; empty where it is borrowed, None where it is idle.
        self._lanes: list[tuple[int, list[Queued]] | None] = [None] * n_lanes
        self._n_arrived = 0
        self._mean_budget_ms = 0.0
        self._drops_small = frame.get("drop", "late") == "small batches"

    @abstractmethod
    def _next_batch(self, now_ms: float) -> tuple[int, list[Queued]] | None:
        """The stage to run on an idle lane and the requests, still in the queue, to run it for; drops what is too late."""

    def _is_done(self, item: Queued) -> bool:
        """Whether a request is answered from what has run for it; where a rule says nothing else, one stage is enough."""
        return item.evidence_set > 0

    def handle(self, event: Event, now_ms: float) -> None:
        """Take note of what happened."""
        match event:
            case Arrived():
                self._arrive(event, now_ms)
            case Finished():
                self._finish(event)
            case Faulted():
                self._fault(event.lane)
            case Cancelled():
                self._cancel(event.request)
            case Borrowed():
                self._lanes[event.lane] = (-1, [])
            case Returned():
                self._lanes[event.lane] = None

    def poll(self, now_ms: float) -> list[Command]:
        """What to do now."""
        for lane, running in enumerate(self._lanes):
            if running is not None:
                continue
            found = self._next_batch(now_ms) if self._queue else None
            if found is None:
                break
            stage, items = found
            taken = set(items)
            self._queue = [item for item in self._queue if item not in taken]
            self._lanes[lane] = stage, items
            self._pending.append(Run(lane, stage, tuple(item.request for item in items), 0.0, self._closed_by(items)))
        commands, self._pending = self._pending, []
        return commands

    def next_wakeup_ms(self) -> float:
        """Infinite: a lane is idle only while nobody waits, and what is late is dropped when a lane is free for it."""
        return inf

    def _arrive(self, event: Arrived, now_ms: float) -> None:
        if event.evidence_set:
            raise ConfigurationError(
                "expected a request without evidence from an earlier answer, which the published rules do not know, "
                f"got the set {event.evidence_set}: compare without a cache"
            )
        self._n_arrived += 1
        budget_ms = min(event.deadline_ms - now_ms, _LONGEST_BUDGET_MS)
        self._mean_budget_ms += (_BUDGET_MEMORY if self._n_arrived > 1 else 1.0) * (budget_ms - self._mean_budget_ms)
        item = self._alive[event.request] = Queued(event, self._n_arrived)
        insort(self._queue, item)

    def _finish(self, event: Finished) -> None:
        running = self._lanes[event.lane]
        assert running is not None
        self._lanes[event.lane] = None
        stage, items = running
        for item, confidence in zip(items, event.confidences, strict=True):
            if item.has_ended:
                continue
            item.evidence_set |= 1 << stage
            item.confidence = confidence
            if self._is_done(item):
                self._answer(item, is_degraded=False)
            else:
                insort(self._queue, item)

    def _fault(self, lane: int) -> None:
        running = self._lanes[lane]
        assert running is not None
        self._lanes[lane] = None
        for item in running[1]:
            if not item.has_ended:
                self._give_up(item, "failed", "the stage failed")

    def _cancel(self, request: int) -> None:
        item = self._alive.pop(request, None)
        if item is not None:
            item.has_ended = True
            self._queue = [other for other in self._queue if other is not item]

    def _answer(self, item: Queued, *, is_degraded: bool) -> None:
        self._pending.append(Answer(item.request, item.evidence_set, is_degraded))
        del self._alive[item.request]

    def _give_up(self, item: Queued, reason: str, why: str) -> None:
        """Answer from what there is; refuse where there is nothing."""
        if item.evidence_set:
            self._answer(item, is_degraded=True)
            return
        self._pending.append(Refuse(item.request, reason, why))
        del self._alive[item.request]

    def _drop_late(self, now_ms: float, shortest_ms: float) -> bool:
        """Whether somebody waits once the most urgent ones are dropped that cannot be in time any more."""
        queue = self._queue
        n_late = 0
        while n_late < len(queue) and now_ms + shortest_ms > queue[n_late].deadline_ms:
            self._give_up(queue[n_late], "expired", "not even alone it would be in time")
            n_late += 1
        del queue[:n_late]
        return bool(queue)

    def _batch(self, items: Sequence[Queued], stage: int, now_ms: float) -> list[Queued]:
        """The next batch of those that want a stage, in the order of service; the first of them is in time alone."""
        upper_ms = self._times.upper_ms[stage]
        if self._drops_small:
            n_small = n_forcing_small(items, upper_ms, self._sustained_batch(stage), now_ms)
            if n_small:
                dropped = set(items[:n_small])
                for item in items[:n_small]:
                    self._give_up(item, "shed", "dropped so that the others run in a large batch")
                items = items[n_small:]
                self._queue = [item for item in self._queue if item not in dropped]
        return largest_batch(items, upper_ms, now_ms)

    def _sustained_batch(self, stage: int) -> int:
        """The largest batch that takes half of the mean budget: a request may wait for one before its own begins."""
        return max(bisect_right(self._times.upper_ms[stage], 0.5 * self._mean_budget_ms) - 1, 1)

    def _closed_by(self, items: list[Queued]) -> str:
        if len(items) == self._times.max_batch:
            return "limit"
        return "deadline" if self._queue else "nobody else"


def largest_batch(items: Sequence[Queued], upper_ms: Sequence[float], now_ms: float) -> list[Queued]:
    """The first of the items with as many of those behind it as are all in time together.

    Parameters
    ----------
    items : sequence of Queued
        At least one, in the order of service.
    upper_ms : sequence of float
        Worst-case time of a batch, by its size; its last entry is of the largest batch.
    now_ms : float

    References
    ----------
    A. Gujarati, R. Karimi, S. Alzayat, W. Hao, A. Kaufmann, Y. Vigfusson, J. Mace, 2020. Serving DNNs like Clockwork:
    Performance Predictability from the Bottom Up. OSDI.
    """
    n, earliest_ms = 1, items[0].deadline_ms
    limit = min(len(items), len(upper_ms) - 1)
    while n < limit:
        earliest_ms = min(earliest_ms, items[n].deadline_ms)
        if now_ms + upper_ms[n + 1] > earliest_ms:
            break
        n += 1
    return list(items[:n])


def n_forcing_small(items: Sequence[Queued], upper_ms: Sequence[float], wanted: int, now_ms: float) -> int:
    """How many of the first items to drop so that the next one has time for a batch of ``wanted``, or of all that are left.

    Parameters
    ----------
    items : sequence of Queued
        In the order of service.
    upper_ms : sequence of float
        Worst-case time of a batch, by its size.
    wanted : int
    now_ms : float

    References
    ----------
    H. Shen, L. Chen, Y. Jin, L. Zhao, B. Kong, M. Philipose, A. Krishnamurthy, R. Sundaram, 2019. Nexus: A GPU Cluster
    Engine for Accelerating DNN-Based Video Analysis. SOSP.
    """
    for first, item in enumerate(items):
        if now_ms + upper_ms[min(wanted, len(items) - first)] <= item.deadline_ms:
            return first
    return 0
