"""The best chain of plain confidence thresholds, searched over every order of the models and a grid of thresholds.

A chain asks its models in order and takes the first answer whose own, uncalibrated confidence reaches the model's threshold;
the last model answers whatever it is given. Pure NumPy, and nothing of the package that it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import prod

import numpy as np


@dataclass(frozen=True, slots=True)
class Chain:
    """Models in the order they are asked, and a threshold for each but the last."""

    order: tuple[int, ...]
    thresholds: tuple[float, ...]


def run_chain(chain: Chain, correct: np.ndarray, confidence: np.ndarray, costs: np.ndarray) -> tuple[float, float]:
    """Accuracy and mean cost of a chain on n items.

    Parameters
    ----------
    chain : Chain
    correct, confidence : ndarray, shape (n, K)
    costs : ndarray, shape (K,)
    """
    n = correct.shape[0]
    waiting = np.arange(n)
    right, cost = 0, 0.0
    for model, threshold in zip(chain.order, (*chain.thresholds, -np.inf), strict=True):
        cost += float(costs[model]) * len(waiting)
        done = confidence[waiting, model] >= threshold
        right += int(correct[waiting[done], model].sum())
        waiting = waiting[~done]
    return right / n, cost / n


def best_chains(
    correct: np.ndarray, confidence: np.ndarray, costs: np.ndarray, limits: Sequence[float], n_levels: int = 64
) -> list[Chain | None]:
    """The most accurate chain whose mean cost keeps each limit; None where not even one model does.

    Parameters
    ----------
    correct, confidence : ndarray, shape (n, K)
        Of the items to choose on.
    costs : ndarray, shape (K,)
    limits : sequence of float
        Mean cost per item.
    n_levels : int
        Thresholds tried per model: quantiles of its confidence.

    Notes
    -----
    One histogram per chain and cumulative sums over it give every setting at once: O(n + n_levels ** (K - 1)) per chain.
    """
    levels = [
        np.unique(np.quantile(column, np.linspace(0.0, 1.0, n_levels), method="higher")) for column in confidence.T
    ]
    # The number of levels reached: an item passes threshold t of its model exactly if this number exceeds t.
    reached = np.stack([np.searchsorted(levels[j], confidence[:, j], side="right") for j in range(len(costs))])
    found: list[tuple[float, Chain | None]] = [(-1.0, None)] * len(limits)
    for order in _orders(len(costs)):
        accuracy, cost = _every_setting(order, correct, reached, [len(levels[j]) for j in order[:-1]], costs)
        for i, limit in enumerate(limits):
            value = np.where(cost <= limit + 1e-9, accuracy, -1.0)
            best = np.unravel_index(int(value.argmax()), value.shape)
            if value[best] > found[i][0] + 1e-9:
                thresholds = tuple(float(levels[j][t]) for j, t in zip(order, best, strict=False))
                found[i] = (float(value[best]), Chain(order, thresholds))
    return [chain for _, chain in found]


def _orders(n_models: int) -> Iterator[tuple[int, ...]]:
    for length in range(1, n_models + 1):
        yield from permutations(range(n_models), length)


def _every_setting(
    order: tuple[int, ...], correct: np.ndarray, reached: np.ndarray, sizes: list[int], costs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and mean cost for every combination of thresholds of one chain, one axis per threshold."""
    n = correct.shape[0]
    right, cost = np.zeros([1] * len(sizes)), np.zeros([1] * len(sizes))
    for i, model in enumerate(order):
        earlier = list(order[:i])
        asked = _failing(reached[earlier], sizes[:i], np.ones(n))
        cost = cost + costs[model] * _spread(asked, len(sizes))
        right = right + _spread(_failing(reached[earlier], sizes[:i], correct[:, model]), len(sizes))
        if i < len(sizes):
            onward = _failing(reached[[*earlier, model]], sizes[: i + 1], correct[:, model])
            right = right - _spread(onward, len(sizes))
    return right / n, cost / n


def _failing(reached: np.ndarray, sizes: list[int], weights: np.ndarray) -> np.ndarray:
    """Summed weight of the items that fail all thresholds, for every combination of them."""
    if not sizes:
        return np.asarray(weights.sum(), np.float64)
    full = [size + 1 for size in sizes]
    table = np.bincount(np.ravel_multi_index(tuple(reached), full), weights, minlength=prod(full)).reshape(full)
    for axis in range(len(full)):
        table = table.cumsum(axis=axis)
    return table[tuple(slice(size) for size in sizes)]


def _spread(table: np.ndarray, n_axes: int) -> np.ndarray:
    """The table with axes of length one behind its own, so that it lines up with the thresholds of later models."""
    return table.reshape(table.shape + (1,) * (n_axes - table.ndim))
