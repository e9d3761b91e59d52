"""Which of the waiting requests are over: answered as well as the time allows, or with no stage left that could help them.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

from cascade.core.table import STOP_BYTE
from cascade.scheduling.load import Load
from cascade.scheduling.plans import next_stage
from cascade.scheduling.waiting import Item

LATER_MS = 1e-6
"""A request expires this much after the last instant at which it could have started."""


class Ending(NamedTuple):
    """A request that is over, the reason where it has no answer, and that in words."""

    item: Item
    reason: str = ""
    why: str = ""


class Pace(NamedTuple):
    """What holds for all that wait.

    Attributes
    ----------
    start_ms : float
        When a lane is expected to be free.
    fastest_ms : float
        What the fastest stage takes.
    upper_ms : sequence of sequence of float
        ``[stage][batch size]``: what a run takes at most, as profiled.
    stretch : float
        How much more it takes now.
    firsts : sequence of int
        Stages that may run first, the fastest first.
    """

    start_ms: float
    fastest_ms: float
    upper_ms: Sequence[Sequence[float]]
    stretch: float
    firsts: Sequence[int]


def endings(items: Iterable[Item], load: Load, pace: Pace) -> tuple[list[Ending], float]:
    """Those of the items that are over, and when the next of the others will be if no lane is free before.

    What an item with evidence runs next is kept as its ``action``.
    """
    start_ms, fastest_ms, upper_ms, stretch, firsts = pace
    ended, next_end_ms = [], inf
    for item in items:
        left_ms = item.deadline_ms - start_ms
        if left_ms < item.least_ms - LATER_MS:
            ended.append(Ending(item, "shed", "no path within the guarantee fits any more"))
        elif item.evidence_set:
            item.action = action = next_stage(item, load, left_ms / stretch, firsts)
            if action == STOP_BYTE:
                ended.append(Ending(item))
            else:
                next_end_ms = min(next_end_ms, item.deadline_ms - upper_ms[action][1] * stretch)
        elif item.failed and next_stage(item, load, left_ms / stretch, firsts) == STOP_BYTE:
            ended.append(Ending(item, "failed", "every stage that it could start with failed"))
        elif start_ms + fastest_ms > item.deadline_ms + LATER_MS:
            ended.append(Ending(item, "expired", "not even the fastest stage fits any more"))
    return ended, next_end_ms
