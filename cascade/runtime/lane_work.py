"""Run one stage for a batch of requests on a lane, and read what it says about each.

The lane is held by the caller; the engine's lock is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

from cascade.clock import Clock
from cascade.core.records import StageOutput
from cascade.core.stage_outputs import check_rows
from cascade.errors import StageError
from cascade.runtime.joining import InputBuffers, alike, joined_carry
from cascade.runtime.lane import Lane
from cascade.runtime.pending import Pending


@dataclass(slots=True, eq=False)
class Work:
    """A batch to run, and how it went.

    Attributes
    ----------
    stage : int
    members : list of Pending
    faults : dict
        By place in the batch: why the stage said nothing usable about it.
    service_ms : float
        What the stage took.
    closed_by : str
        Why there are not more of them, as in `Run`.
    began_ms : float
        When it began, NaN before that and where it was not tried.
    """

    stage: int
    members: list[Pending]
    faults: dict[int, StageError]
    service_ms: float = 0.0
    closed_by: str = ""
    began_ms: float = nan

    @property
    def has_failed(self) -> bool:
        """Whether the stage said nothing usable about any request."""
        return len(self.faults) == len(self.members)

    def let_go(self) -> None:
        """Forget requests and faults.

        The trace of a fault leads over the frames of this thread back to the batch: a circle that keeps inputs and futures
        until the garbage collector comes, which under faults let memory grow by 4 MB a minute.
        """
        self.members.clear()
        self.faults.clear()


class LaneWork:
    """Runs batches on one lane.

    Parameters
    ----------
    lane : Lane
    clock : Clock
    max_batch : int
    """

    def __init__(self, lane: Lane, clock: Clock, max_batch: int) -> None:
        self.lane, self._now = lane, clock.now_ms
        self._buffers = InputBuffers(len(lane.stages), max_batch)

    def run(self, work: Work) -> None:
        """Run the stage for all members; what it said waits in each of them to be committed."""
        lane, j = self.lane, work.stage
        if lane.is_fenced(j):
            fenced = StageError(f"stage {lane.stages[j].name!r} failed repeatedly and is left alone for a while")
            work.faults.update(dict.fromkeys(range(len(work.members)), fenced))
            return
        work.began_ms = self._now()
        for places in alike(work.members):
            self._run_part(work, places)
        if work.faults:
            lane.reject(j)
        if lane.troubled and not work.has_failed:
            lane.accept(j)

    def _run_part(self, work: Work, places: list[int]) -> None:
        """Members whose inputs are alike."""
        lane, j = self.lane, work.stage
        members = work.members if len(places) == len(work.members) else [work.members[i] for i in places]
        began_ms = self._now()
        try:
            batch = self._buffers.join(j, [member.batch for member in members])
            before = members[0].ready.requires[j]
            output, carry = lane.run(j, batch, joined_carry(lane.stages[before], before, members))
            check_rows(lane.stages[j], output, len(members))
        except StageError as fault:
            work.faults.update(dict.fromkeys(places, fault))
            return
        finally:
            work.service_ms += self._now() - began_ms
        if carry is not None:
            self._buffers.give_away(j)
        row_of = _rows_of(output, len(members))
        for i, (place, member) in enumerate(zip(places, members, strict=True)):
            if member.outcome is not None:
                continue
            try:
                member.read(j, row_of(i))
            except StageError as fault:
                work.faults[place] = fault
                continue
            if carry is not None and j in member.ready.requires:
                member.keep_carry(j, carry, i)


def _rows_of(output: Any, n: int) -> Callable[[int], Any]:
    """What gives the output about one row of a batch of n."""
    if n == 1:
        return lambda i: output  # noqa: ARG005 - the only one
    if isinstance(output, StageOutput):
        outputs, confidence = output.outputs, output.confidence
        return lambda i: StageOutput(outputs[i : i + 1], confidence[i : i + 1])
    return lambda i: output[i : i + 1]


def work_for(stage: int, members: Sequence[Pending], closed_by: str = "") -> Work:
    """A batch that has not run."""
    return Work(stage, [*members], {}, closed_by=closed_by)
