"""The scheduler: a state machine that is told what happened and says what to do; it never waits and never looks at a clock.

The owner calls `handle` for every event and `poll` afterwards, carries out the commands, and polls again at `next_wakeup_ms`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf

from cascade.core.guarantee import check_overload
from cascade.core.load_kernels import compile_load_kernels
from cascade.core.policy import Policy
from cascade.scheduling.admission import Admission
from cascade.scheduling.batching import closed_batch
from cascade.scheduling.endings import LATER_MS, Pace, endings
from cascade.scheduling.lanes import Lane, Lanes
from cascade.scheduling.limits import Limits
from cascade.scheduling.load import IDLE, Load, LoadPrice, Utilisation
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
from cascade.scheduling.outlook import Outlook
from cascade.scheduling.plans import level_of, next_stage
from cascade.scheduling.service_times import Times
from cascade.scheduling.slowdown import QUIET_MS, SlowDown
from cascade.scheduling.waiting import Item, Turns, Waiting

_LOG = 256


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
        self._limits = Limits(n_lanes, max_batch, max_waiting, headroom, background_share)
        check_overload(on_overload)
        compile_load_kernels()
        self._on_overload, self.guard_ms = on_overload, guard_ms
        self._price, self._use = LoadPrice(n_lanes, headroom), Utilisation(n_lanes)
        self._lanes, self._waiting = Lanes(n_lanes), Waiting()
        self._alive: dict[int, Item] = {}
        self._strict: set[Item] = set()
        self._pending: list[Command] = []
        self._turns, self._n_arrived = Turns(background_share), 0
        self._next_end_ms = self._ran_ms = inf
        self._log: deque[tuple[float, list[Command]]] = deque(maxlen=_LOG)
        self.load: Load = IDLE
        self.slowdown = SlowDown(Times(policy.service, policy.level, max_batch), n_lanes)
        self.follow(policy)

    def follow(self, policy: Policy) -> None:
        """Decide what arrives from now on under this policy of the same stages; what is in progress keeps its own."""
        self._outlook = Outlook(policy, self._limits.max_batch, self._on_overload)
        firsts = [j for j, before in enumerate(policy.requires) if before < 0]
        self._firsts = sorted(firsts, key=lambda j: self._outlook.times.upper_ms[j][1])
        self._admission = Admission(self._outlook, self._firsts[0], self._waiting, self.slowdown)

    @property
    def n_waiting(self) -> int:
        """Requests that wait for a lane."""
        return self._waiting.n

    def decisions(self) -> tuple[tuple[float, Command], ...]:
        """The latest commands, each with the instant it was given at."""
        latest = [(now_ms, command) for now_ms, commands in tuple(self._log) for command in commands]
        return tuple(latest[-_LOG:])

    def handle(self, event: Event, now_ms: float) -> None:
        """Take note of what happened."""
        match event:
            case Arrived():
                self._arrive(event, now_ms)
            case Finished():
                self._finish(event, now_ms)
            case Faulted():
                self._fault(event)
            case Cancelled():
                self._cancel(event)
            case Borrowed():
                self._lanes[event.lane].borrow(event.until_ms)
            case Returned():
                self._lanes[event.lane].release()

    def poll(self, now_ms: float) -> list[Command]:
        """What to do now; the list is kept for `decisions`, and not to be changed."""
        commands, self._pending = self._pending, []
        if self._strict:
            self._answer_strict(now_ms, commands)
        waiting, lanes = self._waiting, self._lanes
        if waiting.n:
            is_any_idle = lanes.any_idle
            if is_any_idle:
                self._admit(now_ms, commands)
            self._settle(now_ms, commands)
            if is_any_idle:
                for number, lane in enumerate(lanes):
                    if waiting.n and lane.is_idle:
                        commands.append(self._next_run(number, lane, now_ms))
                        if waiting.n:
                            self._settle(now_ms, commands)
        if commands:
            self._log.append((now_ms, commands))
        return commands

    def _admit(self, now_ms: float, commands: list[Command]) -> None:
        """Promise an answer to those that came since a lane was last given work, or refuse them; find the load of now."""
        waiting, lanes = self._waiting, self._lanes
        if waiting.n_unpromised:
            rate = self._price.rate_per_ms(now_ms)
            for item in self._admission.refused(lanes.free_by_ms(now_ms), rate, self._use.share):
                waiting.remove(item)
                self._conclude(item, "rejected", "others that wait need the time", commands)
        outlook, busy_ms, slow = self._outlook, lanes.busy_ms(now_ms), self.slowdown.overall
        self.load = self._price.at(
            now_ms, waiting.items(), outlook, busy_ms=busy_ms, slowdown=slow, highest=outlook.highest
        )

    def next_wakeup_ms(self) -> float:
        """When to poll again if nothing happens; infinite for never."""
        if self._pending:
            return -inf
        waiting = self._waiting
        wakeup_ms = waiting.earliest_fresh_ms - self._admission.least_ms
        if waiting.n and self._next_end_ms < wakeup_ms:
            wakeup_ms = self._next_end_ms
        wakeup_ms += 2.0 * LATER_MS
        return min([wakeup_ms, *[item.deadline_ms for item in self._strict]]) if self._strict else wakeup_ms

    def _arrive(self, event: Arrived, now_ms: float) -> None:
        self._n_arrived += 1
        if now_ms - self._ran_ms > QUIET_MS and self._lanes.are_idle:
            self.slowdown.fade(now_ms - self._ran_ms)
            self._admission.refresh()
            self._ran_ms = now_ms - QUIET_MS
        deadline_ms = event.deadline_ms - self.guard_ms if event.is_strict else event.deadline_ms
        item = Item(event, deadline_ms, now_ms, self._n_arrived, self._outlook)
        self._price.arrived(now_ms, deadline_ms - now_ms)
        self._admission.arrived(deadline_ms - now_ms, event.priority)
        if event.evidence_set:
            item.learn(event.evidence_set, event.confidence)
        why = self._why_not(item, now_ms)
        self._alive[event.request] = item
        if why is not None:
            self._conclude(item, "rejected", why, self._pending)
            return
        self._waiting.add(item)
        if event.is_strict:
            self._strict.add(item)

    def _why_not(self, item: Item, now_ms: float) -> str | None:
        """Why a request cannot be admitted: the queue is full, or its fastest path would be late."""
        if self._waiting.n >= self._limits.max_waiting:
            return f"{self._waiting.n} requests wait already"
        is_possible = item.evidence_set or self._admission.is_possible(item, self._lanes.free_by_ms(now_ms))
        return None if is_possible else "not even the fastest stage can answer by its deadline"

    def _finish(self, event: Finished, now_ms: float) -> None:
        stage, items = self._lanes[event.lane].release()
        self.slowdown.note(event.lane, stage, len(items), event.service_ms)
        self._admission.refresh()
        self._use.ran(event.service_ms, now_ms)
        self._ran_ms = now_ms
        for item, confidence in zip(items, event.confidences, strict=True):
            if not item.has_ended:
                item.learn(item.evidence_set | 1 << stage, confidence)
                item.least_ms -= item.outlook.times.upper_ms[stage][1]
                self._waiting.add(item)

    def _fault(self, event: Faulted) -> None:
        stage, items = self._lanes[event.lane].release()
        for item in items:
            if not item.has_ended:
                item.failed |= 1 << stage
                self._waiting.add(item)

    def _cancel(self, event: Cancelled) -> None:
        if (item := self._alive.get(event.request)) is not None:
            self._waiting.remove(item)
            self._end(item)

    def _answer_strict(self, now_ms: float, commands: list[Command]) -> None:
        """Strict requests whose time has come: from what is known, even while a stage runs."""
        due = [item for item in self._strict if now_ms >= item.deadline_ms - LATER_MS]
        for item in sorted(due, key=lambda item: item.order):
            self._waiting.remove(item)
            self._conclude(item, "expired", "no stage has answered by its deadline", commands)

    def _settle(self, now_ms: float, commands: list[Command]) -> None:
        """Requests end that are done, or that cannot go on in time once a lane is free."""
        start_ms, fastest_ms, waiting = self._lanes.start_ms(now_ms), self._admission.least_ms, self._waiting
        self._next_end_ms = inf
        are_fresh_in_time = start_ms + fastest_ms <= waiting.earliest_fresh_ms + LATER_MS
        if are_fresh_in_time and not waiting.n_watched:
            return
        pace = Pace(start_ms, fastest_ms, self._outlook.times.upper_ms, self.slowdown.stretch, self._firsts)
        ended, self._next_end_ms = endings(waiting.watched() if are_fresh_in_time else waiting, self.load, pace)
        for item, reason, why in ended:
            waiting.remove(item)
            self._conclude(item, reason, why, commands)

    def _conclude(self, item: Item, reason: str, why: str, commands: list[Command]) -> None:
        """Answer from the evidence there is; refuse without any, or where that is not enough."""
        if item.evidence_set and reason != "shed":
            commands.append(Answer(item.request, item.evidence_set, item.failed > 0 or item.would_go_on()))
        else:
            commands.append(Refuse(item.request, reason, why))
        self._end(item)

    def _next_run(self, number: int, lane: Lane, now_ms: float) -> Run:
        """The batch of the most urgent request, with all that want the same stage and fit its deadline."""
        items = self._turns.next(self._waiting)
        stage, lowest = self._action(items[0], now_ms), items[0].priority
        # What the others want is found as they are asked for.
        together = (item for item in items if item is items[0] or self._action(item, now_ms) == stage)
        run = self._start(number, lane, stage, together, now_ms)
        is_final = self._outlook.sheds or stage == self._firsts[0]
        if not is_final and not self._admission.stays_served(lowest, self._lanes.free_by_ms(now_ms)):
            # What was admitted comes before accuracy: the run is taken back, and the fastest stage serves the fresh ones.
            fastest = self._firsts[0]
            fresh = [item for item in items if not (item.evidence_set or item.failed >> fastest & 1)]
            if fresh:
                for item in lane.items:
                    self._waiting.add(item)
                run = self._start(number, lane, fastest, fresh, now_ms)
        return run

    def _action(self, item: Item, now_ms: float) -> int:
        """The stage that an item runs next on a lane that is idle: with evidence, as `_settle` has just found."""
        if item.evidence_set:
            return item.action
        return next_stage(item, self.load, (item.deadline_ms - now_ms) / self.slowdown.stretch, self._firsts)

    def _start(self, number: int, lane: Lane, stage: int, together: Iterable[Item], now_ms: float) -> Run:
        upper_ms = self.slowdown.upper(number, stage)
        batch, closed_by = closed_batch(together, upper_ms, self._limits.max_batch, now_ms)
        for item in batch:
            self._waiting.remove(item)
        size, first = len(batch), batch[0]
        took_ms = self._outlook.times.mean_ms[stage][size] * self.slowdown.factor(number, stage)
        lane.start(stage, batch, now_ms + took_ms, now_ms + upper_ms[size])
        price = first.outlook.price_list[level_of(first, self.load)]
        return Run(number, stage, tuple([item.request for item in batch]), price, closed_by)

    def _end(self, item: Item) -> None:
        item.has_ended = True
        if item.is_strict:
            self._strict.discard(item)
        del self._alive[item.request]
