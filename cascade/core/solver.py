"""Decisions of one policy for one table of service times, solved when first asked for and remembered.

Pure: what is remembered changes no answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from cascade.core.chain import stage_times
from cascade.core.induction import Decisions, StageTimes, Statistics, solve
from cascade.core.prices import Expected, audited, price_grid, unloaded_indices
from cascade.core.records import FloatArray
from cascade.core.service import ServiceTable
from cascade.core.table import DecisionTable, chain_table, decision_table
from cascade.errors import ConfigurationError

_MAX_REMEMBERED = 256
_T = TypeVar("_T")


class Solver:
    """Solves and remembers; the methods are those of `Policy`.

    Parameters
    ----------
    statistics : Statistics or None
        None for a chain.
    chain : tuple of float, or None
    service : ServiceTable
    level, cost_weight, drop, audit
        As in `Policy`.
    """

    def __init__(
        self,
        statistics: Statistics | None,
        chain: tuple[float, ...] | None,
        service: ServiceTable,
        *,
        level: float,
        cost_weight: float,
        drop: float,
        audit: FloatArray,
    ) -> None:
        self._statistics, self._chain, self._service = statistics, chain, service
        self._level, self._cost_weight, self._drop, self._audit = level, cost_weight, drop, audit
        self._remembered: dict[Any, Any] = {}

    def times(self, batch_size: int) -> StageTimes:
        """Service times of the stages at one batch size."""
        return self._once(
            ("times", batch_size), lambda: stage_times(self._service, batch_size, self._level, self._cost_weight)
        )

    def decisions(self, batch_size: int) -> Decisions:
        """Decisions over the grid of prices.

        Raises
        ------
        ConfigurationError
            For a chain.
        """
        statistics, times = self._fitted(), self.times(batch_size)
        return self._once(("decisions", batch_size), lambda: solve(statistics, times, price_grid(times)))

    def unloaded_price(self, budget_ms: float | None, batch_size: int) -> float:
        """The largest price that gives up no more accuracy than allowed within the budget."""
        decisions = self.decisions(batch_size)
        chosen = self._once(
            ("unloaded", batch_size), lambda: unloaded_indices(audited(self._audit, decisions.accuracy), self._drop)
        )
        return float(decisions.prices[chosen[decisions.time_class(np.inf if budget_ms is None else budget_ms)]])

    def table(self, budget_ms: float | None, price: float | None, batch_size: int) -> DecisionTable:
        """The decisions at one price; None is the unloaded price for the budget."""
        times = self.times(batch_size)
        if self._chain is not None and price is None:
            chain = self._chain
            return self._once(("chain", batch_size), lambda: chain_table(chain, times))
        statistics = self._fitted()
        wanted = self.unloaded_price(budget_ms, batch_size) if price is None else float(price)
        if not wanted >= 0.0:
            raise ConfigurationError(f"expected a price >= 0, in accuracy per millisecond, got {price}")
        # At a price of nothing the order of stages would be arbitrary; the least price settles it.
        least = max(wanted, float(price_grid(times)[0]))
        return self._once(("table", batch_size, least), lambda: decision_table(statistics, times, least))

    def expected(self, budget_ms: float | None, price: float | None, batch_size: int) -> Expected:
        """Expected accuracy, time and cost of a fresh request."""
        decisions = self.decisions(batch_size)
        wanted = self.unloaded_price(budget_ms, batch_size) if price is None else float(price)
        row = int(np.abs(decisions.prices - wanted).argmin())
        column = decisions.time_class(np.inf if budget_ms is None else budget_ms)
        return Expected(
            float(audited(self._audit, decisions.accuracy[row, column])),
            float(decisions.mean_ms[row, column]),
            float(decisions.mean_cost[row, column]),
        )

    def _fitted(self) -> Statistics:
        if self._statistics is None:
            raise ConfigurationError(
                "a chain of thresholds has no prices: fit a policy with fit_policy, or leave price=None"
            )
        return self._statistics

    def _once(self, key: Any, made: Callable[[], _T]) -> _T:
        found: _T | None = self._remembered.get(key)
        if found is None:
            found = made()
            if len(self._remembered) >= _MAX_REMEMBERED:
                # A fresh dict, so that another thread that reads the old one is not disturbed.
                self._remembered = {}
            self._remembered[key] = found
        return found
