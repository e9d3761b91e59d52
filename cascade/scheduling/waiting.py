"""Requests that wait, in the order in which they are served: by class, then by deadline.

Pure data structure; knows no time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import chain
from math import inf

from cascade.core.table import STOP_BYTE
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
        Items of a class are served in the order of these: deadline, arrival.
    evidence_set, confidence, bin
        What has been said about it, and where that lies among the policy's bins.
    came_with : int
        Bit mask of the stages that had run for it before it arrived.
    failed : int
        Bit mask of stages that failed for it.
    least_level : int
        Index of the price it pays without load.
    least_ms : float
        Time left below which it would leave the guarantee that it was promised.
    share : float
        In [0, 1): requests below a share of it take the cheaper of two neighbouring prices.
    is_admitted : bool
        Whether it was promised an answer.
    has_ended : bool
        Answered while a stage still ran for it, or cancelled.
    """

    __slots__ = (
        "arrived_ms",
        "bin",
        "came_with",
        "confidence",
        "deadline_ms",
        "evidence_set",
        "failed",
        "has_ended",
        "is_admitted",
        "is_strict",
        "least_level",
        "least_ms",
        "order",
        "outlook",
        "priority",
        "request",
        "share",
    )

    def __init__(self, event: Arrived, deadline_ms: float, now_ms: float, number: int, outlook: Outlook) -> None:
        self.request, self.outlook = event.request, outlook
        self.arrived_ms, self.deadline_ms = now_ms, deadline_ms
        self.priority: Priority = event.priority
        self.is_strict, self.came_with = event.is_strict, event.evidence_set
        self.order = (deadline_ms, number)
        # Multiples of the golden ratio spread evenly over [0, 1) from the first one on.
        self.share = number * _GOLDEN % 1.0
        self.evidence_set = self.bin = self.failed = 0
        self.confidence, self.least_ms = 0.0, outlook.least_ms
        self.least_level = outlook.unloaded_level(deadline_ms - now_ms)
        self.has_ended = self.is_admitted = False

    def would_go_on(self) -> bool:
        """Whether it would run another stage had it not waited, nor shared a lane with others."""
        times, spent_ms = self.outlook.times, 0.0
        for j in range(times.n_stages):
            if (self.evidence_set & ~self.came_with) >> j & 1:
                spent_ms += times.mean_ms[j][1]
        left_ms = self.deadline_ms - self.arrived_ms - spent_ms
        lookup = self.outlook.lookup(self.least_level)
        return lookup.action(self.evidence_set, self.confidence, left_ms) != STOP_BYTE

    def learn(self, evidence_set: int, confidence: float) -> None:
        """Take note of what has been said about it."""
        self.evidence_set, self.confidence = evidence_set, confidence
        self.bin = self.outlook.bin_of(evidence_set, confidence)


class Waiting:
    """The waiting requests, sorted."""

    __slots__ = ("_fresh", "_items", "_orders")

    def __init__(self) -> None:
        # Lists for each class, so that the earliest deadline of all is at hand; those of fresh requests once more by themselves.
        self._items: tuple[list[Item], ...] = tuple([] for _ in Priority)
        self._orders: tuple[list[tuple[float, int]], ...] = tuple([] for _ in Priority)
        self._fresh: tuple[list[float], ...] = tuple([] for _ in Priority)

    def __len__(self) -> int:
        high, middle, low = self._items
        return len(high) + len(middle) + len(low)

    def __iter__(self) -> Iterator[Item]:
        return chain(*self._items)

    @property
    def earliest_ms(self) -> float:
        """The earliest deadline; infinite if nothing waits."""
        return min((items[0].deadline_ms for items in self._items if items), default=inf)

    @property
    def earliest_fresh_ms(self) -> float:
        """The earliest deadline of those for which nothing has run; infinite if there is none."""
        return min((deadlines[0] for deadlines in self._fresh if deadlines), default=inf)

    @property
    def n_fresh(self) -> int:
        """Number of requests for which nothing has run."""
        return sum(len(deadlines) for deadlines in self._fresh)

    def fresh(self) -> list[Item]:
        """Those for which nothing has run, in the order of service."""
        return [item for item in chain(*self._items) if not item.evidence_set]

    def fresh_deadlines(self, lowest: Priority, another_ms: float | None = None) -> list[float]:
        """Deadlines of the requests of this class and higher ones for which nothing has run, in the order of service.

        ``another_ms`` counts as one more of the lowest class.
        """
        last = self._fresh[lowest]
        if another_ms is not None:
            last = [*last]
            insort(last, another_ms)
        return [*chain(*self._fresh[:lowest]), *last]

    def add(self, item: Item) -> None:
        """Put an item in its place."""
        items, orders = self._items[item.priority], self._orders[item.priority]
        at = bisect_left(orders, item.order)
        items.insert(at, item)
        orders.insert(at, item.order)
        if not item.evidence_set:
            insort(self._fresh[item.priority], item.deadline_ms)

    def remove(self, item: Item) -> None:
        """Take an item out if it is there."""
        items, orders = self._items[item.priority], self._orders[item.priority]
        at = bisect_left(orders, item.order)
        if at < len(items) and items[at] is item:
            del items[at], orders[at]
            if not item.evidence_set:
                fresh = self._fresh[item.priority]
                del fresh[bisect_left(fresh, item.deadline_ms)]

    def items(self) -> list[Item]:
        """All of them in the order of service."""
        high, middle, low = self._items
        return [*high, *middle, *low]

    @property
    def has_classes(self) -> bool:
        """Whether both background and other requests wait."""
        high, middle, low = self._items
        return bool(low) and bool(high or middle)

    def background_first(self) -> list[Item]:
        """All of them, the background class before the others."""
        high, middle, low = self._items
        return [*low, *high, *middle]


class Turns:
    """Gives the background class its share of the turns while others wait, too.

    Parameters
    ----------
    share : float
        In [0, 1].
    """

    __slots__ = ("_credit", "_share")

    def __init__(self, share: float) -> None:
        self._share, self._credit = share, 0.0

    def next(self, waiting: Waiting) -> list[Item]:
        """The waiting requests in the order in which they may take this turn."""
        if not waiting.has_classes:
            return waiting.items()
        self._credit += self._share
        if self._credit < 1.0:
            return waiting.items()
        self._credit -= 1.0
        return waiting.background_first()
