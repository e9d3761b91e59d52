"""Decisions of one policy for one table of service times, solved when first asked for and remembered.

Pure: what is remembered changes no answer. Two threads that ask at once solve the same thing twice, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

import numpy as np

from cascade.core.guarantee import Guarantee
from cascade.core.induction import Decisions, Statistics, solve
from cascade.core.prices import Expected, Unloaded, audited, price_grid, unloaded
from cascade.core.records import FloatArray
from cascade.core.service import ServiceTable
from cascade.core.table import DecisionTable, chain_table, decision_table
from cascade.core.times import StageTimes, stage_times
from cascade.errors import ConfigurationError

_MAX_TABLES = 128
_ROUNDING = 1.0 + 1e-12
_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")


class Solvable(Protocol):
    """What a solver reads of a policy; the attributes are those of `Policy`."""

    @property
    def statistics(self) -> Statistics | None:
        """None for a chain."""
        ...

    @property
    def chain(self) -> tuple[float, ...] | None:
        """Thresholds set by hand; None for a fitted policy."""
        ...

    @property
    def service(self) -> ServiceTable:
        """The table to solve for."""
        ...

    @property
    def level(self) -> float:
        """Quantile that must fit into the time left."""
        ...

    @property
    def cost_weight(self) -> float:
        """Accuracy worth one unit of cost."""
        ...

    @property
    def drop(self) -> float:
        """Accuracy that the unloaded price may give up."""
        ...

    @property
    def audit(self) -> FloatArray:
        """Accuracy expected and accuracy shown, shape (2, m)."""
        ...

    @property
    def guarantee(self) -> Guarantee | None:
        """What was proved."""
        ...


class Solver:
    """Solves and remembers; the methods are those of `Policy`.

    Up to the price of a guarantee only prices of the grid are used, which are the ones that were tested.
    """

    def __init__(self, policy: Solvable) -> None:
        self._statistics, self._chain, self._service = policy.statistics, policy.chain, policy.service
        self._level, self._cost_weight = policy.level, policy.cost_weight
        self._drop, self._audit = policy.drop, policy.audit
        self._cap = None if policy.guarantee is None or policy.chain is not None else policy.guarantee.price
        self._times: dict[int, StageTimes] = {}
        self._decisions: dict[int, Decisions] = {}
        self._unloaded: dict[int, Unloaded] = {}
        self._tables: dict[tuple[int, float | None], DecisionTable] = {}

    def times(self, batch_size: int) -> StageTimes:
        """Service times of the stages at one batch size."""
        return _once(
            self._times,
            batch_size,
            lambda: stage_times(self._service, batch_size, self._level, self._cost_weight),
        )

    def decisions(self, batch_size: int) -> Decisions:
        """Decisions over the grid of prices.

        Raises
        ------
        ConfigurationError
            For a chain.
        """
        statistics, times = self._fitted(), self.times(batch_size)
        return _once(self._decisions, batch_size, lambda: solve(statistics, times, price_grid(times)))

    def unloaded_price(self, budget_ms: float | None, batch_size: int) -> float:
        """The largest price that gives up no more accuracy than allowed within the budget."""
        decisions, best = self.decisions(batch_size), self._best(batch_size)
        return float(decisions.prices[best.rows[decisions.time_class(_allowed(budget_ms))]])

    def table(self, budget_ms: float | None, price: float | None, batch_size: int) -> DecisionTable:
        """The decisions at one price; None is the unloaded price for the budget."""
        _allowed(budget_ms)
        times, chain = self.times(batch_size), self._chain
        if chain is not None and price is None:
            return _once(self._tables, (batch_size, None), lambda: chain_table(chain, times))
        statistics = self._fitted()
        wanted = self.unloaded_price(budget_ms, batch_size) if price is None else self._tested(price, batch_size)
        # At a price of nothing the order of stages would be arbitrary; the least price settles it.
        least = max(wanted, float(price_grid(times)[0]))
        if len(self._tables) >= _MAX_TABLES:
            # A fresh dict, so that another thread that reads the old one is not disturbed.
            self._tables = {}
        return _once(self._tables, (batch_size, least), lambda: decision_table(statistics, times, least))

    def expected(self, budget_ms: float | None, price: float | None, batch_size: int) -> Expected:
        """Expected accuracy, time and cost of a fresh request; a price is taken to the nearest of the grid."""
        decisions, best = self.decisions(batch_size), self._best(batch_size)
        column = decisions.time_class(_allowed(budget_ms))
        if price is None:
            row, accuracy = int(best.rows[column]), float(best.accuracy[column])
        else:
            least = max(_checked_price(price), float(decisions.prices[0]))
            row = int(np.abs(np.log(decisions.prices / least)).argmin())
            accuracy = float(audited(self._audit, decisions.accuracy[row, column]))
        return Expected(accuracy, float(decisions.mean_ms[row, column]), float(decisions.mean_cost[row, column]))

    def _best(self, batch_size: int) -> Unloaded:
        decisions = self.decisions(batch_size)
        accuracy = decisions.accuracy[: self._n_tested(decisions.prices)]
        return _once(self._unloaded, batch_size, lambda: unloaded(audited(self._audit, accuracy), self._drop))

    def _tested(self, price: float, batch_size: int) -> float:
        """The price, or where there is a certified one above it, the next tested price below."""
        _checked_price(price)
        if self._cap is None or price > self._cap:
            return float(price)
        prices = self.decisions(batch_size).prices
        return (
            float(prices[int(np.searchsorted(prices, price * _ROUNDING, side="right")) - 1])
            if price >= prices[0]
            else 0.0
        )

    def _n_tested(self, prices: FloatArray) -> int:
        """How many prices of a grid are within the certified one, at least the least."""
        return (
            len(prices)
            if self._cap is None
            else max(1, int(np.searchsorted(prices, self._cap * _ROUNDING, side="right")))
        )

    def _fitted(self) -> Statistics:
        if self._statistics is None:
            raise ConfigurationError(
                "a chain of thresholds has no prices: fit a policy with fit_policy, or leave price=None"
            )
        return self._statistics


def _once(remembered: dict[_K, _T], key: _K, made: Callable[[], _T]) -> _T:
    found = remembered.get(key)
    if found is None:
        found = remembered[key] = made()
    return found


def _allowed(budget_ms: float | None) -> float:
    if budget_ms is None:
        return float("inf")
    if not budget_ms >= 0.0:
        raise ConfigurationError(f"expected budget_ms >= 0 or None, got {budget_ms}")
    return float(budget_ms)


def _checked_price(price: float) -> float:
    if not 0.0 <= price < float("inf"):
        raise ConfigurationError(f"expected a finite price >= 0, in accuracy per millisecond, got {price}")
    return float(price)
