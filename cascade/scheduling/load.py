"""The load price: how much accuracy a millisecond of a lane is worth right now.

Pure state. The price is the smallest at which what arrives, and what waits, can be served in time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from math import exp
from typing import NamedTuple

import numpy as np

from cascade.core.load_kernels import load_level
from cascade.core.records import FloatArray
from cascade.scheduling.outlook import Outlook
from cascade.scheduling.waiting import Item

_WINDOWS = 8.0
"""Length of the window in which arrivals are counted, in mean budgets."""
_SHORTEST_MS, _LONGEST_MS = 50.0, 10_000.0
_REMEMBERED_MS = 400.0
_FEW = 4
"""Items up to which it is cheaper to look without compiled code."""
_LEAST_MS = 1e-3
_FEWEST = 8
"""Arrivals below which no rate is believed."""


class Load(NamedTuple):
    """What rules at one moment.

    Attributes
    ----------
    level : int
        Index of the price.
    price : float
        In accuracy per millisecond; 0 for no load.
    cheap_share : float
        Share of the requests that still take the price below it.
    pressure : float
        Work at the highest price over what can be done; above 1 even the cheapest plans do not fit.
    """

    level: int
    price: float
    cheap_share: float
    pressure: float


IDLE = Load(0, 0.0, 1.0, 0.0)


class LoadPrice:
    """Follows arrivals, and finds the price for what waits.

    Parameters
    ----------
    n_lanes : int
    headroom : float
        Share of the time that may be planned, in (0, 1].
    """

    def __init__(self, n_lanes: int, headroom: float) -> None:
        self._capacity = headroom * n_lanes
        self._arrivals: deque[float] = deque()
        self._mean_budget_ms, self._window_ms = 0.0, _SHORTEST_MS
        self._outlook: Outlook | None = None
        self._edges_ms: list[float] = []
        self._known_lines: dict[int, _Lines] = {}

    def arrived(self, now_ms: float, budget_ms: float) -> None:
        """Count one arrival."""
        bounded = min(max(budget_ms, 0.0), _LONGEST_MS)
        self._mean_budget_ms += (bounded - self._mean_budget_ms) * (0.05 if self._arrivals else 1.0)
        self._window_ms = min(max(_WINDOWS * self._mean_budget_ms, _SHORTEST_MS), _LONGEST_MS)
        self._arrivals.append(now_ms)
        self._forget(now_ms)

    def rate_per_ms(self, now_ms: float) -> float:
        """Arrivals per millisecond of late; 0 where there were too few to tell."""
        self._forget(now_ms)
        if len(self._arrivals) < _FEWEST:
            return 0.0
        return len(self._arrivals) / max(now_ms - self._arrivals[0], 1e-6, self._window_ms * 0.25)

    def at(
        self, now_ms: float, items: Sequence[Item], outlook: Outlook, *, busy_ms: float, slowdown: float, highest: int
    ) -> Load:
        """What rules now.

        Parameters
        ----------
        now_ms : float
        items : sequence of Item
            That wait, in the order of service.
        outlook : Outlook
            Of the policy in force.
        busy_ms : float
            Until the lanes are free, on average.
        slowdown : float
            Measured over profiled service times.
        highest : int
            Index of the highest price that may be asked.
        """
        capacity = self._capacity / slowdown
        rate = self.rate_per_ms(now_ms) / capacity
        free_ms = now_ms + busy_ms
        lines = self._lines(outlook)
        # What a few items that need less than they may cost is seen in a microsecond, without compiled code.
        if rate * lines.fresh_ms <= 1.0 and len(items) <= _FEW and _fit_alone(items, outlook, free_ms, capacity):
            return IDLE
        level, here, below, pressure = load_level(
            outlook.runs,
            np.array([item.evidence_set for item in items], np.int64),
            np.array([_bin(item, outlook) for item in items], np.int64),
            np.array([max((item.deadline_ms - free_ms) * capacity, _LEAST_MS) for item in items]),
            lines.table,
            rate,
            highest,
        )
        if level == 0 and pressure <= 1.0:
            return IDLE
        share = 0.0 if here >= below else min(max((1.0 - here) / (below - here), 0.0), 1.0)
        return Load(level, outlook.price_list[level], share, pressure)

    def _lines(self, outlook: Outlook) -> _Lines:
        """Those of the mean budget; they change only where half of it passes what some batch may take."""
        if outlook is not self._outlook:
            self._outlook, self._known_lines = outlook, {}
            self._edges_ms = sorted({each for upper_ms in outlook.times.upper_ms for each in upper_ms})
        half_ms = 0.5 * self._mean_budget_ms
        place = bisect_right(self._edges_ms, half_ms)
        found = self._known_lines.get(place)
        if found is None:
            found = self._known_lines[place] = _Lines(outlook, half_ms)
        return found

    def _forget(self, now_ms: float) -> None:
        arrivals, oldest = self._arrivals, now_ms - self._window_ms
        while arrivals and arrivals[0] < oldest:
            arrivals.popleft()


class _Lines:
    """Of each stage: the batch that can be waited for, which takes no more than half of a budget, and what it takes.

    Attributes
    ----------
    table : ndarray, shape (5, K)
        As `load_level` reads it.
    fresh_ms : float
        Expected work of a fresh request at the lowest price, in such batches.
    """

    __slots__ = ("fresh_ms", "table")

    def __init__(self, outlook: Outlook, half_ms: float) -> None:
        times = outlook.times
        sizes = [max(1, bisect_right(upper_ms, half_ms) - 1) for upper_ms in times.upper_ms]
        each_ms = [times.mean_ms[j][n] / n for j, n in enumerate(sizes)]
        self.table: FloatArray = np.stack([sizes, each_ms, times.fixed_ms, times.each_ms, np.zeros(times.n_stages)])
        self.fresh_ms = sum([runs * each for runs, each in zip(outlook.fresh_runs, each_ms, strict=True)])


def _fit_alone(items: Sequence[Item], outlook: Outlook, free_ms: float, capacity: float) -> bool:
    """Whether items fit at the lowest price even if nothing runs in batches."""
    took_ms = 0.0
    for i, item in enumerate(items):
        took_ms += outlook.alone_ms[item.evidence_set][_bin(item, outlook)]
        if i and took_ms > (item.deadline_ms - free_ms) * capacity:
            return False
    return True


def _bin(item: Item, outlook: Outlook) -> int:
    """Where the evidence of a request lies, which may have come under another policy."""
    return item.bin if item.outlook is outlook else outlook.bin_of(item.evidence_set, item.confidence)


class Utilisation:
    """Share of the time of late in which the lanes ran something.

    Parameters
    ----------
    n_lanes : int
    """

    def __init__(self, n_lanes: int) -> None:
        self._n_lanes, self._last_ms = n_lanes, 0.0
        self._busy_ms = self._passed_ms = 0.0

    @property
    def share(self) -> float:
        """In [0, 1]; 0 before the first run."""
        return min(self._busy_ms / (self._passed_ms * self._n_lanes), 1.0) if self._passed_ms else 0.0

    def ran(self, service_ms: float, now_ms: float) -> None:
        """A run that took so long has ended."""
        passed_ms = now_ms - self._last_ms if self._passed_ms else service_ms
        kept = exp(-passed_ms / _REMEMBERED_MS)
        self._busy_ms = kept * self._busy_ms + _REMEMBERED_MS * (1.0 - exp(-service_ms / _REMEMBERED_MS))
        self._passed_ms = kept * self._passed_ms + _REMEMBERED_MS * (1.0 - kept)
        self._last_ms = now_ms
