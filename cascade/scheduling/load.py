"""The load price: how much accuracy a millisecond of a lane is worth right now.

Pure state. The price is the smallest at which what arrives, and what waits, can be served in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cascade.scheduling.outlook import Outlook
from cascade.scheduling.waiting import Item

_WINDOWS = 8.0
"""Length of the window in which arrivals are counted, in mean budgets."""
_SHORTEST_MS, _LONGEST_MS = 50.0, 10_000.0
_FEWEST = 8
"""Arrivals below which no rate is believed."""


@dataclass(frozen=True, slots=True)
class Load:
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
        self._mean_budget_ms = 0.0

    def arrived(self, now_ms: float, budget_ms: float) -> None:
        """Count one arrival."""
        bounded = min(max(budget_ms, 0.0), _LONGEST_MS)
        self._mean_budget_ms += (bounded - self._mean_budget_ms) * (0.05 if self._arrivals else 1.0)
        self._arrivals.append(now_ms)
        self._forget(now_ms)

    def rate_per_ms(self, now_ms: float) -> float:
        """Arrivals per millisecond of late; 0 where there were too few to tell."""
        self._forget(now_ms)
        if len(self._arrivals) < _FEWEST:
            return 0.0
        return len(self._arrivals) / max(now_ms - self._arrivals[0], 1e-6, self._window_ms() * 0.25)

    def at(self, now_ms: float, items: Sequence[Item], outlook: Outlook, busy_ms: float, highest: int) -> Load:
        """The load for these waiting items, in the order of service; lanes are free after ``busy_ms`` on average."""
        need = self._needs(now_ms, items, outlook, busy_ms)
        if need is None or need(0) <= 1.0:
            return IDLE
        pressure = need(highest)
        if pressure > 1.0:
            return Load(highest, float(outlook.prices[highest]), 0.0, pressure)
        low, high = 1, highest
        while low < high:
            middle = (low + high) // 2
            if need(middle) <= 1.0:
                high = middle
            else:
                low = middle + 1
        above, below = need(low - 1), need(low)
        share = min(max((1.0 - below) / max(above - below, 1e-9), 0.0), 1.0)
        return Load(low, float(outlook.prices[low]), share, pressure)

    def _needs(
        self, now_ms: float, items: Sequence[Item], outlook: Outlook, busy_ms: float
    ) -> Callable[[int], float] | None:
        rate = self.rate_per_ms(now_ms)
        if not items and rate == 0.0:
            return None
        times = outlook.times
        batches = self._batches(outlook)
        each_ms = np.array([times.mean_ms[j][n] / n for j, n in enumerate(batches)])
        fresh_ms = outlook.runs[:, 0, 0] @ each_ms
        arriving = rate * fresh_ms / self._capacity
        sets = np.array([item.evidence_set for item in items], np.int64)
        bins = np.array([item.bin for item in items], np.int64)
        left_ms = self._capacity * (np.array([item.deadline_ms for item in items]) - now_ms - busy_ms)
        left_ms = np.maximum(left_ms, 1e-3)
        sizes = np.array(batches, np.float64)

        def need(level: int) -> float:
            work = 0.0
            if len(sets):
                done = np.cumsum(outlook.runs[level, sets, bins], axis=0)
                took = np.ceil(done / sizes - 1e-6) @ times.fixed_ms + done @ times.each_ms
                work = float((took / left_ms).max())
            return max(work, float(arriving[level]))

        return need

    def _batches(self, outlook: Outlook) -> list[int]:
        """The batch of each stage that can be waited for: one that takes no more than half of a budget."""
        half_ms = 0.5 * self._mean_budget_ms
        return [max(1, sum(upper <= half_ms for upper in each) - 1) for each in outlook.times.upper_ms]

    def _window_ms(self) -> float:
        return min(max(_WINDOWS * self._mean_budget_ms, _SHORTEST_MS), _LONGEST_MS)

    def _forget(self, now_ms: float) -> None:
        oldest = now_ms - self._window_ms()
        while self._arrivals and self._arrivals[0] < oldest:
            self._arrivals.popleft()
