"""Virtual time: hands a scheduler what happens, in exact order, and carries out what it says.

Knows no policy and no queue; whatever decides is asked through `Decides`. At one instant, batches end first (the lower lane
first), then requests arrive, then the scheduler is asked, once. It is asked after a batch has ended, after an arrival while a
lane is idle, and when its wakeup is due. A scheduler that has to say something at once while all lanes are busy gives a
wakeup that is not in the future; where it gives one right after it was asked, it waits for the next event.
"""

from __future__ import annotations

from bisect import insort
from heapq import heappop, heappush
from math import inf

import numpy as np

from cascade.core.evidence import members_of
from cascade.core.progress import with_progress
from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Answer, Arrived, Command, Decides, Finished, Priority, Refuse, Run
from cascade.simulation.clients import ClosedLoop
from cascade.simulation.figures import Ending
from cascade.simulation.recorded import Recorded
from cascade.simulation.report import Report
from cascade.simulation.runs import Runs
from cascade.simulation.service_times import ServiceTimes
from cascade.simulation.workloads import Workload

_UNSENT, _WAITING, _RUNNING = 0, 100, 101
_CHUNK = 2048


def run(
    scheduler: Decides,
    workload: Workload | ClosedLoop,
    recorded: Recorded,
    service_times: ServiceTimes,
    *,
    n_lanes: int,
    seed: int,
    progress: bool = False,
) -> Report:
    """Serve a workload in virtual time.

    Parameters
    ----------
    scheduler : Decides
        A fresh one, for as many lanes; it goes through the requests 0, 1, 2, ... in the order of their arrival.
    workload : Workload or ClosedLoop
    recorded : Recorded
        What answers are worth; its items are those that the workload asks for.
    service_times : ServiceTimes
    n_lanes : int
    seed : int
        Of the service times.
    progress : bool
        Show a progress bar on standard error when the work is long.

    Returns
    -------
    Report

    Raises
    ------
    ConfigurationError
        If the parts do not fit together; or if the scheduler breaks its word: ends a request twice or never, answers from
        stages that have not run, runs a stage twice for a request, or a busy lane.

    Notes
    -----
    The same arguments give the same report. O(log n_lanes) for each batch and O(1) for each request besides what the
    scheduler takes.
    """
    _check(workload, recorded, service_times, n_lanes)
    serving = _Serving(scheduler, workload, recorded, service_times, n_lanes=n_lanes, seed=seed)
    for last in with_progress(range(_CHUNK, workload.n_requests, _CHUNK), progress, desc="simulate", unit="x2048"):
        serving.advance(last)
    serving.advance(None)
    return serving.report(recorded)


