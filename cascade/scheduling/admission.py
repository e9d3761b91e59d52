"""Which requests are promised an answer: those that the fastest stage can serve in time.

Pure state. Who cannot be served even if it goes first is refused at once. Of the others, those that more than can be served
came with are refused when a lane is free, in view of all that came, and before half of their time has passed. Who is admitted is
served, and nothing that runs for the sake of accuracy may break that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from itertools import groupby
from operator import attrgetter

import numpy as np

from cascade.core.load_kernels import best_plan, plan_in_time
from cascade.core.records import FloatArray
from cascade.scheduling.messages import Priority
from cascade.scheduling.outlook import Outlook
from cascade.scheduling.slowdown import SlowDown
from cascade.scheduling.waiting import Item, Waiting

_KEPT = 64
"""Budgets of the latest arrivals that stand for all."""
_MOST_SERVED = 0.97
"""Share of the arrivals from which on all of them count as served."""
_MOST_TAKEN = 0.95
_PATIENCE = 0.5
"""Share of its time after which a request is not refused any more."""
_BUSY = 0.65
"""Use of the lanes up to which their time is not scarce."""


class Admission:
    """What can be served by the fastest stage.

    Parameters
    ----------
    outlook : Outlook
    stage : int
        The fastest of those that may run first.
    waiting : Waiting
    slowdown : SlowDown

    Attributes
    ----------
    least_ms : float
        What the fastest stage takes for one request in the mean: with less time left nobody starts.
    """

    def __init__(self, outlook: Outlook, stage: int, waiting: Waiting, slowdown: SlowDown) -> None:
        self._waiting, self._limit = waiting, outlook.times.max_batch
        self._profiled_ms: FloatArray = outlook.times.means[stage]
        self._profiled_one_ms = float(self._profiled_ms[1])
        # Where answers must stay within a guarantee, a promise takes the whole certified path, not one fast stage.
        self._work = max(outlook.work(stage), 1.0) if outlook.sheds else 1.0
        self._stage, self._slowdown = stage, slowdown
        self._budgets: deque[float] = deque(maxlen=_KEPT)
        self._priorities: deque[Priority] = deque(maxlen=_KEPT)
        self.refresh()

    def refresh(self) -> None:
        """Take over what the slow-down is now."""
        self._factor, self._upper = self._slowdown.factor(0, self._stage), self._slowdown.upper(0, self._stage)
        self._alone_ms = self._upper[1]
        self.least_ms = self._profiled_one_ms * self._factor

    def arrived(self, budget_ms: float, priority: Priority = Priority.NORMAL) -> None:
        """Take note of a budget and a class."""
        self._budgets.append(budget_ms)
        self._priorities.append(priority)

    def is_possible(self, item: Item, free_ms: Sequence[float]) -> bool:
        """Whether a fresh request can be served at all, if it goes first."""
        return min(free_ms) + self._alone_ms <= item.deadline_ms

    def refused(self, free_ms: Sequence[float], rate_per_ms: float, utilisation: float) -> list[Item]:
        """The fresh requests that cannot be served, or would keep too many others from being.

        The others are admitted if they would be asked about again only after half of their time.

        Parameters
        ----------
        free_ms : sequence of float
            When each lane can start something new.
        rate_per_ms : float
            Arrivals of late.
        utilisation : float
            Share of the time of late in which the lanes were busy.
        """
        waiting = self._waiting
        if not waiting.n_unpromised:
            return []
        items = waiting.fresh()
        kept: Container[Item] = items
        n_first, first_ms, upper_ms = len(items), min(free_ms), self._upper
        if n_first > self._limit or first_ms + self._work * upper_ms[n_first] > waiting.earliest_fresh_ms:
            kept, n_first = self._planned(items, free_ms, rate_per_ms, utilisation)
        again_ms, refused = first_ms + upper_ms[n_first], []
        for item in items:
            if item.is_admitted:
                continue
            if kept is not items and item not in kept:
                refused.append(item)
            elif again_ms > item.arrived_ms + _PATIENCE * (item.deadline_ms - item.arrived_ms):
                waiting.promise(item)
        return refused

    def _planned(
        self, items: Sequence[Item], free_ms: Sequence[float], rate_per_ms: float, utilisation: float
    ) -> tuple[set[Item], int]:
        """Who can be served, class by class, so that no lower class stands in the way of a higher one; the first batch's size."""
        worth, upper_ms = self._worth(rate_per_ms, utilisation, len(free_ms)), self._upper.array() * self._work
        served: list[Item] = []
        n_first = 0
        for priority, own in groupby(items, key=attrgetter("priority")):
            # Part of the time will go to requests of higher classes that are still to come.
            slower_ms = upper_ms / (1.0 - self._taken(priority, rate_per_ms / len(free_ms)))
            fixed, wanted = len(served), [*served, *own]
            deadlines = np.array([item.deadline_ms for item in wanted])
            admitted = np.array([i < fixed or item.is_admitted for i, item in enumerate(wanted)])
            kept = np.empty(len(wanted), np.bool_)
            n_first = best_plan(deadlines, admitted, np.array(free_ms), slower_ms, worth, kept)
            served = [item for i, item in enumerate(wanted) if kept[i] or i < fixed]
        return set(served), max(n_first, 1)

    def stays_served(self, lowest: Priority, free_ms: Sequence[float]) -> bool:
        """Whether the fresh requests of this class and higher ones can be served by lanes that are free at these instants."""
        n = self._waiting.n_fresh
        if not n or (n <= self._limit and min(free_ms) + self._upper[n] <= self._waiting.earliest_ms):
            return True
        deadlines = np.array(self._waiting.fresh_deadlines(lowest))
        kept, nobody = np.empty(len(deadlines), np.bool_), np.zeros(len(deadlines), np.bool_)
        n_kept, _, _ = plan_in_time(deadlines, nobody, np.array(free_ms), self._upper.array(), 1, kept)
        return bool(n_kept == len(deadlines))

    def _taken(self, priority: Priority, rate_per_ms: float) -> float:
        """Share of a lane's time that requests of higher classes take in full batches, as arrivals of late go on."""
        if priority is Priority.INTERACTIVE:
            return 0.0
        higher = sum([one < priority for one in self._priorities]) / max(len(self._priorities), 1)
        each_ms = float(self._profiled_ms[-1]) * self._factor / self._limit
        return min(higher * rate_per_ms * each_ms, _MOST_TAKEN)

    def _worth(self, rate_per_ms: float, utilisation: float, n_lanes: int) -> float:
        """Requests that a millisecond of a lane is worth: what it serves at best where not all can be served, else nothing.

        A batch of b that starts every t(b) can take what arrived in the meantime and still has the time that the batch
        may take; larger batches serve more per millisecond, but fewer requests can wait for them. Lanes that are idle
        between bursts have time to spare.
        """
        if not self._budgets:
            return 0.0
        budgets = np.array(self._budgets)[:, None]
        took_ms, upper_ms = self._profiled_ms[None, 1:] * self._factor, self._upper.array()[None, 1:]
        supply = rate_per_ms * np.clip(budgets - upper_ms, 0.0, took_ms / n_lanes).mean(axis=0)
        served = float((np.minimum(np.arange(1, self._limit + 1), supply) / took_ms[0]).max())
        if served * n_lanes >= _MOST_SERVED * rate_per_ms:
            return 0.0
        return served * min(max((utilisation - _BUSY) / (1.0 - _BUSY), 0.0), 1.0)
