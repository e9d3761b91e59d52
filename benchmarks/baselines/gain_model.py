"""Learned gains, and two rules on them: how much more often a larger set of models is right than the set that has run, from the shape of what it says.

What is read of a set of models is how sure it is (log-odds of the top probability, the probability itself, margin, entropy) and the class
it says, where the table of cascade reads one number. Every gain an item gets that fits comes from a fit without this item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from baselines.logistic import learned
from baselines.model_features import numbers_of, with_class
from baselines.operating_points import Items
from sklearn.ensemble import HistGradientBoostingRegressor

from cascade.calibration.pooling import clearly_better

N_FOLDS = 3
N_TREES, N_LEAVES, LEAST_ROWS = 25, 6, 40

ROWS_OF_CONFIDENCE = 20.0
"""Items that the mean confidence counts for in a bin of learned gain, whose accuracy need not rise from bin to bin."""

Learner = Callable[[Items, Items, int, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From the items that fit and those that serve, a set, and what larger sets change (n, m) to their expected change on both."""


def logistic_changes(seen: Items, served: Items, own: int, changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability of being right where the set is wrong, less that of the reverse; shapes (n, m) and (n', m).

    Parameters
    ----------
    seen, served : Items
        Of evidence sets in the place of models.
    own : int
        The set that has run.
    changes : ndarray of int, shape (n, m)
        1 where a larger set is right and this one wrong, -1 for the reverse, else 0.
    """
    targets = np.concatenate([changes > 0, changes < 0], axis=1)
    m = changes.shape[1]
    both = learned(with_class(seen, own), targets, with_class(served, own))
    first, second = (p[:, :m] - p[:, m:] for p in both)
    return first, second


def boosted_changes(seen: Items, served: Items, own: int, changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The expected change by boosted trees; arguments and shapes as for `logistic_changes`."""
    x, x_served = (np.column_stack([numbers_of(items, own), items.predicted[:, own]]) for items in (seen, served))
    folds = np.random.default_rng(0).permutation(len(x)) % N_FOLDS
    found, expected = np.empty(changes.shape), np.empty((len(x_served), changes.shape[1]))
    for i, change in enumerate(changes.T):
        expected[:, i] = _grown(x, change).predict(x_served)
        for fold in range(N_FOLDS):
            inside = folds == fold
            found[inside, i] = _grown(x[~inside], change[~inside]).predict(x[inside])
    return found, expected


def _grown(x: np.ndarray, change: np.ndarray) -> HistGradientBoostingRegressor:
    model = HistGradientBoostingRegressor(
        max_iter=N_TREES,
        max_leaf_nodes=N_LEAVES,
        min_samples_leaf=LEAST_ROWS,
        max_bins=64,
        early_stopping=False,
    )
    return model.fit(x, change.astype(np.float64))


def gains_to(
    seen: Items, served: Items, own: int, larger: Sequence[int], learner: Learner
) -> tuple[np.ndarray, np.ndarray]:
    """Expected change of correctness from one evidence set to each of some larger ones, shapes (n, m) and (n', m)."""
    right = seen.correct.astype(np.int8)
    return learner(seen, served, own, right[:, list(larger)] - right[:, [own]])


def learned_confidence(seen: Items, served: Items) -> tuple[np.ndarray, np.ndarray]:
    """Probability that each set is right, by logistic regression on the same features, shapes (n, S) and (n', S)."""
    own, other = seen.confidence.copy(), served.confidence.copy()
    for s in range(1, seen.n_models):
        p, p_served = learned(with_class(seen, s), seen.correct[:, [s]], with_class(served, s))
        own[:, s], other[:, s] = p[:, 0], p_served[:, 0]
    return own, other


def where_it_pays(seen: Items, served: Items, trust: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Another confidence for the sets whose right answers it foretells clearly better, on items its fit has not seen."""
    own, other = seen.confidence.copy(), served.confidence.copy()
    for s in range(1, seen.n_models):
        right = seen.correct[:, s]
        before, after = (-np.log(np.where(right, p, 1.0 - p).clip(1e-9)) for p in (own[:, s], trust[0][:, s]))
        if clearly_better(after, before):
            own[:, s], other[:, s] = trust[0][:, s], trust[1][:, s]
    return own, other


def accuracy_of_bins(seen: Items, edges: np.ndarray, coordinate: np.ndarray) -> np.ndarray:
    """Accuracy of every set in every bin of a learned gain, shrunk towards the confidence, not made monotone.

    Parameters
    ----------
    seen : Items
        Of S evidence sets in the place of models.
    edges : ndarray, shape (S, B - 1)
    coordinate : ndarray, shape (n, S)
    """
    n_sets, n_bins = len(edges), edges.shape[1] + 1
    accuracy = np.empty((n_sets, n_bins))
    for s in range(n_sets):
        bins, right = np.searchsorted(edges[s], coordinate[:, s], side="right"), seen.correct[:, s]
        rows = np.bincount(bins, minlength=n_bins)
        trust, hits = (np.bincount(bins, x, minlength=n_bins) for x in (seen.confidence[:, s], right))
        centre = np.where(rows > 0, trust / np.maximum(rows, 1), right.mean())
        accuracy[s] = (hits + ROWS_OF_CONFIDENCE * centre) / (rows + ROWS_OF_CONFIDENCE)
    return accuracy


def one_step_ahead(
    items: Items, gains: Mapping[int, np.ndarray], costs: np.ndarray, first: int, price: float
) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong, and cost, of every item where the gain of each next model less price times its cost decides.

    Parameters
    ----------
    items : Items
        Of the 2**K evidence sets in the place of models.
    gains : mapping from set to ndarray, shape (n, m)
        Of each model that has not run, ascending; for every set but the empty and the full one.
    """
    n = len(items.labels)
    stopped, spent = np.full(n, 1 << first), np.full(n, costs[first])
    # A larger set has a larger number, so that it is still to come.
    for s in sorted(gains):
        rows, onward = np.flatnonzero(stopped == s), np.array([j for j in range(len(costs)) if not s >> j & 1])
        if len(rows) == 0:
            continue
        worth = gains[s][rows] - price * costs[onward]
        best, goes = worth.argmax(axis=1), worth.max(axis=1) > 0.0
        chosen = onward[best[goes]]
        stopped[rows[goes]] = s | 1 << chosen
        spent[rows[goes]] += costs[chosen]
    return items.correct[np.arange(n), stopped], spent
