"""Cascade routing: at every step, the set of models to have run in the end that is worth most, less a price times its cost.

After some models have run, the probability that each model is right is estimated from what they said. A set of models is worth the
expected maximum of these estimates, which are uncertain as far as they still change once every model has run. The best set that holds
the models run so far is chosen; if it holds more, its cheapest model that has not run is run, else the answer is that of the model
with the highest estimate. The price may differ from step to step, as in the paper; here a grid of such prices is searched. Before any
model has run, the estimate is learned from the input where it is known; what that costs is added to the cost of every item, and the
rule without it, which starts with the same model for all, is tried beside it.

References
----------
Dekoninck, Baader and Vechev (2024), A Unified Approach to Routing and Cascading for LLMs: cascade routing, logistic regression per set
of models run, covariance of the change of the estimates. Their Monte Carlo maximum is replaced by: Clark (1961), The Greatest of a
Finite Set of Random Variables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, product

import numpy as np
from baselines.logistic import learned
from baselines.model_features import agreement, numbers_of, with_class
from baselines.operating_points import Items, OperatingPoints, hull, joined
from baselines.pre_routing import RIDGE
from numba import njit
from scipy.special import ndtr

N_PRICES = 64
FACTORS = (0.5, 1.0, 2.0)
"""What the price of later steps may be multiplied by."""
Features = Callable[[Items, int], np.ndarray]


def cascade_routing(seen: Items, served: Items, costs: np.ndarray) -> OperatingPoints:
    """The hull over the grid of prices, with the features of the paper and with the answers beside them."""
    kinds = (numbers_of, with_class)
    found = [_points(seen, served, costs, features).dearer_by(seen.features_cost) for features in kinds]
    if seen.features is not None and seen.features_cost > 0.0:
        unseen = [replace(items, features=None) for items in (seen, served)]
        found += [_points(*unseen, costs, features) for features in kinds]
    return joined(*found)


def _points(seen: Items, served: Items, costs: np.ndarray, features: Features) -> OperatingPoints:
    k = seen.n_models
    quality = _qualities(seen, served, features)
    worth = [np.zeros((len(items.labels), 1 << k, 1 << k), np.float32) for items in (seen, served)]
    right = [np.zeros((len(items.labels), 1 << k), bool) for items in (seen, served)]
    final = quality[0][:, -1]
    for s in range(1 << k):
        change = np.cov((quality[0][:, s] - final).T)
        for half, items in enumerate((seen, served)):
            own = quality[half][:, s]
            for target in range(1, 1 << k):
                if target & s == s:
                    worth[half][:, s, target] = expected_maximum(own, change, members(target))
            if s:
                run = members(s)
                best = np.array(run)[own[:, run].argmax(axis=1)]
                right[half][:, s] = items.correct[np.arange(len(best)), best]
    prices = _price_grid(k, costs)
    totals = np.array([costs[members(s)].sum() for s in range(1 << k)])
    cost, accuracy = _at_prices(worth[0], right[0], costs, totals, prices)
    corners = hull(cost, accuracy)
    served_cost, served_accuracy = _at_prices(worth[1], right[1], costs, totals, prices[corners])
    return OperatingPoints(cost[corners], accuracy[corners], served_cost, served_accuracy)


def members(models: int) -> list[int]:
    """The models of a set, given as a bit mask."""
    return [j for j in range(models.bit_length()) if models >> j & 1]


def _qualities(seen: Items, served: Items, features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Probability that each model is right, after each set has run, shapes (n, 2**K, K) and (n', 2**K, K)."""
    k, right = seen.n_models, seen.correct
    quality = tuple(np.tile(right.mean(axis=0), (len(items.labels), 1 << k, 1)) for items in (seen, served))
    known = seen.features is not None and served.features is not None
    for s in range(0 if known else 1, 1 << k):
        if s == 0:
            p = learned(seen.features, right, served.features, RIDGE)
        else:
            p = learned(_set_features(seen, members(s), features), right, _set_features(served, members(s), features))
        for own, found in zip(quality, p, strict=True):
            own[:, s] = found
    return quality[0], quality[1]


def _set_features(items: Items, run: list[int], features: Features) -> np.ndarray:
    alone = [features(items, j) for j in run]
    return np.concatenate([*alone, *(agreement(items, i, j) for i, j in combinations(run, 2))], axis=1)


def expected_maximum(mean: np.ndarray, covariance: np.ndarray, run: list[int]) -> np.ndarray:
    """Expected maximum of some of several normal variables, shape (n,), by Clark's matching of moments.

    Parameters
    ----------
    mean : ndarray, shape (n, K)
    covariance : ndarray, shape (K, K)
    run : list of int
        Which of them.
    """
    top, variance = mean[:, run[0]], np.full(len(mean), covariance[run[0], run[0]])
    # Covariance of the maximum so far with every variable.
    shared = np.tile(covariance[run[0]], (len(mean), 1))
    for j in run[1:]:
        spread = np.sqrt(np.maximum(variance + covariance[j, j] - 2.0 * shared[:, j], 1e-12))
        z = (top - mean[:, j]) / spread
        first, density = ndtr(z), np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        second = 1.0 - first
        new = top * first + mean[:, j] * second + spread * density
        square = (top**2 + variance) * first + (mean[:, j] ** 2 + covariance[j, j]) * second
        square += (top + mean[:, j]) * spread * density
        shared = shared * first[:, None] + covariance[j] * second[:, None]
        top, variance = new, np.maximum(square - new**2, 0.0)
    return top


def _price_grid(k: int, costs: np.ndarray) -> np.ndarray:
    """Prices of the K + 1 steps, shape (P, K + 1): a path for the first, and two factors for those that follow."""
    steps = np.diff(np.sort(costs))
    # Falling, so that of prices that do the same to the items seen the highest is kept.
    first = np.geomspace(3.0 / steps[steps > 0].min(), 1e-4 / costs.max(), N_PRICES)
    factors = [np.array([1.0, a, *[a * b] * (k - 1)]) for a, b in product(FACTORS, FACTORS)]
    return np.concatenate([first[:, None] * factor for factor in factors])


def _at_prices(
    worth: np.ndarray, right: np.ndarray, costs: np.ndarray, totals: np.ndarray, prices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean cost and accuracy at each row of prices."""
    ends = [_walk(worth, totals, np.argsort(costs), row) for row in prices]
    n = np.arange(len(right))
    return np.array([totals[end].mean() for end in ends]), np.array([right[n, end].mean() for end in ends])


@njit
def _walk(worth, totals, cheapest_first, prices):  # type: ignore[no-untyped-def]
    """The models that have run in the end, as a bit mask for every item."""
    n, n_sets = worth.shape[0], worth.shape[1]
    ends = np.zeros(n, np.int64)
    for i in range(n):
        s, step = 0, 0
        while True:
            best, chosen = -np.inf, s
            for target in range(1, n_sets):
                value = worth[i, s, target] - prices[step] * totals[target]
                # Equal values go to the cheaper set.
                if target & s == s and (value > best or (value == best and totals[target] < totals[chosen])):
                    best, chosen = value, target
            if chosen == s:
                break
            for j in cheapest_first:
                if (chosen & ~s) >> j & 1:
                    s |= 1 << j
                    break
            step += 1
        ends[i] = s
    return ends
