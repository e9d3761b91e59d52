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
    is_watched : bool
        Whether it may end, or change its plan, before its deadline: all but fresh ones for which no stage has failed and that no
        guarantee binds. Kept by `Waiting`.
    action : int
        What it runs next, or `STOP_BYTE`, as of the last time that the scheduler went through all that wait.
    has_ended : bool
        Answered while a stage still ran for it, or cancelled.
    """

    __slots__ = (
        "action",
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
        "is_watched",
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
        self.has_ended = self.is_admitted = self.is_watched = False
        self.action = STOP_BYTE

    def would_go_on(self) -> bool:
        """Whether it would run another stage had it not waited, nor shared a lane with others."""
        outlook = self.outlook
        left_ms = self.deadline_ms - self.arrived_ms - outlook.took_alone_ms[self.evidence_set & ~self.came_with]
        return outlook.lookup(self.least_level).action(self.evidence_set, self.confidence, left_ms) != STOP_BYTE

    def learn(self, evidence_set: int, confidence: float) -> None:
        """Take note of what has been said about it."""
        self.evidence_set, self.confidence = evidence_set, confidence
        self.bin = self.outlook.bin_of(evidence_set, confidence)


class Waiting:
    """The waiting requests, sorted.

    Attributes
    ----------
    n : int
        Number of requests.
    n_unpromised : int
        Number of those for which nothing has run and that were promised nothing.
    n_watched : int
        Number of those that are `Item.is_watched`.
    """

    __slots__ = ("_fresh", "_items", "_orders", "n", "n_unpromised", "n_watched")

    def __init__(self) -> None:
        # Lists for each class, so that the earliest deadline of all is at hand; those of fresh requests once more by themselves.
        self._items: tuple[list[Item], ...] = tuple([] for _ in Priority)
        self._orders: tuple[list[tuple[float, int]], ...] = tuple([] for _ in Priority)
        self._fresh: tuple[list[float], ...] = tuple([] for _ in Priority)
        self.n = self.n_unpromised = self.n_watched = 0

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Item]:
        return chain(*self._items)

    @property
    def earliest_ms(self) -> float:
        """The earliest deadline; infinite if nothing waits."""
        return min((items[0].deadline_ms for items in self._items if items), default=inf)

    @property
    def earliest_fresh_ms(self) -> float:
        """The earliest deadline of those for which nothing has run; infinite if there is none."""
        high, middle, low = self._fresh
        earliest_ms = middle[0] if middle else inf
        if high and high[0] < earliest_ms:
            earliest_ms = high[0]
        return low[0] if low and low[0] < earliest_ms else earliest_ms

    @property
    def n_fresh(self) -> int:
        """Number of requests for which nothing has run."""
        high, middle, low = self._fresh
        return len(high) + len(middle) + len(low)

    def fresh(self) -> list[Item]:
        """Those for which nothing has run, in the order of service."""
        return [item for item in chain(*self._items) if not item.evidence_set]

    def watched(self) -> list[Item]:
        """Those that are `Item.is_watched`, in the order of service."""
        return [item for item in chain(*self._items) if item.is_watched] if self.n_watched else []

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
        items, orders, order = self._items[item.priority], self._orders[item.priority], item.order
        if orders and order < orders[-1]:
            at = bisect_left(orders, order)
            items.insert(at, item)
            orders.insert(at, order)
        else:
            items.append(item)
            orders.append(order)
        self.n += 1
        if not item.evidence_set:
            insort(self._fresh[item.priority], item.deadline_ms)
            self.n_unpromised += not item.is_admitted
        item.is_watched = item.evidence_set > 0 or item.failed > 0 or item.least_ms > -inf
        self.n_watched += item.is_watched

    def remove(self, item: Item) -> None:
        """Take an item out if it is there."""
        items, orders = self._items[item.priority], self._orders[item.priority]
        at = 0 if items and items[0] is item else bisect_left(orders, item.order)
        if at < len(items) and items[at] is item:
            del items[at], orders[at]
            self.n -= 1
            self.n_watched -= item.is_watched
            if not item.evidence_set:
                fresh = self._fresh[item.priority]
                del fresh[bisect_left(fresh, item.deadline_ms)]
                self.n_unpromised -= not item.is_admitted

    def promise(self, item: Item) -> None:
        """An item that is there is promised an answer."""
        self.n_unpromised -= not (item.is_admitted or item.evidence_set)
        item.is_admitted = True

    def items(self) -> list[Item]:
        """All of them in the order of service."""
        high, middle, low = self._items
        return [*high, *middle, *low] if high or low else middle[:]

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
