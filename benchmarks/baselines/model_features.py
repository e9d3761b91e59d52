"""What a learned rule reads of the answer of one model, and of two of them together."""

from __future__ import annotations

import numpy as np
from baselines.operating_points import Items


def top_two_margin(probs: np.ndarray) -> np.ndarray:
    """How far the first class is ahead of the second, for probabilities (n, K, c)."""
    two = np.partition(probs, -2, axis=-1)[..., -2:]
    return two[..., 1] - two[..., 0]


def entropy(probs: np.ndarray) -> np.ndarray:
    """Entropy in nats, for probabilities (n, K, c)."""
    return -np.sum(probs * np.log(np.maximum(probs, 1e-12)), axis=-1)


def numbers_of(items: Items, model: int) -> np.ndarray:
    """How sure one model is: log-odds and confidence, and margin and entropy where there are class scores."""
    trust = np.clip(items.confidence[:, model], 1e-4, 1.0 - 1e-4)
    columns = [np.log(trust / (1.0 - trust)), trust]
    if items.probs is not None:
        own = np.maximum(items.probs[:, model], 1e-9)
        columns += [top_two_margin(own), entropy(own)]
    return np.stack(columns, axis=1)


def with_class(items: Items, model: int) -> np.ndarray:
    """How sure one model is, what it says, and both together."""
    numbers, said = numbers_of(items, model), np.eye(items.n_labels)[items.predicted[:, model]]
    return np.concatenate([numbers, numbers[:, :1] ** 2, said, said * numbers[:, :1]], axis=1)


def agreement(items: Items, first: int, second: int) -> np.ndarray:
    """Whether two models say the same, and how far their class scores are apart (Jensen-Shannon), where there are any."""
    same = (items.predicted[:, first] == items.predicted[:, second]).astype(np.float64)
    if items.probs is None:
        return same[:, None]
    a, b = np.maximum(items.probs[:, first], 1e-9), np.maximum(items.probs[:, second], 1e-9)
    middle = 0.5 * (a + b)
    return np.stack([same, entropy(middle) - 0.5 * (entropy(a) + entropy(b))], axis=1)
