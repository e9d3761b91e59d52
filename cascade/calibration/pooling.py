"""Fit log-linear pooling by maximum likelihood, with what every held-out fold would have seen.

Pure. Newton's method on the weights of one evidence set; the fit without each fold is one further
Newton step from the common optimum with that fold's gradient and curvature taken out, which costs one
pass over the data for all folds together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.core.evidence import members_of
from cascade.core.kernels import loglinear_moments, pool_loglinear
from cascade.core.outcomes import FeatureArray
from cascade.core.records import FloatArray, IntArray

FLOOR_CANDIDATES = tuple(float(np.log(p)) for p in (1e-2, 1e-3, 1e-4, 1e-6, 1e-12))
_WEIGHT_RIDGE = 2.0
_BIAS_RIDGE = 5.0
_MAX_STEPS = 25
MAX_BIAS_CLASSES = 64
_IDENTITY = np.array([1.0, 0.0])


@dataclass(frozen=True, slots=True, eq=False)
class PooledFit:
    """Weights and biases of one evidence set, and what the folds say about them.

    Attributes
    ----------
    weights : ndarray, shape (s,)
    bias : ndarray, shape (c,)
    probs : ndarray, shape (n, c)
        Probabilities of every item under the fit without that item's fold.
    nll : ndarray, shape (n,)
        Negative log-likelihood of every item under the same.
    """

    weights: FloatArray
    bias: FloatArray
    probs: FloatArray
    nll: FloatArray


def clipped(features: FeatureArray, floors: FloatArray) -> FeatureArray:
    """Log-probabilities (n, K, c) with each stage's floor applied."""
    return np.maximum(features, floors[None, :, None].astype(np.float32))


