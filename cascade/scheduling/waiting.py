"""Requests that wait, in the order in which they are served: by class, then by deadline.

Pure data structure; knows no time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from cascade.scheduling.messages import Arrived, Priority
from cascade.scheduling.outlook import Outlook

_GOLDEN = 0.6180339887498949


class Item:
    """One request that has not ended.

    Attributes
    ----------
    request : int
    outlook : Outlook
        Of the policy in force on its arrival.
    arrived_ms, deadline_ms : float
    priority : Priority
    is_strict : bool
    order : tuple
        Items are served in the order of these: class, deadline, arrival.
    evidence_set, confidence, bin
        What has been said about it, and where that lies among the policy's bins.
    failed : int
        Bit mask of stages that failed for it.
    least_level : int
        Index of the price it pays without load.
    share : float
        In [0, 1): requests below a share of it take the cheaper of two neighbouring prices.
    planned_ms : float
        Time that would have been left now had nothing waited; infinite before the first run and without a deadline.
    is_cut : bool
        Whether it was given less than was planned.
    has_ended : bool
        Answered while a stage still ran for it, or cancelled.
    """

    __slots__ = (
        "arrived_ms",
        "bin",
        "confidence",
        "deadline_ms",
        "evidence_set",
        "failed",
        "has_ended",
        "is_cut",
        "is_strict",
        "least_level",
        "order",
        "outlook",
        "planned_ms",
        "priority",
        "request",
        "share",
    )

    def __init__(self, event: Arrived, now_ms: float, number: int, outlook: Outlook) -> None:
        self.request, self.outlook = event.request, outlook
        self.arrived_ms, self.deadline_ms = now_ms, event.deadline_ms
        self.priority: Priority = event.priority
        self.is_strict = event.is_strict
        self.order = (event.priority, event.deadline_ms, number)
        # Multiples of the golden ratio spread evenly over [0, 1) from the first one on.
        self.share = number * _GOLDEN % 1.0
        self.evidence_set = self.bin = self.failed = 0
        self.confidence = 0.0
        self.least_level = outlook.unloaded_level(event.deadline_ms - now_ms)
        self.planned_ms = event.deadline_ms - now_ms
        self.is_cut = self.has_ended = False

    def learn(self, evidence_set: int, confidence: float) -> None:
        """Take note of what has been said about it."""
        self.evidence_set, self.confidence = evidence_set, confidence
        self.bin = self.outlook.bin_of(evidence_set, confidence)


class Waiting:
    """The waiting requests, sorted."""

    __slots__ = ("_items", "_orders")

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._orders: list[tuple[int, float, int]] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def place_of(self, item: Item) -> int:
        """Where an item stands, or would stand."""
        return bisect_left(self._orders, item.order)

    def add(self, item: Item) -> None:
        """Put an item in its place."""
        at = bisect_left(self._orders, item.order)
        self._items.insert(at, item)
        self._orders.insert(at, item.order)

    def remove(self, item: Item) -> None:
        """Take an item out if it is there."""
        at = bisect_left(self._orders, item.order)
        if at < len(self._items) and self._items[at] is item:
            del self._items[at], self._orders[at]

    def remove_all(self, items: set[Item]) -> None:
        """Take several items out."""
        self._items = [item for item in self._items if item not in items]
        self._orders = [item.order for item in self._items]

    def items(self) -> list[Item]:
        """All of them in order; not to be changed."""
        return self._items
