"""Answer one request again and again, from more evidence each time.

Reads the clock it is given. All instants are milliseconds on that clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cascade.runtime.cache_use import CacheUse
from cascade.runtime.engine import Engine
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.single import Request, too_small
from cascade.runtime.walk import INFEASIBLE, STOP, Walk
from cascade.telemetry.requests import StageRun


def improving_walk(
    ready: ReadyPolicy, engine: Engine, batch: Any, request: Request, use: CacheUse | None = None
) -> Iterator[tuple[Walk, bool]]:
    """A walk that starts at what is known, else at the fastest stage, and shows itself after every stage: with whether that is all.

    A lane is held only while a stage runs. If the time runs out between two answers, the last evidence is shown again.
    """
    stop_at_ms, terms, now = request.stop_at_ms, request.terms, engine.now_ms
    walk = Walk(ready, batch, request.budget_ms)
    if use is not None:
        use.begin(walk)
    action = INFEASIBLE
    if not walk.evidence_set:
        if terms.infeasible == "raise" and ready.upper_ms[ready.fastest] > stop_at_ms - now():
            raise too_small(ready, stop_at_ms - now())
    else:
        action = walk.next_stage(stop_at_ms - now(), engine.lanes[0])
        yield walk, action == STOP
        if action == STOP:
            return
    while True:
        with engine.lane(ready.mean_ms[action] if action >= 0 else 0.0) as lane, lane.at_work(), lane.holding():
            action = walk.fallback(lane) if action < 0 else action
            began_ms = now()
            answered = walk.run(action, lane)
            if request.trail is not None:
                name = lane.stages[action].name
                request.trail.runs.append(StageRun(name, lane.number, 1, began_ms, now(), not answered))
            action = walk.next_stage(stop_at_ms - now(), lane)
        if not walk.evidence_set:
            continue
        if answered:
            yield walk, action == STOP
        elif action == STOP:
            yield walk, True
        if action == STOP:
            return
        action = walk.next_stage(stop_at_ms - now(), lane)
        if action == STOP:
            yield walk, True
            return
