"""The scheduler: a state machine that is told what happened and says what to do; it never waits and never looks at a clock.

The owner calls `handle` for every event and `poll` afterwards, carries out the commands, and polls again at `next_wakeup_ms`.
"""

from __future__ import annotations

from collections import deque
from math import inf

from cascade.core.guarantee import check_overload
from cascade.core.policy import Policy
from cascade.core.table import STOP_BYTE
from cascade.errors import ConfigurationError
from cascade.scheduling.admission import Admission
from cascade.scheduling.batching import closed_batch
from cascade.scheduling.load import IDLE, Load, LoadPrice
from cascade.scheduling.messages import (
    Answer,
    Arrived,
    Borrowed,
    Cancelled,
    Command,
    Event,
    Faulted,
    Finished,
    Priority,
    Refuse,
    Returned,
    Run,
)
from cascade.scheduling.outlook import Outlook
from cascade.scheduling.service_times import Times
from cascade.scheduling.slowdown import SlowDown
from cascade.scheduling.waiting import Item, Waiting

_IDLE, _BORROWED = -1, -2
_LATER_MS = 1e-6
"""A request expires this much after the last instant at which it could have started."""
_LOG = 256


class _Lane:
    """What a lane does."""

    __slots__ = ("free_at_ms", "free_by_ms", "items", "stage", "started_ms")

    def __init__(self) -> None:
        self.stage = _IDLE
        self.items: list[Item] = []
        self.started_ms = self.free_at_ms = self.free_by_ms = 0.0


