"""The first runs of everything, so that the first request is as fast as the thousandth; nothing of it is counted as answered."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade.clock import Clock
from cascade.core.rows import n_rows, take_rows
from cascade.runtime.answers import prediction_of
from cascade.runtime.batch import BatchRunner
from cascade.runtime.engine import Engine
from cascade.runtime.lane import Lane
from cascade.runtime.lane_work import LaneWork, work_for
from cascade.runtime.pending import Pending
from cascade.runtime.ready import INFINITE, ReadyPolicy
from cascade.runtime.receivers import Sleeper
from cascade.runtime.single import Request, Terms, walk_to_the_end
from cascade.runtime.walk import Walk
from cascade.scheduling.messages import Arrived, Finished, Priority, Run
from cascade.scheduling.scheduler import Scheduler

_N_FIRST_RUNS = 3
_N_WARM_REQUESTS = 32
_N_SCHEDULED = 64


def run_every_stage(ready: ReadyPolicy, lane: Lane, batch: Any) -> Walk:
    """A walk through all stages in their order, whatever the policy says; the lane is held by the caller.

    A stage that fails is counted and left out, as on a request.
    """
    walk = Walk(ready, batch, INFINITE)
    for j in range(len(ready.stages)):
        walk.run(j, lane)
        walk.next_stage(INFINITE, lane)
    return walk


def run_first_requests(ready: ReadyPolicy, engine: Engine, clock: Clock, inputs: Any, terms: Terms) -> None:
    """Every path of the code, every stage at every size of a batch that it may meet, and every kind of decision."""
    _run_every_batch(ready, engine, clock, inputs, terms)
    _run_scheduler(engine.new_scheduler(), ready)
    # Last, so that its caches are warm: what a lone caller runs.
    _run_direct(ready, engine, clock, inputs, terms)


def _run_direct(ready: ReadyPolicy, engine: Engine, clock: Clock, inputs: Any, terms: Terms) -> None:
    """Every path of the code once, then requests that warm the machine's caches."""
    now = clock.now_ms
    # A number that none of the requests has whose service times are noted.
    request = Request(now(), INFINITE, INFINITE, terms, 1)
    rows = [take_rows(inputs, np.array([row % n_rows(inputs)])) for row in range(_N_WARM_REQUESTS)]
    with engine.lane(ready.expected_ms(n_rows(inputs) + _N_WARM_REQUESTS)) as lane:
        for _ in range(_N_FIRST_RUNS):
            prediction_of(run_every_stage(ready, lane, rows[0]), ready, request, None, now)
        BatchRunner(ready, lane, clock, terms).run(inputs, INFINITE)
        for batch in rows:
            walk = Walk(ready, batch, INFINITE)
            walk_to_the_end(walk, lane, now, request)
            prediction_of(walk, ready, request, None, now)


def _run_every_batch(ready: ReadyPolicy, engine: Engine, clock: Clock, inputs: Any, terms: Terms) -> None:
    """Every stage at every size of a batch of requests on the first lane, at the largest on the others.

    A stage that fails is counted and left out for the rest of its batch.
    """
    most = engine.max_batch
    request = Request(clock.now_ms(), INFINITE, INFINITE, terms, 1)
    rows = [take_rows(inputs, np.array([row % n_rows(inputs)])) for row in range(most)]
    for doing in engine.works:
        sizes = range(most, 0, -1) if doing is engine.works[0] else (most,)
        doing.lane.take()
        try:
            doing.lane.prepare()
            for n in sizes:
                _run_stages(ready, doing, [_member(ready, batch, request) for batch in rows[:n]])
        finally:
            engine.give_back(doing.lane)


def _run_scheduler(scheduler: Scheduler, ready: ReadyPolicy) -> None:
    """Decisions of every kind, on a scheduler that nobody else uses."""
    now_ms, step_ms, running = 0.0, ready.mean_ms[ready.fastest], list[Run]()
    for request in range(_N_SCHEDULED):
        now_ms += step_ms
        deadline_ms = now_ms + (request % 8) * sum(ready.upper_ms) if request % 2 else INFINITE
        scheduler.handle(Arrived(request, deadline_ms, Priority(request % len(Priority))), now_ms)
        running += [command for command in scheduler.poll(now_ms) if isinstance(command, Run)]
        while running and (request % 4 == 0 or request + 1 == _N_SCHEDULED):
            run = running.pop()
            now_ms += ready.mean_ms[run.stage]
            scheduler.handle(Finished(run.lane, (0.5,) * len(run.requests), ready.mean_ms[run.stage]), now_ms)
            running += [command for command in scheduler.poll(now_ms) if isinstance(command, Run)]


def _run_stages(ready: ReadyPolicy, doing: LaneWork, members: list[Pending]) -> None:
    for j in range(len(ready.stages)):
        work = work_for(j, members)
        doing.run(work)
        for i, member in enumerate(members):
            if i not in work.faults:
                member.commit(j)


def _member(ready: ReadyPolicy, batch: Any, request: Request) -> Pending:
    return Pending(ready, batch, request, priority=Priority.NORMAL, due_ms=INFINITE, receiver=Sleeper())
