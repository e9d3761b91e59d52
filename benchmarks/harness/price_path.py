"""A policy at a path of prices over recorded outcomes, and how to pick a point of the path for a given mean cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascade.core.evidence import features_of
from cascade.core.induction import STOP
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.table import DecisionTable

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


@dataclass(frozen=True, slots=True)
class Pooled:
    """What a policy would say about every item after every set of stages, so that a price costs one walk and no pooling.

    Attributes
    ----------
    confidence : ndarray, shape (2**K, n)
    correct : ndarray of bool, shape (2**K, n)
    costs : ndarray, shape (K,)
    """

    confidence: np.ndarray
    correct: np.ndarray
    costs: np.ndarray

    @classmethod
    def over(cls, policy: Policy, outcomes: Outcomes, costs: np.ndarray) -> Pooled:
        """For outcomes with the classes that the policy was fitted on, of stages that may run in any order."""
        assert policy.evidence is not None
        features = features_of(outcomes, policy.evidence.form)
        said = [policy.evidence.pool(features, s) for s in range(1 << outcomes.n_stages)]
        correct = np.stack([probs.argmax(axis=1) == outcomes.labels for probs, _ in said])
        return cls(np.stack([trust for _, trust in said]), correct, costs)

    def under(self, table: DecisionTable) -> tuple[np.ndarray, np.ndarray]:
        """Right or wrong, and cost, of every item under one table, each of shape (n,): what `Policy.replay` gives."""
        n = self.confidence.shape[1]
        stopped, waiting = np.zeros(n, np.int64), {0: np.arange(n)}
        for s in range(len(self.correct)):
            rows = waiting.pop(s, None)
            if rows is None:
                continue
            actions = table.actions_of(s, self.confidence[s, rows], np.full(len(rows), np.inf))
            stopped[rows[actions == STOP]] = s
            for j in np.unique(actions[actions != STOP]).tolist():
                onward = rows[actions == j]
                after = s | 1 << j
                waiting[after] = np.concatenate([waiting[after], onward]) if after in waiting else onward
        totals = np.array([sum(c for j, c in enumerate(self.costs) if s >> j & 1) for s in range(len(self.correct))])
        return self.correct[stopped, np.arange(n)], totals[stopped]


def price_paths(policy: Policy, seen: Outcomes, served: Outcomes, costs: np.ndarray) -> tuple[PricePath, PricePath]:
    """A policy at ascending prices that lie close in mean cost on the outcomes seen, over these and over others.

    From next to nothing to where no step to a dearer model pays, the widest gaps halved until there are enough prices.
    """
    halves = Pooled.over(policy, seen, costs), Pooled.over(policy, served, costs)

    def at(price: float) -> list[tuple[np.ndarray, np.ndarray]]:
        table = policy.table(price=price)
        return [half.under(table) for half in halves]

    steps = np.diff(np.sort(costs))
    prices = list(np.geomspace(1e-4 / costs.max(), 3.0 / steps[steps > 0].min(), N_PRICES))
    done = [at(price) for price in prices]
    spent = [own[1].mean() for own, _ in done]
    while len(prices) < MAX_PRICES:
        # Prices closer than this differ by one cell of one table: the jump between them cannot be split.
        divisible = np.divide(prices[1:], prices[:-1]) > 1.002
        gaps = np.abs(np.diff(spent)) * divisible
        i = int(gaps.argmax())
        if gaps[i] < 0.005 * costs.max():
            break
        prices.insert(i + 1, float(np.sqrt(prices[i] * prices[i + 1])))
        done.insert(i + 1, at(prices[i + 1]))
        spent.insert(i + 1, done[i + 1][0][1].mean())
    first, second = ([row[half] for row in done] for half in (0, 1))
    return _path(first), _path(second)


def _path(done: Sequence[tuple[np.ndarray, np.ndarray]]) -> PricePath:
    return PricePath(np.stack([correct for correct, _ in done]), np.stack([cost for _, cost in done]))


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