class Scheduler:
    """Requests in, commands out.

    Parameters
    ----------
    policy : Policy
    n_lanes : int
    max_batch : int
        Largest batch.
    max_waiting : int
        Requests that may wait; more are rejected.
    headroom : float
        Share of the time that is planned, in (0, 1]; the rest is for what takes longer than its mean.
    background_share : float
        Share of the batches, in [0, 1], that go to the background class while others wait too.
    on_overload : {"degrade", "shed"}
        Whether the price may rise above that of the policy's guarantee.
    guard_ms : float
        Strict requests are answered this much before their deadline.

    Attributes
    ----------
    load : Load
        What ruled when a lane was last given work.
    slowdown : SlowDown

    Raises
    ------
    ConfigurationError
        If an argument cannot work.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        n_lanes: int = 1,
        max_batch: int = 32,
        max_waiting: int = 1024,
        headroom: float = 0.8,
        background_share: float = 0.05,
        on_overload: str = "degrade",
        guard_ms: float = 0.0,
    ) -> None:
        _check(n_lanes, max_batch, max_waiting, headroom, background_share)
        check_overload(on_overload)
        self._max_batch, self._max_waiting, self._on_overload = max_batch, max_waiting, on_overload
        self.guard_ms = guard_ms
        self._price = LoadPrice(n_lanes, headroom)
        self._lanes = [_Lane() for _ in range(n_lanes)]
        self._waiting = Waiting()
        self._alive: dict[int, Item] = {}
        self._strict: set[Item] = set()
        self._pending: list[Command] = []
        self._background_share, self._background_credit = background_share, 0.0
        self._n_arrived = 0
        self._log: deque[tuple[float, Command]] = deque(maxlen=_LOG)
        self.load: Load = IDLE
        self.slowdown = SlowDown(Times(policy.service, policy.level, max_batch), n_lanes)
        self.follow(policy)

    def follow(self, policy: Policy) -> None:
        """Decide what arrives from now on under this policy of the same stages; what is in progress keeps its own."""
        self._outlook = Outlook(policy, self._max_batch)
        firsts = [j for j, before in enumerate(policy.requires) if before < 0]
        self._firsts = sorted(firsts, key=lambda j: self._outlook.times.upper_ms[j][1])
        self._admission = Admission(self._outlook.times, self._firsts[0], self._waiting, self.slowdown)
        self._highest = self._outlook.highest_level(self._on_overload)

    @property
    def n_waiting(self) -> int:
        """Requests that wait for a lane."""
        return len(self._waiting)

    def decisions(self) -> tuple[tuple[float, Command], ...]:
        """The latest commands, each with the instant it was given at."""
        return tuple(self._log)

    def handle(self, event: Event, now_ms: float) -> None:
        """Take note of what happened."""
        match event:
            case Arrived():
                self._arrive(event, now_ms)
            case Finished():
                self._finish(event)
            case Faulted():
                self._fault(event)
            case Cancelled():
                self._cancel(event)
            case Borrowed():
                lane = self._lanes[event.lane]
                lane.stage, lane.free_at_ms, lane.free_by_ms = _BORROWED, event.until_ms, event.until_ms
            case Returned():
                self._lanes[event.lane].stage = _IDLE

    def poll(self, now_ms: float) -> list[Command]:
        """What to do now."""
        commands, self._pending = self._pending, []
        if self._strict:
            self._answer_strict(now_ms, commands)
        if len(self._waiting):
            if any(lane.stage == _IDLE for lane in self._lanes):
                self._rate(now_ms)
            self._settle(now_ms, commands)
            for number, lane in enumerate(self._lanes):
                if lane.stage == _IDLE and len(self._waiting):
                    commands.append(self._next_run(number, lane, now_ms))
                    self._settle(now_ms, commands)
        self._log.extend([(now_ms, command) for command in commands])
        return commands

    def _rate(self, now_ms: float) -> None:
        """Find the load of now."""
        busy_ms = sum([max(lane.free_at_ms - now_ms, 0.0) for lane in self._lanes if lane.stage != _IDLE])
        self.load = self._price.at(
            now_ms,
            self._waiting.items(),
            self._outlook,
            busy_ms=busy_ms / len(self._lanes),
            slowdown=self.slowdown.overall,
            highest=self._highest,
        )
        if self.load.pressure > 1.0:
            self._admission.aim(self._price.rate_per_ms(now_ms), len(self._lanes))
        else:
            self._admission.relax()

    def next_wakeup_ms(self) -> float:
        """When to poll again if nothing happens; infinite for never."""
        if self._pending:
            return -inf
        wakeup_ms = self._waiting.earliest_ms - self._admission.least_ms + 2.0 * _LATER_MS
        for item in self._strict:
            wakeup_ms = min(wakeup_ms, item.deadline_ms - self.guard_ms)
        return wakeup_ms

    def _free_ms(self, now_ms: float) -> list[float]:
        """When each lane can take up something new at the latest."""
        return [now_ms if lane.stage == _IDLE else max(lane.free_by_ms, now_ms) for lane in self._lanes]

    def _start_ms(self, now_ms: float) -> float:
        """When a lane can take up something new."""
        start_ms = inf
        for lane in self._lanes:
            if lane.stage == _IDLE:
                return now_ms
            start_ms = min(start_ms, lane.free_at_ms)
        return max(start_ms, now_ms)

    def _arrive(self, event: Arrived, now_ms: float) -> None:
        self._n_arrived += 1
        item = Item(event, now_ms, self._n_arrived, self._outlook)
        self._price.arrived(now_ms, event.deadline_ms - now_ms)
        self._admission.arrived(event.deadline_ms - now_ms)
        if event.evidence_set:
            item.learn(event.evidence_set, event.confidence)
        why = self._why_not(item, now_ms)
        if why is not None:
            self._pending.append(Refuse(event.request, "rejected", why))
            return
        self._alive[event.request] = item
        self._waiting.add(item)
        if event.is_strict:
            self._strict.add(item)

    def _why_not(self, item: Item, now_ms: float) -> str | None:
        """Why a request cannot be admitted: the queue is full, or its fastest path would be late."""
        n_waiting = len(self._waiting)
        if n_waiting >= self._max_waiting:
            return f"{n_waiting} requests wait already"
        if item.evidence_set or self._admission.admits(item, self._free_ms(now_ms)):
            return None
        if self._start_ms(now_ms) + self._admission.fastest_ms > item.deadline_ms:
            return "not even the fastest stage can answer by its deadline"
        return f"{n_waiting} requests that wait, and what runs, already need the time"

    def _finish(self, event: Finished) -> None:
        lane = self._lanes[event.lane]
        stage = lane.stage
        self.slowdown.note(event.lane, stage, len(lane.items), event.service_ms)
        self._admission.refresh()
        for item, confidence in zip(lane.items, event.confidences, strict=True):
            if not item.has_ended:
                item.learn(item.evidence_set | 1 << stage, confidence)
                self._waiting.add(item)
        lane.stage, lane.items = _IDLE, []

    def _fault(self, event: Faulted) -> None:
        lane = self._lanes[event.lane]
        for item in lane.items:
            if not item.has_ended:
                item.failed |= 1 << lane.stage
                self._waiting.add(item)
        lane.stage, lane.items = _IDLE, []

    def _cancel(self, event: Cancelled) -> None:
        item = self._alive.get(event.request)
        if item is not None:
            self._waiting.remove(item)
            self._end(item)

    def _answer_strict(self, now_ms: float, commands: list[Command]) -> None:
        """Strict requests whose time has come: from what is known, even while a stage runs."""
        due = [item for item in self._strict if now_ms >= item.deadline_ms - self.guard_ms - _LATER_MS]
        for item in sorted(due, key=lambda item: item.order):
            self._waiting.remove(item)
            self._conclude(item, "expired", "no stage has answered by its deadline", commands)

    def _settle(self, now_ms: float, commands: list[Command]) -> None:
        """Requests end that are done, or that cannot go on in time once a lane is free."""
        start_ms, fastest_ms = self._start_ms(now_ms), self._admission.least_ms
        ended: list[tuple[Item, str, str]] = []
        for item in self._waiting:
            if item.evidence_set:
                if self._action(item, start_ms) == STOP_BYTE:
                    ended.append((item, "", ""))
            elif item.failed and self._action(item, start_ms) == STOP_BYTE:
                ended.append((item, "failed", "every stage that it could start with failed"))
            elif start_ms + fastest_ms > item.deadline_ms + _LATER_MS:
                ended.append((item, "expired", "not even the fastest stage fits any more"))
        for item, reason, why in ended:
            self._waiting.remove(item)
            self._conclude(item, reason, why, commands)

    def _conclude(self, item: Item, reason: str, why: str, commands: list[Command]) -> None:
        """Answer from the evidence there is; refuse without any."""
        if item.evidence_set:
            is_degraded = item.failed > 0 or item.would_go_on()
            commands.append(Answer(item.request, item.evidence_set, is_degraded))
        else:
            commands.append(Refuse(item.request, reason, why))
        self._end(item)

    def _action(self, item: Item, start_ms: float) -> int:
        """The stage that an item runs next, or `STOP_BYTE`."""
        lookup = item.outlook.lookup(self._level(item))
        action = lookup.action(
            item.evidence_set, item.confidence, (item.deadline_ms - start_ms) / self.slowdown.stretch
        )
        if item.failed or (action == STOP_BYTE and not item.evidence_set):
            return self._substitute(item, action)
        return action

    def _substitute(self, item: Item, action: int) -> int:
        """Where no stage fits, or the planned one has failed for this item: the fastest that has not."""
        if action != STOP_BYTE and not item.failed >> action & 1:
            return action
        if item.evidence_set:
            return STOP_BYTE
        return next((j for j in self._firsts if not item.failed >> j & 1), STOP_BYTE)

    def _level(self, item: Item) -> int:
        load = self.load
        level = load.level - 1 if load.level and item.share < load.cheap_share else load.level
        return level if level > item.least_level else item.least_level  # noqa: FURB136 - three times as fast as max

    def _next_run(self, number: int, lane: _Lane, now_ms: float) -> Run:
        """The batch of the most urgent request, with all that want the same stage and fit its deadline."""
        items = self._in_turn()
        actions = [self._action(item, now_ms) for item in items]
        stage, lowest = actions[0], items[0].priority
        together = [item for item, action in zip(items, actions, strict=True) if action == stage]
        run = self._start(number, lane, stage, together, now_ms)
        if stage != self._firsts[0] and not self._admission.stays_served(lowest, self._free_ms(now_ms)):
            # What was admitted comes before accuracy: the run is taken back, and the fastest stage serves the fresh ones.
            for item in lane.items:
                self._waiting.add(item)
            fresh = [item for item in items if not item.evidence_set]
            run = self._start(number, lane, self._firsts[0], fresh, now_ms)
        return run

    def _start(self, number: int, lane: _Lane, stage: int, together: list[Item], now_ms: float) -> Run:
        upper_ms = self.slowdown.upper_ms(number, stage).tolist()
        batch, closed_by = closed_batch(together, upper_ms, self._max_batch, now_ms)
        for item in batch:
            self._waiting.remove(item)
        lane.stage, lane.items, lane.started_ms = stage, batch, now_ms
        took_ms = self._outlook.times.mean_ms[stage][len(batch)] * self.slowdown.factor(number, stage)
        lane.free_at_ms, lane.free_by_ms = now_ms + took_ms, now_ms + upper_ms[len(batch)]
        price = float(self._outlook.prices[self._level(batch[0])])
        return Run(number, stage, tuple([item.request for item in batch]), price, closed_by)

    def _in_turn(self) -> list[Item]:
        """The waiting items; the background class comes first when its share is due."""
        items, background = self._waiting.items(), self._waiting.background()
        if not background or len(background) == len(items):
            return items
        self._background_credit += self._background_share
        if self._background_credit < 1.0:
            return items
        self._background_credit -= 1.0
        return [*background, *(item for item in items if item.priority is not Priority.BACKGROUND)]

    def _end(self, item: Item) -> None:
        item.has_ended = True
        self._strict.discard(item)
        del self._alive[item.request]


def _check(n_lanes: int, max_batch: int, max_waiting: int, headroom: float, background_share: float) -> None:
    for name, count in (("n_lanes", n_lanes), ("max_batch", max_batch), ("max_waiting", max_waiting)):
        if count < 1:
            raise ConfigurationError(f"expected {name} of at least 1, got {count}")
    if not 0.0 < headroom <= 1.0:
        raise ConfigurationError(f"expected headroom in (0, 1], got {headroom}")
    if not 0.0 <= background_share <= 1.0:
        raise ConfigurationError(f"expected background_share in [0, 1], got {background_share}")
