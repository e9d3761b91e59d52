"""Full multinomial regression: every log-probability of every model may speak for every class.

The richest form of linear stacking: s * c * c coefficients for s models and c classes, where cascade pools with s weights and at most c
biases. The ridge is chosen by cross-validated log-loss on the items that fit.

References
----------
Wolpert (1992), Stacked Generalization. Ting and Witten (1999), Issues in Stacked Generalization: class probabilities as features of a
linear second level.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

LOWEST = -8.0
"""Log-probabilities below this count as this: a model that says "never" must not rule."""
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse ridges that are tried, at unit variance of the features."""
N_FOLDS = 3
_UNSEEN = 1e-6


def multinomial_regression(log_probs: np.ndarray, labels: np.ndarray, served: np.ndarray) -> np.ndarray:
    """Class probabilities of the items that serve, shape (n', c).

    Parameters
    ----------
    log_probs, served : ndarray, shapes (n, s, c) and (n', s, c)
    labels : ndarray of int, shape (n,)
        A class that does not occur in it gets next to nothing.
    """
    x, x_served = (np.maximum(each, LOWEST).reshape(len(each), -1).astype(np.float64) for each in (log_probs, served))
    scale, n_classes = x.std(), log_probs.shape[2]
    x, x_served = x / scale, x_served / scale
    folds = np.random.default_rng(0).permutation(len(x)) % N_FOLDS
    losses = [_held_out_loss(strength, x, labels, n_classes, folds) for strength in STRENGTHS]
    return _fitted(STRENGTHS[int(np.argmin(losses))], x, labels, n_classes, x_served)


def _held_out_loss(strength: float, x: np.ndarray, labels: np.ndarray, n_classes: int, folds: np.ndarray) -> float:
    total = 0.0
    for fold in range(N_FOLDS):
        inside, outside = folds == fold, folds != fold
        probs = _fitted(strength, x[outside], labels[outside], n_classes, x[inside])
        total -= np.log(probs[np.arange(len(probs)), labels[inside]]).sum()
    return total


def _fitted(strength: float, x: np.ndarray, labels: np.ndarray, n_classes: int, served: np.ndarray) -> np.ndarray:
    model = LogisticRegression(C=strength, tol=1e-3, max_iter=300).fit(x, labels)
    probs = np.full((len(served), n_classes), _UNSEEN)
    probs[:, model.classes_] = np.maximum(model.predict_proba(served), _UNSEEN)
    return probs / probs.sum(axis=1, keepdims=True)
