"""A policy at a path of prices over recorded outcomes, and how to pick a point of the path for a given mean cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy

N_PRICES = 40
MAX_PRICES = 400


@dataclass(frozen=True, slots=True)
class PricePath:
    """What one policy did at each of P prices: right or wrong, and cost, of every item; arrays of shape (P, n)."""

    correct: np.ndarray
    cost: np.ndarray

    @property
    def accuracy(self) -> np.ndarray:
        """Share of right answers at each price, shape (P,)."""
        return self.correct.mean(axis=1)

    @property
    def mean_cost(self) -> np.ndarray:
        """Mean cost per item at each price, shape (P,)."""
        return self.cost.mean(axis=1)


def refined_prices(policy: Policy, outcomes: Outcomes, costs: np.ndarray) -> list[float]:
    """Ascending prices that lie close in mean cost on these outcomes.

    From next to nothing to where no step to a dearer model pays, the widest gaps halved until there are enough prices.
    """
    steps = np.diff(np.sort(costs))
    prices = list(np.geomspace(1e-4 / costs.max(), 3.0 / steps[steps > 0].min(), N_PRICES))
    spent = [policy.replay(outcomes, price=price).mean_cost for price in prices]
    while len(prices) < MAX_PRICES:
        # Prices closer than this differ by one cell of one table: the jump between them cannot be split.
        divisible = np.divide(prices[1:], prices[:-1]) > 1.002
        gaps = np.abs(np.diff(spent)) * divisible
        i = int(gaps.argmax())
        if gaps[i] < 0.005 * costs.max():
            break
        prices.insert(i + 1, float(np.sqrt(prices[i] * prices[i + 1])))
        spent.insert(i + 1, policy.replay(outcomes, price=prices[i + 1]).mean_cost)
    return prices


def walk(policy: Policy, outcomes: Outcomes, prices: Sequence[float]) -> PricePath:
    """The policy at every price, over these outcomes."""
    replays = [policy.replay(outcomes, price=price) for price in prices]
    return PricePath(np.stack([r.correct for r in replays]), np.stack([r.cost for r in replays]))


def most_accurate_within(cost: np.ndarray, accuracy: np.ndarray, limit: float) -> int | None:
    """Index of the most accurate point within the cost, None where there is none; arguments of shape (P,)."""
    within = cost <= limit + 1e-9
    return int(np.where(within, accuracy, -1.0).argmax()) if within.any() else None


def neighbours_at(cost: np.ndarray, accuracy: np.ndarray, limit: float) -> tuple[int, int, float] | None:
    """Two neighbouring points, and the share of items for the second that makes the mean cost exactly the limit.

    Of several such pairs the one that is more accurate. Where the whole path is cheaper, its most accurate point takes
    all items; None where the whole path is dearer.
    """
    best: tuple[float, int, int, float] | None = None
    for i in range(len(cost) - 1):
        low, high = sorted((i, i + 1), key=lambda k: cost[k])
        if cost[low] <= limit <= cost[high] and cost[low] < cost[high]:
            share = float((limit - cost[low]) / (cost[high] - cost[low]))
            found = ((1.0 - share) * accuracy[low] + share * accuracy[high], low, high, share)
            best = max(best, found) if best else found
    if best is not None:
        return best[1:]
    end = most_accurate_within(cost, accuracy, limit)
    return None if end is None else (end, end, 0.0)
