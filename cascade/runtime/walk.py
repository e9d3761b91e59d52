"""The walk of one request through the stages: decide, run, read, decide again with the time really left.

Reads no clock: the caller says how much time is left. Failed stages are left out, and their evidence with them.
"""

from __future__ import annotations

from typing import Any

from cascade.core.table import STOP_BYTE, Lookup
from cascade.errors import StageError
from cascade.runtime.lane import Lane
from cascade.runtime.memory import Start
from cascade.runtime.ready import ReadyPolicy

INFEASIBLE = -2
"""No stage has run and none fits into the time left."""
STOP = -1


class Walk:
    """One item in progress.

    Parameters
    ----------
    ready : ReadyPolicy
    batch : batch of one item
    budget_ms : float
        Time allowed in all; infinite for none.

    Attributes
    ----------
    ready : ReadyPolicy
    evidence_set : int
        Bit mask of the stages that have run.
    path : tuple of str
        Their names, in order.
    confidence : float
        Probability, in [0, 1], that the label is right; 0 before any evidence.
    state : ndarray
        The evidence, as the policy's reader keeps it.
    stopped_ms : float
        Instant of the last decision; kept by whoever asks for it.
    is_degraded : bool
        True once less was run than was planned.
    is_resumed : bool
        Whether it began with evidence from an earlier request.
    batch : batch of one item
        None as long as nothing is to run.
    """

    __slots__ = (
        "_carries",
        "_failed",
        "_fault",
        "_lookup",
        "_planned_left_ms",
        "batch",
        "confidence",
        "evidence_set",
        "is_degraded",
        "is_resumed",
        "path",
        "ready",
        "state",
        "stopped_ms",
    )

    def __init__(self, ready: ReadyPolicy, batch: Any, budget_ms: float) -> None:
        self.ready = ready
        self.batch = batch
        self._lookup: Lookup = ready.lookup(budget_ms)
        self._planned_left_ms = budget_ms
        self.state = ready.new_state()
        self.confidence = 0.0
        self._carries: dict[int, Any] | None = None
        self._failed = 0
        self._fault: StageError | None = None
        self.evidence_set = 0
        self.path: tuple[str, ...] = ()
        self.is_degraded = self.is_resumed = False
        self.stopped_ms = 0.0

    @property
    def is_certified(self) -> bool:
        """Whether the answer is within a guarantee; False for a policy without one."""
        return False

    def next_stage(self, left_ms: float, lane: Lane) -> int:
        """The stage to run now, `STOP` to answer, or `INFEASIBLE` if nothing has run and nothing fits.

        Raises
        ------
        StageError
            If every stage that could give a first answer has failed.
        """
        evidence_set = self.evidence_set
        action = self._lookup.action(evidence_set, self.confidence, left_ms)
        if action == STOP_BYTE:
            if left_ms < self._planned_left_ms and left_ms < self._lookup.ample_ms:
                planned = self._lookup.action(evidence_set, self.confidence, self._planned_left_ms)
                self.is_degraded = self.is_degraded or planned != STOP_BYTE
            return STOP if evidence_set else INFEASIBLE if not self._failed else self._substitute(left_ms, lane)
        if (self._failed | lane.troubled) >> action & 1 and (self._failed >> action & 1 or lane.is_fenced(action)):
            self.is_degraded = True
            return STOP if evidence_set else self._substitute(left_ms, lane)
        return action

    def run(self, j: int, lane: Lane) -> bool:
        """Run stage j and read what it says; False if it failed."""
        ready = self.ready
        after = self.evidence_set | 1 << j
        carry = None if self._carries is None else self._carries.get(ready.requires[j])
        try:
            # `Lane.run` written out: a call less is a twentieth of a microsecond.
            output, carry_out = lane.runs[j](self.batch, carry)
            self.confidence = ready.absorb_one(self.state, j, after, output)
        except Exception as error:  # noqa: BLE001 - whatever a model does
            self._fail(j, lane, error)
            return False
        if lane.troubled:
            lane.accept(j)
        if carry_out is not None:
            if self._carries is None:
                self._carries = {}
            self._carries[j] = carry_out
        self.evidence_set = after
        self.path += ready.steps[j]
        self._planned_left_ms -= ready.mean_ms[j]
        return True

    def resume(self, start: Start) -> None:
        """Begin with what is known, or with more of it; before anything has run."""
        self.state, self.confidence, self.path, self.is_resumed = start.state.copy(), start.confidence, start.path, True
        # Whoever looks from another thread reads the state of these stages.
        self.evidence_set = start.evidence_set
        self._carries = start.carries or None

    def carry_of(self, j: int) -> Any:
        """What the exit after stage j continues from; None if there is nothing."""
        return None if self._carries is None else self._carries.get(j)

    def _fail(self, j: int, lane: Lane, error: Exception) -> None:
        fault = lane.fault_of(j, error)
        if fault is not error:
            fault.__cause__ = error
        lane.reject(j)
        self._failed |= 1 << j
        self._fault = fault
        self.is_degraded = True

    def fallback(self, lane: Lane) -> int:
        """The fastest stage that has not failed, for an answer that is late anyway."""
        ready = self.ready
        usable = lane.usable(ready.by_preference, self._failed)
        if not usable:
            raise self._exhausted()
        return min(usable, key=lambda j: ready.upper_ms[j])

    def _substitute(self, left_ms: float, lane: Lane) -> int:
        """The most accurate other stage that fits; the fastest one if none does."""
        for j in lane.usable(self.ready.by_preference, self._failed):
            if self.ready.upper_ms[j] <= left_ms:
                return j
        return self.fallback(lane)

    def _exhausted(self) -> StageError:
        if self._fault is not None:
            error = StageError(f"no stage could answer; the last to fail: {self._fault}")
            error.__cause__ = self._fault
            return error
        names = [stage.name for stage in self.ready.stages]
        return StageError(
            f"no stage can answer: {names} failed repeatedly and are left alone for a while; look at the causes before"
        )
