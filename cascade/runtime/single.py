"""Answer one request on the calling thread: by the deadline where that can be done.

Reads the clock it is given. All instants are milliseconds on that clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cascade.errors import BudgetTooSmall
from cascade.runtime.lane import Lane
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.walk import INFEASIBLE, STOP, Walk


@dataclass(frozen=True, slots=True)
class Terms:
    """How a request wants to be treated.

    Attributes
    ----------
    infeasible : {"fastest", "raise", "prior"}
        What happens when not even one stage fits.
    abstain_below : float
        Confidence under which there is no label; 0 for never.
    on_overload : {"degrade", "shed"}
        Whether a call of many rows may pay more for time than a guarantee allows.
    """

    infeasible: str
    abstain_below: float
    on_overload: str = "degrade"


@dataclass(slots=True)
class Request:
    """What a caller asked for, and when.

    Attributes
    ----------
    start_ms : float
        Instant of the call.
    deadline_ms : float
        Instant by which the answer is wanted; infinite for no deadline.
    stop_at_ms : float
        Instant by which the last stage must end, so that the rest is done by the deadline.
    terms : Terms
    id : int

    Notes
    -----
    Nobody changes one; freezing it would cost every call 0.4 us.
    """

    start_ms: float
    deadline_ms: float
    stop_at_ms: float
    terms: Terms
    id: int = 0

    @property
    def budget_ms(self) -> float:
        """Time allowed in all; infinite for no deadline."""
        return self.deadline_ms - self.start_ms


def walk_to_the_end(walk: Walk, lane: Lane, now: Callable[[], float], request: Request) -> None:
    """Run stages while the policy wants to and the time left allows it; the lane is held by the caller.

    Raises
    ------
    BudgetTooSmall
        If nothing fits and the terms say so.
    StageError
        If every stage failed.
    """
    stop_at_ms, terms = request.stop_at_ms, request.terms
    while True:
        walk.stopped_ms = now()
        action = walk.next_stage(stop_at_ms - walk.stopped_ms, lane)
        if action == STOP:
            return
        if action == INFEASIBLE:
            if terms.infeasible == "prior":
                walk.is_degraded = True
                return
            if terms.infeasible == "raise":
                raise too_small(walk.ready, stop_at_ms - now())
            action = walk.fallback(lane)
        walk.run(action, lane)


def improving_walk(
    ready: ReadyPolicy, lane: Lane, now: Callable[[], float], batch: Any, request: Request
) -> Iterator[tuple[Walk, bool]]:
    """A walk that starts at the fastest stage and shows itself after every stage, with whether that was the last.

    The lane is held only while a stage runs. If the time runs out between two answers, the last evidence is shown again.
    """
    stop_at_ms, terms = request.stop_at_ms, request.terms
    walk = Walk(ready, batch, request.budget_ms)
    if terms.infeasible == "raise" and ready.upper_ms[ready.fastest] > stop_at_ms - now():
        raise too_small(ready, stop_at_ms - now())
    action = walk.fallback(lane)
    while True:
        with lane:
            answered = walk.run(action, lane)
            action = walk.next_stage(stop_at_ms - now(), lane)
        if not walk.evidence_set:
            action = walk.fallback(lane) if action < 0 else action
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


def too_small(ready: ReadyPolicy, left_ms: float) -> BudgetTooSmall:
    """The error for a request that no stage fits into."""
    name, needed = ready.stages[ready.fastest].name, ready.upper_ms[ready.fastest]
    return BudgetTooSmall(
        f"{left_ms:.3g} ms are left and the fastest stage {name!r} needs {needed:.3g} ms "
        f"(quantile {ready.policy.level}): allow more time, or set infeasible to 'fastest' or 'prior'"
    )
