"""What a request runs next, at the price of now.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence

from cascade.core.table import STOP_BYTE
from cascade.scheduling.load import Load
from cascade.scheduling.waiting import Item


def level_of(item: Item, load: Load) -> int:
    """Index of the price that a request pays: one of the two neighbours that are mixed, never less than without load.

    Nor more than the policy that it came under allows.
    """
    level = load.level - 1 if load.level and item.share < load.cheap_share else load.level
    if level > item.outlook.highest:
        return item.outlook.highest
    return level if level > item.least_level else item.least_level  # noqa: FURB136 - three times as fast as max


def next_stage(item: Item, load: Load, left_ms: float, firsts: Sequence[int]) -> int:
    """The stage that a request runs next, or `STOP_BYTE`.

    Parameters
    ----------
    item : Item
    load : Load
    left_ms : float
        Time to its deadline, as profiled stages count it.
    firsts : sequence of int
        Stages that may run first, the fastest first: where no stage fits, or the planned one has failed for this request,
        one of them gives the first answer.
    """
    action = item.outlook.lookup(level_of(item, load)).action(item.evidence_set, item.confidence, left_ms)
    if action != STOP_BYTE and not item.failed >> action & 1:
        return action
    if item.evidence_set:
        return STOP_BYTE
    return next((j for j in firsts if not item.failed >> j & 1), STOP_BYTE)
