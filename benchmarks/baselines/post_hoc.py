"""Post-hoc deferral: a learned estimate of how much more often the next model is right than this one decides who answers.

The probability that the next model is right where this one is wrong, and that of the reverse, are learned for every pair of models
from what the first one says; their difference, which is what deferring gains, is compared with a threshold. Every order of the
models and a grid of thresholds is searched, on scores that each item gets from a fit without it. The features are how sure the model is, or
that and its answer; whichever is better on the half that fits is used at each cost.

References
----------
Jitkrittum, Gupta, Menon, Narasimhan, Rawat and Kumar (2023), When Does Confidence-Based Cascade Deferral Suffice? (the post-hoc
estimate of the difference of correctness, from the output of the first model).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from baselines.chains import chains_of_models, points_of
from baselines.logistic import learned
from baselines.model_features import numbers_of, with_class
from baselines.operating_points import Items, OperatingPoints, joined

Features = Callable[[Items, int], np.ndarray]


def post_hoc_deferral(seen: Items, served: Items, costs: np.ndarray) -> OperatingPoints:
    """The hull over all chains, with either kind of features."""
    return joined(*(_points(seen, served, costs, features) for features in (numbers_of, with_class)))


def _points(seen: Items, served: Items, costs: np.ndarray, features: Features) -> OperatingPoints:
    scores = deferral_scores(seen, served, features)
    chains = [chains_of_models(items, score, costs) for items, score in zip((seen, served), scores, strict=True)]
    return points_of(*chains)


def deferral_scores(seen: Items, served: Items, features: Features) -> tuple[np.ndarray, np.ndarray]:
    """What keeping the answer of model i gains over that of model j, at [:, i, j]; shapes (n, K, K) and (n', K, K)."""
    k, right = seen.n_models, seen.correct
    scores = np.zeros((len(seen.labels), k, k)), np.zeros((len(served.labels), k, k))
    for i in range(k):
        others = [j for j in range(k) if j != i]
        gained = right[:, others] & ~right[:, [i]]
        lost = ~right[:, others] & right[:, [i]]
        targets = np.concatenate([gained, lost], axis=1)
        for score, p in zip(scores, learned(features(seen, i), targets, features(served, i)), strict=True):
            score[:, i, others] = p[:, len(others) :] - p[:, : len(others)]
    return scores
