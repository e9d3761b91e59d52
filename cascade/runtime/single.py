"""Answer one request on the calling thread: by the deadline where that can be done.

Reads the clock it is given. All instants are milliseconds on that clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cascade.errors import BudgetTooSmall
from cascade.runtime.lane import Lane
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.walk import INFEASIBLE, STOP, Walk
from cascade.telemetry.listening import Trail
from cascade.telemetry.requests import StageRun

_SAMPLED = 31
"""One request in 32 shows how long stages take: noting it for all would cost more than it is worth."""


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
    namespace : str or None
        Whose entries of a cache it may see; None for the cache's own.
    priority : str
        The class it waits in, if it has to.
    trail : Trail or None
        What is noted of it, where somebody listens.

    Notes
    -----
    Nobody changes one once it is under way; freezing it would cost every call 0.4 us.
    """

    start_ms: float
    deadline_ms: float
    stop_at_ms: float
    terms: Terms
    id: int = 0
    namespace: str | None = None
    priority: str = "normal"
    trail: Trail | None = None

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
    slowdown, stop_at_ms = lane.slowdown, request.stop_at_ms
    if not request.id & _SAMPLED or request.trail is not None:
        _walk_with_a_watch(walk, lane, now, request)
        return
    while True:
        now_ms = walk.stopped_ms = now()
        left_ms = (stop_at_ms - now_ms) / slowdown
        action = walk.next_stage(left_ms, lane)
        if action < 0:
            if action == STOP:
                return
            action = _fastest(walk, lane, left_ms, request.terms)
            if action == STOP:
                return
        walk.run(action, lane)


def _walk_with_a_watch(walk: Walk, lane: Lane, now: Callable[[], float], request: Request) -> None:
    """The same, and notes how long the stages took."""
    slowdown, stop_at_ms = lane.slowdown, request.stop_at_ms
    while True:
        walk.stopped_ms = now()
        left_ms = (stop_at_ms - walk.stopped_ms) / slowdown
        action = walk.next_stage(left_ms, lane)
        if action == INFEASIBLE:
            action = _fastest(walk, lane, left_ms, request.terms)
        if action == STOP:
            return
        is_good, ended_ms = walk.run(action, lane), now()
        if is_good and not request.id & _SAMPLED:
            lane.note(action, ended_ms - walk.stopped_ms)
        if request.trail is not None:
            name = lane.stages[action].name
            request.trail.runs.append(StageRun(name, lane.number, 1, walk.stopped_ms, ended_ms, not is_good))


def _fastest(walk: Walk, lane: Lane, left_ms: float, terms: Terms) -> int:
    """Where no stage fits: the one that is run nevertheless, or `STOP`."""
    if terms.infeasible == "prior":
        walk.is_degraded = True
        return STOP
    if terms.infeasible == "raise":
        raise too_small(walk.ready, left_ms)
    return walk.fallback(lane)


def too_small(ready: ReadyPolicy, left_ms: float) -> BudgetTooSmall:
    """The error for a request that no stage fits into."""
    name, needed = ready.stages[ready.fastest].name, ready.upper_ms[ready.fastest]
    return BudgetTooSmall(
        f"{left_ms:.3g} ms are left and the fastest stage {name!r} needs {needed:.3g} ms "
        f"(quantile {ready.policy.level}): allow more time, or set infeasible to 'fastest' or 'prior'"
    )
