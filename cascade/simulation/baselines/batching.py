"""Which of the waiting requests run together, and which are dropped for that, as published rules have it.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cascade.scheduling.messages import Arrived


class Queued:
    """One request that has not ended.

    Attributes
    ----------
    request : int
    deadline_ms : float
    order : tuple
        Requests are served in the order of these: class, deadline, arrival.
    evidence_set : int
        Bit mask of the stages that have run for it.
    confidence : float
        Of the answer from them.
    has_ended : bool
        Cancelled while a stage ran for it.
    """

    __slots__ = ("confidence", "deadline_ms", "evidence_set", "has_ended", "order", "request")

    def __init__(self, event: Arrived, number: int) -> None:
        self.request, self.deadline_ms = event.request, event.deadline_ms
        self.order = (int(event.priority), event.deadline_ms, number)
        self.evidence_set, self.confidence = 0, 0.0
        self.has_ended = False

    def __lt__(self, other: Queued) -> bool:
        return self.order < other.order


@dataclass(frozen=True, slots=True)
class Batch:
    """A stage, the requests to run it for, and why they are no more, as in `Run`."""

    stage: int
    items: list[Queued]
    closed_by: str


def largest_batch(items: Sequence[Queued], upper_ms: Sequence[float], now_ms: float) -> int:
    """How many of the first items to run together: as many as are all in time, at least one.

    Parameters
    ----------
    items : sequence of Queued
        At least one, in the order of service.
    upper_ms : sequence of float
        Worst-case time of a batch, by its size; its last entry is of the largest batch.
    now_ms : float

    References
    ----------
    A. Gujarati, R. Karimi, S. Alzayat, W. Hao, A. Kaufmann, Y. Vigfusson, J. Mace, 2020. Serving DNNs like Clockwork:
    Performance Predictability from the Bottom Up. OSDI.
    """
    n, earliest_ms = 1, items[0].deadline_ms
    limit = min(len(items), len(upper_ms) - 1)
    while n < limit:
        earliest_ms = min(earliest_ms, items[n].deadline_ms)
        if now_ms + upper_ms[n + 1] > earliest_ms:
            break
        n += 1
    return n


def n_forcing_small(items: Sequence[Queued], upper_ms: Sequence[float], wanted: int, now_ms: float) -> int:
    """How many of the first items to drop so that the next one has time for a batch of ``wanted``, or of all that are left.

    Parameters
    ----------
    items : sequence of Queued
        In the order of service.
    upper_ms : sequence of float
        Worst-case time of a batch, by its size.
    wanted : int
    now_ms : float

    References
    ----------
    H. Shen, L. Chen, Y. Jin, L. Zhao, B. Kong, M. Philipose, A. Krishnamurthy, R. Sundaram, 2019. Nexus: A GPU Cluster
    Engine for Accelerating DNN-Based Video Analysis. SOSP.
    """
    for first, item in enumerate(items):
        if now_ms + upper_ms[min(wanted, len(items) - first)] <= item.deadline_ms:
            return first
    return 0
