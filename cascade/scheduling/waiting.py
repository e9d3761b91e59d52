"""Requests that wait, in the order in which they are served: by class, then by deadline.

Pure data structure; knows no policy and no time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from operator import attrgetter

from cascade.scheduling.messages import Priority


class Item:
    """One request that has not ended.

    Attributes
    ----------
    request : int
    arrived_ms, deadline_ms : float
    priority : Priority
    evidence_set, confidence, bin
        What has been said about it, and where that lies among the policy's bins.
    failed : int
        Bit mask of stages that failed for it.
    least_level : int
        Index of the price it pays without load.
    share : float
        In [0, 1): requests below a share of it take the dearer of two neighbouring prices.
    is_cut : bool
        Whether it was given less than was planned.
    is_cancelled : bool
    """

    __slots__ = (
        "arrived_ms",
        "bin",
        "confidence",
        "deadline_ms",
        "evidence_set",
        "failed",
        "is_cancelled",
        "is_cut",
        "least_level",
        "order",
        "priority",
        "request",
        "share",
    )

    def __init__(self, request: int, arrived_ms: float, deadline_ms: float, priority: Priority, order: int) -> None:
        self.request = request
        self.arrived_ms = arrived_ms
        self.deadline_ms = deadline_ms
        self.priority = priority
        self.order = (int(priority), deadline_ms, order)
        # Multiples of the golden ratio spread evenly over [0, 1) from the first one on.
        self.share = (order * 0.6180339887498949) % 1.0
        self.evidence_set = self.bin = self.failed = self.least_level = 0
        self.confidence = 0.0
        self.is_cut = self.is_cancelled = False


class Waiting:
    """The waiting requests, sorted."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def add(self, item: Item) -> None:
        """Put an item in its place."""
        insort(self._items, item, key=_order)

    def remove(self, item: Item) -> None:
        """Take an item out; it must be there."""
        at = bisect_left(self._items, item.order, key=_order)
        assert self._items[at] is item
        del self._items[at]

    def remove_all(self, items: set[Item]) -> None:
        """Take several items out."""
        self._items = [item for item in self._items if item not in items]

    def items(self) -> list[Item]:
        """All of them in order; not to be changed."""
        return self._items


_order = attrgetter("order")
