"""Chains that answer where the margin between the two first classes is wide, or the entropy low.

Both need class scores. Every order of the models and a grid of thresholds is searched.

References
----------
Lewis and Catlett (1994), Heterogeneous Uncertainty Sampling for Supervised Learning; Scheffer, Decomain and Wrobel (2001), Active Hidden
Markov Models for Information Extraction (margin). Teerapittayanon, McDanel and Kung (2016), BranchyNet: Fast Inference via
Early Exiting from Deep Neural Networks (entropy).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from baselines.chains import chains_of_models, points_of
from baselines.model_features import entropy, top_two_margin
from baselines.operating_points import Items, OperatingPoints

Score = Callable[[Items], np.ndarray]


def own_score(score: np.ndarray) -> np.ndarray:
    """A score (n, K) of each model that is the same whichever model would be next, shape (n, K, K)."""
    return np.repeat(score[:, :, None], score.shape[1], axis=2)


def max_probability(seen: Items, served: Items, costs: np.ndarray) -> OperatingPoints:
    """Thresholds on the models' own confidence."""
    return _thresholds(seen, served, costs, lambda items: items.confidence)


def margin(seen: Items, served: Items, costs: np.ndarray) -> OperatingPoints | None:
    """Thresholds on the lead of the first class; None without class scores."""
    return _thresholds(seen, served, costs, lambda items: top_two_margin(items.probs)) if _scored(seen) else None


def low_entropy(seen: Items, served: Items, costs: np.ndarray) -> OperatingPoints | None:
    """Thresholds on the negative entropy of the class scores; None without them."""
    return _thresholds(seen, served, costs, lambda items: -entropy(items.probs)) if _scored(seen) else None


def _scored(items: Items) -> bool:
    return items.probs is not None


def _thresholds(seen: Items, served: Items, costs: np.ndarray, score: Score) -> OperatingPoints:
    chains = [chains_of_models(items, own_score(score(items)), costs) for items in (seen, served)]
    return points_of(*chains)
