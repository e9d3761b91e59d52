"""Which of the waiting requests run together.

Pure functions on items in the order of service.
"""

from __future__ import annotations

from collections.abc import Iterable

from cascade.scheduling.slowdown import UpperTimes
from cascade.scheduling.waiting import Item


def closed_batch(items: Iterable[Item], upper_ms: UpperTimes, limit: int, now_ms: float) -> tuple[list[Item], str]:
    """The first item, with as many others in order as still let every one be in time; and why it is no more.

    Parameters
    ----------
    items : iterable of Item
        That want the same stage; at least one. No more are asked for than it takes to close the batch.
    upper_ms : UpperTimes
        Of that stage.
    limit : int
        Most items.
    now_ms : float

    Returns
    -------
    batch : list of Item
    closed_by : {"nobody else", "limit", "deadline"}
    """
    others = iter(items)
    first = next(others)
    batch, earliest_ms, size = [first], first.deadline_ms, 1
    closed_by = "nobody else"
    for item in others:
        if size == limit:
            return batch, "limit"
        deadline_ms = item.deadline_ms
        if now_ms + upper_ms[size + 1] > min(deadline_ms, earliest_ms):
            closed_by = "deadline"
            if deadline_ms >= earliest_ms:
                break
            # Of a lower class and more urgent than the batch allows: another may still fit.
            continue
        batch.append(item)
        size += 1
        earliest_ms = min(earliest_ms, deadline_ms)
    return batch, closed_by
