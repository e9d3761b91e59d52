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
from cascade.simulation.baselines.batching import Batch, Queued, largest_batch, n_forcing_small

_BUDGET_MEMORY = 0.05
"""Weight of the newest budget in their running mean."""
_LONGEST_BUDGET_MS = 10_000.0
_BORROWED = Batch(-1, [], "")


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
        If a number is below 1, ``drop`` is neither, or the table knows no such quantile.
    """

    def __init__(self, service: ServiceTable, **frame: Unpack[Frame]) -> None:
        n_lanes, max_batch, level = frame.get("n_lanes", 1), frame.get("max_batch", 32), frame.get("level", 0.99)
        if n_lanes < 1 or max_batch < 1:
            raise ConfigurationError(f"expected n_lanes and max_batch of at least 1, got {n_lanes} and {max_batch}")
        drop = frame.get("drop", "late")
        if drop not in {"late", "small batches"}:
            raise ConfigurationError(f'expected drop="late" or drop="small batches", got {drop!r}')
        self._times = Times(service, level, max_batch)
        self._queue: list[Queued] = []
        self._alive: dict[int, Queued] = {}
        self._pending: list[Command] = []
        # What runs on each lane, None where it is idle.
        self._lanes: list[Batch | None] = [None] * n_lanes
        self._n_arrived = 0
        # Of late, for rules that size batches beforehand.
        self._mean_budget_ms = 0.0
        self._drops_small = drop == "small batches"

    @abstractmethod
    def _next_batch(self, now_ms: float) -> Batch | None:
        """What to run on an idle lane, its requests still in the queue; drops what is too late."""

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
                self._lanes[event.lane] = _BORROWED
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
            taken = set(found.items)
            self._queue = [item for item in self._queue if item not in taken]
            self._lanes[lane] = found
            requests = tuple(item.request for item in found.items)
            self._pending.append(Run(lane, found.stage, requests, 0.0, found.closed_by))
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
        for item, confidence in zip(running.items, event.confidences, strict=True):
            if item.has_ended:
                continue
            item.evidence_set |= 1 << running.stage
            item.confidence = confidence
            if self._is_done(item):
                self._answer(item, is_degraded=False)
            else:
                insort(self._queue, item)

    def _fault(self, lane: int) -> None:
        running = self._lanes[lane]
        assert running is not None
        self._lanes[lane] = None
        for item in running.items:
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

    def _batch(self, items: Sequence[Queued], stage: int, now_ms: float) -> Batch:
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
        n = largest_batch(items, upper_ms, now_ms)
        closed_by = "nobody else" if n == len(items) else "limit" if n == self._times.max_batch else "deadline"
        return Batch(stage, list(items[:n]), closed_by)

    def _sustained_batch(self, stage: int) -> int:
        """The largest batch that takes half of the mean budget: a request may wait for one before its own begins."""
        return max(bisect_right(self._times.upper_ms[stage], 0.5 * self._mean_budget_ms) - 1, 1)
