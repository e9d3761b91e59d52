"""The walk of one request under a policy with a guarantee, which notes whether it stayed where the guarantee holds.

Reads no clock, as `Walk`.
"""

from __future__ import annotations

from typing import Any

from cascade.core.times import ROUNDING_MS
from cascade.runtime.lane import Lane
from cascade.runtime.memory import Start
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.walk import Walk


class CertifiedWalk(Walk):
    """One item in progress, whose path is certified as long as no stage fails and none is slower than its upper quantile.

    Parameters are those of `Walk`; the policy has a guarantee.

    Notes
    -----
    What was certified are the paths that can be taken with at least `Guarantee.min_budget_ms` at the start and, after
    each stage, that less the stage's upper quantile. The time that is really left is compared with this at every
    decision, so waiting for the lane and time kept back for finishing count against the budget.
    """

    __slots__ = ("_is_within", "_least_ms")

    def __init__(self, ready: ReadyPolicy, batch: Any, budget_ms: float) -> None:
        super().__init__(ready, batch, budget_ms)
        assert ready.policy.guarantee is not None
        self._least_ms = ready.policy.guarantee.min_budget_ms - ROUNDING_MS
        self._is_within = True

    @property
    def is_certified(self) -> bool:
        """Whether the answer is within the guarantee, as far as path and time go."""
        return self._is_within and self.evidence_set != 0

    def resume(self, start: Start) -> None:
        """As `Walk.resume`; what is proved is about paths from their beginning."""
        super().resume(start)
        self._is_within = False

    def next_stage(self, left_ms: float, lane: Lane) -> int:
        """As `Walk.next_stage`."""
        was_degraded = self.is_degraded
        action = super().next_stage(left_ms, lane)
        # A stage that is fenced off degrades as a fault does; time that runs short is part of what was certified.
        is_fault = bool(lane.troubled) and self.is_degraded and not was_degraded
        if left_ms < self._least_ms or is_fault:
            self._is_within = False
        return action

    def run(self, j: int, lane: Lane) -> bool:
        """As `Walk.run`."""
        answered = super().run(j, lane)
        self._least_ms -= self.ready.upper_ms[j]
        if not answered:
            self._is_within = False
        return answered