class _Serving:
    """What stands at one instant of virtual time."""

    def __init__(
        self,
        scheduler: Decides,
        workload: Workload | ClosedLoop,
        recorded: Recorded,
        service_times: ServiceTimes,
        *,
        n_lanes: int,
        seed: int,
    ) -> None:
        n = workload.n_requests
        self.scheduler, self.workload = scheduler, workload
        self.times = service_times.drawn(seed)
        # Instants at which requests arrive, those known so far, ascending and closed by infinity: the next one is at n_sent.
        self.arrival_ms: list[float] = [*workload.first_arrivals_ms().tolist(), inf]
        self.n_sent = 0
        self.budget_ms: list[float] = workload.budget_ms.tolist()
        self.priority = [Priority(number) for number in workload.priority.tolist()]
        self.is_strict: list[bool] = workload.is_strict.tolist()
        self.think_ms: list[float] | None = workload.think_ms.tolist() if isinstance(workload, ClosedLoop) else None
        self.confidence = recorded.confidence.ravel().data
        self.base: list[int] = (workload.item * recorded.confidence.shape[1]).tolist()
        self.may_run = _may_run(recorded)
        self.evidence_set = [0] * n
        self.state = bytearray(n)
        self.end_ms = [0.0] * n
        self.price = [0.0] * n
        self.answered_from = [0] * n
        self.running: list[tuple[float, int]] = [(inf, n_lanes)]
        self.on_lane: list[Run | None] = [None] * n_lanes
        self.took_ms = [0.0] * n_lanes
        self.wakeup_ms = inf
        self.runs: list[tuple[float, float, Run]] = []

    def advance(self, n_sent: int | None) -> None:
        """Until so many requests have arrived, or until nothing happens any more."""
        handle, next_wakeup_ms = self.scheduler.handle, self.scheduler.next_wakeup_ms
        arrival_ms, budget_ms, priority, is_strict = self.arrival_ms, self.budget_ms, self.priority, self.is_strict
        running, state, n_lanes = self.running, self.state, len(self.on_lane)
        i = self.n_sent
        until = len(state) + 1 if n_sent is None else n_sent
        while i < until:
            now_ms = min(running[0][0], arrival_ms[i], self.wakeup_ms)
            if now_ms == inf:
                break
            must_poll = self.wakeup_ms <= now_ms
            while running[0][0] == now_ms:
                self._finish(heappop(running)[1], now_ms)
                must_poll = True
            if arrival_ms[i] == now_ms:
                while arrival_ms[i] == now_ms:
                    state[i] = _WAITING
                    handle(Arrived(i, now_ms + budget_ms[i], priority[i], 0, 0.0, is_strict[i]), now_ms)
                    i += 1
                self.n_sent = i
                if not must_poll:
                    if len(running) <= n_lanes:
                        must_poll = True
                    else:
                        self.wakeup_ms = next_wakeup_ms()
                        must_poll = self.wakeup_ms <= now_ms
            if must_poll:
                self._carry_out(self.scheduler.poll(now_ms), now_ms)
                wakeup_ms = next_wakeup_ms()
                self.wakeup_ms = wakeup_ms if wakeup_ms > now_ms else inf

    def _finish(self, lane: int, now_ms: float) -> None:
        done = self.on_lane[lane]
        assert done is not None
        self.on_lane[lane] = None
        bit, confidence, base, sets, state = 1 << done.stage, self.confidence, self.base, self.evidence_set, self.state
        confidences = []
        for i in done.requests:
            known = sets[i] | bit
            sets[i] = known
            confidences.append(confidence[base[i] + known])
            if state[i] == _RUNNING:
                state[i] = _WAITING
        self.scheduler.handle(Finished(lane, tuple(confidences), self.took_ms[lane]), now_ms)

    def _carry_out(self, commands: list[Command], now_ms: float) -> None:
        for command in commands:
            if type(command) is Answer:
                i, known = command.request, command.evidence_set
                if not known or known & ~self.evidence_set[i]:
                    raise ConfigurationError(
                        f"expected an answer to request {i} from the stages that have run for it, "
                        f"{members_of(self.evidence_set[i]).tolist()}, got {members_of(known).tolist()}: mend the scheduler"
                    )
                self.answered_from[i] = known
                self._end(i, Ending.DEGRADED if command.is_degraded else Ending.ANSWERED, now_ms)
            elif type(command) is Run:
                self._start(command, now_ms)
            elif type(command) is Refuse:
                self._end(command.request, _REFUSED[command.reason], now_ms)
            else:
                raise ConfigurationError(f"expected Run, Answer or Refuse, got {command!r}: mend the scheduler")

    def _start(self, command: Run, now_ms: float) -> None:
        lane, stage, requests, price = command.lane, command.stage, command.requests, command.price
        if not 0 <= lane < len(self.on_lane) or self.on_lane[lane] is not None:
            raise ConfigurationError(
                f"expected a run on an idle lane of {len(self.on_lane)}, got lane {lane}: mend the scheduler"
            )
        if not requests:
            raise ConfigurationError("expected a run of at least one request, got none: mend the scheduler")
        allowed, state, sets = self.may_run[stage], self.state, self.evidence_set
        for i in requests:
            if state[i] != _WAITING or not allowed[sets[i]]:
                raise ConfigurationError(f"{self._why_not(i, stage)}: mend the scheduler")
            state[i] = _RUNNING
            self.price[i] = price
        took_ms = self.times.duration_ms(lane, stage, len(requests), now_ms)
        self.on_lane[lane], self.took_ms[lane] = command, took_ms
        self.runs.append((now_ms, took_ms, command))
        heappush(self.running, (now_ms + took_ms, lane))

    def _end(self, i: int, ending: Ending, now_ms: float) -> None:
        if self.state[i] < _WAITING:
            raise ConfigurationError(
                f"expected one outcome for each request that has arrived, got another one, {ending.name.lower()}, "
                f"for request {i}: mend the scheduler"
            )
        self.state[i] = ending
        self.end_ms[i] = now_ms
        if self.think_ms is not None and len(self.arrival_ms) <= len(self.state):
            # Its client sends again; the request takes the number of its place among those not yet sent.
            insort(self.arrival_ms, now_ms + self.think_ms[i], lo=self.n_sent)

    def _why_not(self, i: int, stage: int) -> str:
        state, ran = self.state[i], members_of(self.evidence_set[i]).tolist()
        if state == _UNSENT:
            return f"request {i} has not arrived and cannot run"
        if state == _RUNNING:
            return f"request {i} runs already and cannot run stage {stage} as well"
        if state != _WAITING:
            return f"request {i} has ended ({Ending(state).name.lower()}) and cannot run stage {stage}"
        return f"request {i} has run the stages {ran}, so that stage {stage} cannot run for it"

    def report(self, recorded: Recorded) -> Report:
        """What came of it."""
        lost = next((i for i, state in enumerate(self.state) if state >= _WAITING or state == _UNSENT), None)
        if lost is not None:
            raise ConfigurationError(
                f"expected an outcome for every request, but nothing happens any more and request {lost} has none: "
                "mend the scheduler"
            )
        evidence_set = np.array(self.answered_from, np.int64)
        return Report(
            arrival_ms=np.array(self.arrival_ms[:-1]),
            budget_ms=self.workload.budget_ms,
            priority=self.workload.priority,
            end_ms=np.array(self.end_ms),
            ending=np.frombuffer(self.state, np.uint8),
            correct=recorded.correct[self.workload.item, evidence_set] & (evidence_set > 0),
            evidence_set=evidence_set,
            price=np.array(self.price),
            runs=Runs.of(self.runs),
            stages=recorded.stages,
            n_lanes=len(self.on_lane),
        )


_REFUSED = {
    "rejected": Ending.REJECTED,
    "expired": Ending.EXPIRED,
    "shed": Ending.SHED,
    "failed": Ending.FAILED,
}


def _may_run(recorded: Recorded) -> list[bytes]:
    """For each stage, whether it may run after each set of stages."""
    return [
        bytes(not s >> j & 1 and (before < 0 or s >> before & 1 == 1) for s in range(1 << recorded.n_stages))
        for j, before in enumerate(recorded.requires)
    ]


def _check(workload: Workload | ClosedLoop, recorded: Recorded, service_times: ServiceTimes, n_lanes: int) -> None:
    if n_lanes < 1:
        raise ConfigurationError(f"expected n_lanes of at least 1, got {n_lanes}")
    if service_times.table.n_stages != recorded.n_stages:
        raise ConfigurationError(
            f"expected service times of the {recorded.n_stages} recorded stages, got {service_times.table.n_stages}"
        )
    if int(workload.item.max()) >= recorded.n_items:
        raise ConfigurationError(
            f"expected a workload of the {recorded.n_items} recorded items, got item {int(workload.item.max())}: "
            f"draw it with n_items={recorded.n_items}"
        )
