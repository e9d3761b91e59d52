"""The scheduler: a state machine that is told what happened and says what to do; it never waits and never looks at a clock.

The owner calls `handle` for every event and `poll` afterwards, carries out the commands, and polls again at `next_wakeup_ms`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cascade.core.guarantee import check_overload
from cascade.core.policy import Policy
from cascade.core.table import STOP_BYTE
from cascade.errors import ConfigurationError
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
from cascade.scheduling.slowdown import SlowDown
from cascade.scheduling.waiting import Item, Waiting

_GIVE_UP = 1.1
"""Heads are given up where that raises requests per millisecond by more than this factor."""
_BORROWED = -2
_LOG = 256


@dataclass(slots=True)
class _Lane:
    stage: int = -1
    items: list[Item] = field(default_factory=list)
    free_at_ms: float = 0.0


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
        What ruled at the last poll.
    slowdown : SlowDown
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
        self._pending: list[Command] = []
        self._background_share, self._background_credit = background_share, 0.0
        self._n_arrived = 0
        self._log: deque[tuple[float, Command]] = deque(maxlen=_LOG)
        self.load: Load = IDLE
        self.follow(policy)
        self.slowdown = SlowDown(self._outlook.times, n_lanes, policy.level)

    def follow(self, policy: Policy) -> None:
        """Decide what arrives from now on under this policy of the same stages; what is in progress keeps its own."""
        self._outlook = Outlook(policy, self._max_batch)
        firsts = [j for j, before in enumerate(policy.requires) if before < 0]
        self._fastest = min(firsts, key=lambda j: self._outlook.times.upper_ms[j][1])
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
                lane.stage, lane.free_at_ms = _BORROWED, event.until_ms
            case Returned():
                self._lanes[event.lane].stage = -1

    def poll(self, now_ms: float) -> list[Command]:
        """What to do now."""
        commands, self._pending = self._pending, []
        self._settle(now_ms, commands)
        for number, lane in enumerate(self._lanes):
            if lane.stage == -1 and len(self._waiting):
                commands.append(self._next_run(number, lane, now_ms, commands))
        self._log.extend((now_ms, command) for command in commands)
        return commands

    def next_wakeup_ms(self) -> float:
        """When to poll again if nothing happens; infinite for never."""
        fastest_ms = self._outlook.times.upper_ms[self._fastest][1]
        wakeup_ms = min((item.deadline_ms - fastest_ms for item in self._waiting), default=float("inf"))
        strict = (item.deadline_ms - self.guard_ms for item in self._alive.values() if item.is_strict)
        return min(wakeup_ms, min(strict, default=float("inf")))

    def _arrive(self, event: Arrived, now_ms: float) -> None:
        self._n_arrived += 1
        item = Item(event, now_ms, self._n_arrived, self._outlook)
        self._price.arrived(now_ms, event.deadline_ms - now_ms)
        if event.evidence_set:
            item.learn(event.evidence_set, event.confidence)
        why = self._why_not(item, now_ms)
        if why is not None:
            self._pending.append(Refuse(event.request, "rejected", why))
            return
        self._alive[event.request] = item
        self._waiting.add(item)

    def _why_not(self, item: Item, now_ms: float) -> str | None:
        """Why a request cannot be admitted: the queue is full, or the fastest path of it or of another would be late."""
        n_waiting = len(self._waiting)
        if n_waiting >= self._max_waiting:
            return f"{n_waiting} requests wait already"
        if item.evidence_set:
            return None
        times, j = self._outlook.times, self._fastest
        start_ms = now_ms
        if all(lane.stage != -1 for lane in self._lanes):
            start_ms = max(now_ms, min(lane.free_at_ms for lane in self._lanes))
        slow = self.slowdown.overall
        if start_ms + times.upper_ms[j][1] * slow > item.deadline_ms:
            return "not even the fastest stage can answer by its deadline"
        fixed, each = float(times.fixed_ms[j]) * slow, float(times.each_ms[j]) * slow
        limit, n_lanes = self._max_batch, len(self._lanes)

        def done_ms(n: int) -> float:
            return start_ms + (fixed * -(-n // limit) + each * n) / n_lanes

        if done_ms(n_waiting + 1) <= item.deadline_ms:
            return None
        place = self._waiting.place_of(item)
        if done_ms(place + 1) > item.deadline_ms:
            return "those that wait already need the time"
        return None

    def _finish(self, event: Finished) -> None:
        lane = self._lanes[event.lane]
        stage = lane.stage
        self.slowdown.note(event.lane, stage, len(lane.items), event.service_ms)
        for item, confidence in zip(lane.items, event.confidences, strict=True):
            if not item.has_ended:
                item.learn(item.evidence_set | 1 << stage, confidence)
                self._waiting.add(item)
        lane.stage, lane.items = -1, []

    def _fault(self, event: Faulted) -> None:
        lane = self._lanes[event.lane]
        for item in lane.items:
            if not item.has_ended:
                item.failed |= 1 << lane.stage
                item.is_cut = True
                self._waiting.add(item)
        lane.stage, lane.items = -1, []

    def _cancel(self, event: Cancelled) -> None:
        item = self._alive.pop(event.request, None)
        if item is not None:
            item.has_ended = True
            self._waiting.remove(item)

    def _settle(self, now_ms: float, commands: list[Command]) -> None:
        """The price of now; requests that are done or too late end."""
        busy_ms = sum(max(lane.free_at_ms - now_ms, 0.0) for lane in self._lanes if lane.stage != -1) / len(self._lanes)
        self.load = self._price.at(now_ms, self._waiting.items(), self._outlook, busy_ms, self._highest)
        ended: set[Item] = set()
        fastest_ms = self._outlook.times.upper_ms[self._fastest][1] * self.slowdown.overall
        for item in self._waiting:
            if item.evidence_set:
                if self._action(item, now_ms) == STOP_BYTE:
                    commands.append(Answer(item.request, item.evidence_set, item.is_cut))
                    ended.add(item)
            elif now_ms + fastest_ms > item.deadline_ms + 1e-9:
                commands.append(Refuse(item.request, "expired", "not even the fastest stage fits any more"))
                ended.add(item)
        if ended:
            self._end(ended)

    def _action(self, item: Item, now_ms: float) -> int:
        """The stage that an item runs next, or `STOP_BYTE`."""
        lookup = item.outlook.lookup(self._level(item), 1)
        action = lookup.action(item.evidence_set, item.confidence, (item.deadline_ms - now_ms) / self.slowdown.overall)
        if action != STOP_BYTE and item.failed >> action & 1:
            return STOP_BYTE if item.evidence_set else self._fastest
        if action == STOP_BYTE and not item.evidence_set:
            return self._fastest
        return action

    def _level(self, item: Item) -> int:
        load = self.load
        level = load.level - 1 if load.level and item.share < load.cheap_share else load.level
        return max(level, item.least_level)

    def _next_run(self, number: int, lane: _Lane, now_ms: float, commands: list[Command]) -> Run:
        """The batch of the most urgent request, with all that want the same stage and fit its deadline."""
        items = self._in_turn()
        wanted = [(item, self._action(item, now_ms)) for item in items]
        stage = wanted[0][1]
        together = [item for item, action in wanted if action == stage]
        if self.load.pressure > 1.0:
            together = self._without_hopeless(stage, together, now_ms, commands)
        batch, closed_by = self._fitting(stage, together, now_ms)
        self._waiting.remove_all(set(batch))
        lane.stage, lane.items = stage, batch
        lane.free_at_ms = now_ms + self._outlook.times.mean_ms[stage][len(batch)] * self.slowdown.factor(number, stage)
        price = float(self._outlook.prices[self._level(batch[0])])
        return Run(number, stage, tuple(item.request for item in batch), price, closed_by)

    def _in_turn(self) -> list[Item]:
        """The waiting items; the background class comes first when its share is due."""
        items = self._waiting.items()
        last = items[-1]
        if last.priority is not Priority.BACKGROUND or items[0].priority is Priority.BACKGROUND:
            return items
        self._background_credit += self._background_share
        if self._background_credit < 1.0:
            return items
        self._background_credit -= 1.0
        first = next(i for i, item in enumerate(items) if item.priority is Priority.BACKGROUND)
        return items[first:] + items[:first]

    def _fitting(self, stage: int, items: list[Item], now_ms: float) -> tuple[list[Item], str]:
        """As many items, in order, as can be run together so that each is still in time."""
        upper_ms, slow = self._outlook.times.upper_ms[stage], self.slowdown.overall
        batch, earliest_ms = [items[0]], items[0].deadline_ms
        for item in items[1:]:
            if len(batch) == self._max_batch:
                return batch, "limit"
            earliest = min(earliest_ms, item.deadline_ms)
            if now_ms + upper_ms[len(batch) + 1] * slow > earliest:
                if earliest == earliest_ms:
                    return batch, "deadline"
                continue
            batch.append(item)
            earliest_ms = earliest
        return batch, "nobody else"

    def _without_hopeless(self, stage: int, items: list[Item], now_ms: float, commands: list[Command]) -> list[Item]:
        """Under gross overload: without the heads that would force a batch much less efficient than the next ones'."""
        times = self._outlook.times
        upper_ms, mean_ms = times.upper_ms[stage], times.mean_ms[stage]

        def rate(i: int) -> float:
            most = min(len(items) - i, self._max_batch)
            while most > 1 and now_ms + upper_ms[most] > items[i].deadline_ms:
                most -= 1
            return most / mean_ms[most]

        first = max(range(len(items)), key=lambda i: (rate(i), -i))
        if rate(first) <= _GIVE_UP * rate(0):
            return items
        for item in items[:first]:
            if item.evidence_set:
                commands.append(Answer(item.request, item.evidence_set, True))
            else:
                commands.append(Refuse(item.request, "shed", "given up so that more of the others are in time"))
        self._end(set(items[:first]))
        return items[first:]

    def _end(self, items: set[Item]) -> None:
        self._waiting.remove_all(items)
        for item in items:
            del self._alive[item.request]


def _check(n_lanes: int, max_batch: int, max_waiting: int, headroom: float, background_share: float) -> None:
    for name, count in (("n_lanes", n_lanes), ("max_batch", max_batch), ("max_waiting", max_waiting)):
        if count < 1:
            raise ConfigurationError(f"expected {name} of at least 1, got {count}")
    if not 0.0 < headroom <= 1.0:
        raise ConfigurationError(f"expected headroom in (0, 1], got {headroom}")
    if not 0.0 <= background_share <= 1.0:
        raise ConfigurationError(f"expected background_share in [0, 1], got {background_share}")
