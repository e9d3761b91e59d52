"""Chains of thresholds: steps in a fixed order, each of which answers if its score reaches its threshold.

Plain thresholds, agreement of ensembles and learned deferral are all chains; they differ in what a step is and how it is scored.
Pure NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from math import prod

import numpy as np
from baselines.operating_points import Items, OperatingPoints, hull

N_LEVELS = (1024, 256, 48)
"""Thresholds tried per step of a chain with one, two and three of them: quantiles of the score."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What m steps in a fixed order would do with n items.

    Attributes
    ----------
    right : sequence of m arrays of bool, shape (n,)
        Whether the answer of each step would be right.
    score : sequence of m - 1 arrays, shape (n,)
        The step answers where its score reaches its threshold; the last one always does.
    cost : sequence of m floats
        What each step costs where it is reached.
    """

    right: Sequence[np.ndarray]
    score: Sequence[np.ndarray]
    cost: Sequence[float]


def orders_of_models(n_models: int) -> list[tuple[int, ...]]:
    """Every order of every number of models."""
    return [order for length in range(1, n_models + 1) for order in permutations(range(n_models), length)]


def chains_of_models(items: Items, score: np.ndarray, costs: np.ndarray) -> list[Steps]:
    """Every order of the models as a chain.

    Parameters
    ----------
    items : Items
    score : ndarray, shape (n, K, K)
        How ready model i is to answer where model j would be asked next, at [:, i, j].
    costs : ndarray, shape (K,)
    """
    right = items.correct
    return [
        Steps(
            [right[:, i] for i in order],
            [score[:, i, j] for i, j in pairwise(order)],
            [float(costs[i]) for i in order],
        )
        for order in orders_of_models(items.n_models)
    ]


def run(steps: Steps, thresholds: Sequence[float]) -> tuple[float, float]:
    """Accuracy and mean cost of a chain with these thresholds, one for each step but the last."""
    waiting = np.arange(len(steps.right[0]))
    n, right, cost = len(waiting), 0, 0.0
    for i, own_cost in enumerate(steps.cost):
        cost += own_cost * len(waiting)
        done = np.ones(len(waiting), bool) if i == len(thresholds) else steps.score[i][waiting] >= thresholds[i]
        right += int(steps.right[i][waiting[done]].sum())
        waiting = waiting[~done]
    return right / n, cost / n


@dataclass(frozen=True, slots=True)
class Settings:
    """Accuracy and mean cost of a chain for every combination of thresholds, one axis per threshold."""

    levels: list[np.ndarray]
    accuracy: np.ndarray
    cost: np.ndarray

    def thresholds(self, flat: int) -> tuple[float, ...]:
        """The thresholds of one combination, by its number."""
        at = np.unravel_index(flat, self.accuracy.shape)
        return tuple(float(level[i]) for level, i in zip(self.levels, at, strict=True))


def every_setting(steps: Steps, n_levels: int | None = None) -> Settings:
    """A chain with every combination of thresholds on a grid.

    Parameters
    ----------
    steps : Steps
    n_levels : int, optional
        Thresholds tried per step; by default as `N_LEVELS` says.

    Notes
    -----
    One histogram per step and cumulative sums over it give every combination at once: O(m n + n_levels ** (m - 1)).
    """
    m = len(steps.cost)
    quantiles = np.linspace(0.0, 1.0, n_levels or N_LEVELS[max(m - 2, 0)])
    levels = [np.unique(np.quantile(score, quantiles, method="higher")) for score in steps.score]
    # The number of levels reached: an item passes threshold t of its step exactly if this number exceeds t.
    reached = [np.searchsorted(level, score, side="right") for level, score in zip(levels, steps.score, strict=True)]
    sizes, n = [len(level) for level in levels], len(steps.right[0])
    right, cost = np.zeros([1] * len(sizes)), np.zeros([1] * len(sizes))
    for i in range(m):
        cost = cost + steps.cost[i] * _spread(_failing(reached[:i], sizes[:i], np.ones(n)), len(sizes))
        right = right + _spread(_failing(reached[:i], sizes[:i], steps.right[i]), len(sizes))
        if i < len(sizes):
            right = right - _spread(_failing(reached[: i + 1], sizes[: i + 1], steps.right[i]), len(sizes))
    shape = tuple(sizes)
    return Settings(levels, np.broadcast_to(right / n, shape), np.broadcast_to(cost / n, shape))


def _failing(reached: Sequence[np.ndarray], sizes: Sequence[int], weights: np.ndarray) -> np.ndarray:
    """Summed weight of the items that fail all thresholds, for every combination of them."""
    if not sizes:
        return np.asarray(weights.sum(), np.float64)
    full = [size + 1 for size in sizes]
    table = np.bincount(np.ravel_multi_index(tuple(reached), full), weights, minlength=prod(full)).reshape(full)
    for axis in range(len(full)):
        table = table.cumsum(axis=axis)
    return table[tuple(slice(size) for size in sizes)]


def _spread(table: np.ndarray, n_axes: int) -> np.ndarray:
    """The table with axes of length one behind its own, so that it lines up with the thresholds of later steps."""
    return table.reshape(table.shape + (1,) * (n_axes - table.ndim))


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain, by its number among those searched, and its thresholds."""

    number: int
    thresholds: tuple[float, ...]


def best_within(seen: Iterable[Steps], limits: Sequence[float]) -> list[Chain | None]:
    """The most accurate chain whose mean cost keeps each limit; None where not even one step does."""
    found: list[tuple[float, Chain | None]] = [(-1.0, None)] * len(limits)
    for number, steps in enumerate(seen):
        settings = every_setting(steps)
        for i, limit in enumerate(limits):
            value = np.where(settings.cost <= limit + 1e-9, settings.accuracy, -1.0)
            best = int(value.argmax())
            if value.flat[best] > found[i][0] + 1e-9:
                found[i] = (float(value.flat[best]), Chain(number, settings.thresholds(best)))
    return [chain for _, chain in found]


def points_of(seen: Sequence[Steps], served: Sequence[Steps]) -> OperatingPoints:
    """The hull over every setting of every chain, and what its corners do on the half that serves.

    Parameters
    ----------
    seen, served : sequence of Steps
        The same chains on either half.
    """
    kept: list[tuple[float, float, Chain]] = []
    for number, steps in enumerate(seen):
        settings = every_setting(steps)
        cost, accuracy = settings.cost.ravel(), settings.accuracy.ravel()
        kept += [(cost[i], accuracy[i], Chain(number, settings.thresholds(i))) for i in _corners(cost, accuracy)]
    cost, accuracy = np.array([row[0] for row in kept]), np.array([row[1] for row in kept])
    corners = hull(cost, accuracy)
    chains = [kept[i][2] for i in corners]
    does = np.array([run(served[chain.number], chain.thresholds) for chain in chains])
    return OperatingPoints(cost[corners], accuracy[corners], does[:, 1], does[:, 0])


def _corners(cost: np.ndarray, accuracy: np.ndarray) -> list[int]:
    """The corners of the hull of very many points: only the best of each narrow range of costs can be one."""
    if len(cost) > 4096:
        order = np.argsort(accuracy)
        best = np.full(4097, -1)
        # Of several writes to one place the last stands, which is the most accurate one.
        best[((cost[order] - cost.min()) * (4096 / max(np.ptp(cost), 1e-12))).astype(int)] = order
        few = np.union1d(best[best >= 0], [int(cost.argmin())])
        return few[hull(cost[few], accuracy[few])].tolist()
    return hull(cost, accuracy).tolist()
