"""Logistic regression with a ridge, and the probabilities it would give to items it has not seen. Pure NumPy.

Several of the methods compared learn a probability; they share this one, so that none of them has the better learner.
"""

from __future__ import annotations

import numpy as np

N_FOLDS = 5
N_STEPS = 30


def learned(
    x: np.ndarray, targets: np.ndarray, x_served: np.ndarray, ridge: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    """The probability of each target, for the items it was fitted on (each without its own fold) and for others.

    Parameters
    ----------
    x : ndarray, shape (n, d)
        Scaled here, and given a constant.
    targets : ndarray of bool, shape (n, m)
    x_served : ndarray, shape (n', d)
    ridge : float
        Weight of the squared coefficients beside the summed log-loss, at unit variance of the features.

    Returns
    -------
    tuple of ndarray, shapes (n, m) and (n', m)

    Notes
    -----
    The fit without a fold is one Newton step from the common optimum with that fold's gradient and curvature taken out.
    """
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-9
    design, served = _design(x, mean, scale), _design(x_served, mean, scale)
    folds = np.random.default_rng(0).permutation(len(x)) % N_FOLDS
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-3
    columns = [_one(design, target.astype(np.float64), served, penalty, folds) for target in targets.T]
    return np.stack([own for own, _ in columns], axis=1), np.stack([other for _, other in columns], axis=1)


def _design(x: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    # Single precision halves the time of the products; a far outlier must not rule.
    scaled = np.clip((x - mean) / scale, -8.0, 8.0)
    return np.column_stack([np.ones(len(x)), scaled]).astype(np.float32)


def _one(
    x: np.ndarray, target: np.ndarray, served: np.ndarray, penalty: np.ndarray, folds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    beta = _optimum(x, target, penalty)
    p = _sigmoid(x @ beta.astype(np.float32))
    parts = [folds == f for f in range(N_FOLDS)]
    curvature = [_gram(x[part], (p * (1.0 - p))[part]) for part in parts]
    total = sum(curvature) + np.diag(penalty)
    own = np.empty(len(x))
    for part, own_curvature in zip(parts, curvature, strict=True):
        gradient = x[part].T @ (p - target)[part].astype(np.float32)
        without = beta + np.linalg.solve(total - own_curvature, gradient.astype(np.float64))
        own[part] = _sigmoid(x[part] @ without.astype(np.float32))
    return own, _sigmoid(served @ beta.astype(np.float32))


def _optimum(x: np.ndarray, target: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Newton's method, each step halved until it helps: from far away a whole step may lead further away."""
    beta = np.zeros(x.shape[1])
    loss = _loss(x, target, penalty, beta)
    for _ in range(N_STEPS):
        p = _sigmoid(x @ beta.astype(np.float32))
        gradient = x.T @ (p - target).astype(np.float32) + penalty * beta
        step = np.linalg.solve(_gram(x, p * (1.0 - p)) + np.diag(penalty), gradient.astype(np.float64))
        share, new = 1.0, _loss(x, target, penalty, beta - step)
        while new > loss and share > 1e-3:
            share *= 0.5
            new = _loss(x, target, penalty, beta - share * step)
        if new > loss:
            break
        beta, gained, loss = beta - share * step, loss - new, new
        if gained < 1e-5 * loss:
            break
    return beta


def _loss(x: np.ndarray, target: np.ndarray, penalty: np.ndarray, beta: np.ndarray) -> float:
    z = (x @ beta.astype(np.float32)).astype(np.float64)
    return float(np.logaddexp(0.0, z).sum() - target @ z + 0.5 * penalty @ beta**2)


def _gram(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    scaled = x * np.sqrt(weights).astype(np.float32)[:, None]
    return (scaled.T @ scaled).astype(np.float64)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(z.astype(np.float64), -30.0, 30.0)))