def fit_floors(features: FeatureArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
    """For every stage the clipping floor of best likelihood and, at that floor, its inverse temperature.

    Parameters
    ----------
    features : ndarray of float32, shape (n, K, c)
        Log-probabilities.
    labels : ndarray of int64, shape (n,)

    Returns
    -------
    floors, inverse_temperature : ndarray, shape (K,)

    References
    ----------
    Guo et al. (2017), On Calibration of Modern Neural Networks.
    """
    k = features.shape[1]
    floors, inverse_temperature = np.empty(k), np.empty(k)
    lone_fold, member = np.zeros(labels.shape[0], np.int64), np.zeros(1, np.int64)
    for j in range(k):
        best = np.inf
        for floor in FLOOR_CANDIDATES:
            stage = np.ascontiguousarray(np.maximum(features[:, j : j + 1], np.float32(floor)))
            params, moments = _newton(stage, labels, member, np.ones(1), np.full(1, _WEIGHT_RIDGE), 0, lone_fold, 1)
            # A lower floor must pay for itself: near-ties keep the stage from vetoing a class.
            if moments.nll.sum() < best - 1e-3:
                best, floors[j], inverse_temperature[j] = moments.nll.sum(), floor, params[0]
    return floors, inverse_temperature


def fit_set(
    features: FeatureArray, labels: IntArray, evidence_set: int, start: FloatArray, folds: IntArray, n_folds: int
) -> PooledFit:
    """Pooling of one evidence set; class biases only where they pay out of fold.

    Parameters
    ----------
    features : ndarray of float32, shape (n, K, c)
        Log-probabilities, floors applied.
    labels, folds : ndarray of int64, shape (n,)
    evidence_set : int
        Bit mask of the stages.
    start : ndarray, shape (K,)
        Inverse temperatures; the weights are shrunk towards their equal share of these.
    n_folds : int
    """
    members = members_of(evidence_set)
    target = start[members] / len(members)
    plain = _fit_form(features, labels, members, target, 0, folds, n_folds)
    c = features.shape[2]
    if len(members) < 1 or c > MAX_BIAS_CLASSES:
        return plain
    rich = _fit_form(features, labels, members, target, c, folds, n_folds)
    return rich if clearly_better(rich.nll, plain.nll) else plain


def clearly_better(nll: FloatArray, than: FloatArray) -> bool:
    """Whether a log-loss beats another on the same items by more than one standard error."""
    gain = than - nll
    return bool(gain.mean() > gain.std() / np.sqrt(gain.shape[0]))


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    nll: FloatArray
    gradient: FloatArray
    hessian: FloatArray


def _moments(
    features: FeatureArray,
    labels: IntArray,
    members: IntArray,
    params: FloatArray,
    n_bias: int,
    folds: IntArray,
    n_folds: int,
) -> _Moments:
    s, p = len(members), len(params)
    nll, gradient, hessian = np.zeros(n_folds), np.zeros((n_folds, p)), np.zeros((n_folds, p, p))
    loglinear_moments(features, labels, members, params[:s], params[s:], folds, nll, gradient, hessian)
    lower = np.tril(hessian, -1)
    return _Moments(nll, gradient, np.tril(hessian) + lower.transpose(0, 2, 1))


def _newton(
    features: FeatureArray,
    labels: IntArray,
    members: IntArray,
    target: FloatArray,
    ridge: FloatArray,
    n_bias: int,
    folds: IntArray,
    n_folds: int,
) -> tuple[FloatArray, _Moments]:
    """Penalised maximum likelihood by Newton steps, halved while they do not improve."""
    goal = np.concatenate([target, np.zeros(n_bias)])
    params = goal.copy()

    def evaluated(candidate: FloatArray) -> tuple[float, _Moments]:
        moments = _moments(features, labels, members, candidate, n_bias, folds, n_folds)
        return float(moments.nll.sum() + 0.5 * (ridge * (candidate - goal) ** 2).sum()), moments

    loss, moments = evaluated(params)
    for _ in range(_MAX_STEPS):
        gradient = moments.gradient.sum(axis=0) + ridge * (params - goal)
        step = np.linalg.solve(moments.hessian.sum(axis=0) + np.diag(ridge), gradient)
        scale = 1.0
        while scale > 1e-3:
            next_loss, next_moments = evaluated(params - scale * step)
            if next_loss <= loss:
                break
            scale *= 0.5
        else:
            break
        params, improvement = params - scale * step, loss - next_loss
        loss, moments = next_loss, next_moments
        if improvement < 1e-5 * max(1.0, labels.shape[0] * 1e-3):
            break
    return params, moments


def _fit_form(
    features: FeatureArray,
    labels: IntArray,
    members: IntArray,
    target: FloatArray,
    n_bias: int,
    folds: IntArray,
    n_folds: int,
) -> PooledFit:
    s = len(members)
    # The ridge on a weight is in units of its target, so that a stage's temperature does not change the shrinkage.
    ridge = np.concatenate([_WEIGHT_RIDGE / np.maximum(target, 1e-2) ** 2, np.full(n_bias, _BIAS_RIDGE)])
    params, moments = _newton(features, labels, members, target, ridge, n_bias, folds, n_folds)
    total = moments.hessian.sum(axis=0) + np.diag(ridge)
    n, c = labels.shape[0], features.shape[2]
    probs, nll = np.empty((n, c)), np.empty(n)
    floors = np.full(features.shape[1], -np.inf)
    for f in range(n_folds):
        rows = np.flatnonzero(folds == f)
        without = params + np.linalg.solve(total - moments.hessian[f], moments.gradient[f])
        weights = np.zeros(features.shape[1])
        weights[members] = without[:s]
        bias = without[s:] if n_bias else np.zeros(c)
        held_out, top = np.empty((len(rows), c)), np.empty(len(rows))
        pool_loglinear(features[rows], members, floors, weights, bias, _IDENTITY, held_out, top)
        probs[rows] = held_out
        nll[rows] = -np.log(np.maximum(held_out[np.arange(len(rows)), labels[rows]], 1e-300))
    return PooledFit(params[:s], params[s:] if n_bias else np.zeros(c), probs, nll)
