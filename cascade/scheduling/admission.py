"""Whether what has been admitted can be answered in time by the fastest stage, and what may still be admitted.

Pure state. A request is admitted only if it and all that go before it can be served; nothing that runs for the sake of
accuracy may break that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from cascade.core.load_kernels import fits_in_time
from cascade.core.records import FloatArray
from cascade.scheduling.messages import Priority
from cascade.scheduling.service_times import Times
from cascade.scheduling.slowdown import SlowDown
from cascade.scheduling.waiting import Item, Waiting

_KEPT = 64
"""Budgets of the latest arrivals that stand for all."""


class Admission:
    """What can be served by the fastest stage.

    Parameters
    ----------
    times : Times
    stage : int
        The fastest of those that may run first.
    waiting : Waiting
    slowdown : SlowDown
    """

    def __init__(self, times: Times, stage: int, waiting: Waiting, slowdown: SlowDown) -> None:
        self._waiting, self._limit = waiting, times.max_batch
        self._profiled_ms, self._stage, self._slowdown = times.means[stage], stage, slowdown
        self._budgets: deque[float] = deque(maxlen=_KEPT)
        self.least = 1
        self.refresh()

    def refresh(self) -> None:
        """Take over what the slow-down is now."""
        self.mean_ms: FloatArray = self._profiled_ms * self._slowdown.factor(0, self._stage)
        self.upper_ms: FloatArray = self._slowdown.upper_ms(0, self._stage)
        self._uppers: list[float] = self.upper_ms.tolist()

    @property
    def fastest_ms(self) -> float:
        """What the fastest stage may take for one request."""
        return self._uppers[1]

    @property
    def least_ms(self) -> float:
        """What the fastest stage takes for one request in the mean: with less time left nobody starts."""
        return float(self.mean_ms[1])

    def arrived(self, budget_ms: float) -> None:
        """Take note of a budget."""
        self._budgets.append(budget_ms)

    def aim(self, rate_per_ms: float, n_lanes: int) -> None:
        """Under more load than can be served: the batch with which most requests can be.

        A batch of b that starts every t(b) can take what arrived in the meantime and still has the time that the batch
        may take; larger batches serve more per millisecond, but fewer requests can wait for them.
        """
        budgets = np.array(self._budgets)[:, None]
        cycle_ms = self.mean_ms[None, 1:] / n_lanes
        supply = rate_per_ms * np.clip(budgets - self.upper_ms[None, 1:], 0.0, cycle_ms).mean(axis=0)
        served = np.minimum(np.arange(1, self._limit + 1), supply) / cycle_ms[0]
        self.least = int(np.argmax(served >= 0.99 * served.max())) + 1

    def relax(self) -> None:
        """All that arrives can be served."""
        self.least = 1

    def admits(self, item: Item, free_ms: Sequence[float]) -> bool:
        """Whether a fresh request can be served besides those that go before it, and they besides it."""
        first_ms, deadline_ms = min(free_ms), item.deadline_ms
        if first_ms + self._uppers[self.least] > deadline_ms:
            return False
        n = self._waiting.n_fresh + 1
        if n <= self._limit and first_ms + self._uppers[n] <= min(deadline_ms, self._waiting.earliest_ms):
            return True
        return self._fits(self._waiting.fresh_deadlines(item.priority, deadline_ms), free_ms, self.least)

    def stays_served(self, lowest: Priority, free_ms: Sequence[float]) -> bool:
        """Whether the fresh requests of this class and higher ones can be served by lanes that are free at these instants."""
        n = self._waiting.n_fresh
        if not n or (n <= self._limit and min(free_ms) + self._uppers[n] <= self._waiting.earliest_ms):
            return True
        return self._fits(self._waiting.fresh_deadlines(lowest), free_ms, 1)

    def _fits(self, deadlines: list[float], free_ms: Sequence[float], least: int) -> bool:
        return bool(fits_in_time(np.array(deadlines), np.array(free_ms), self.mean_ms, self.upper_ms, least))
