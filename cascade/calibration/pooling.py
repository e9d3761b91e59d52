"""Fit log-linear pooling by maximum likelihood, with what every held-out fold would have seen.

Pure. Newton's method on the weights of one evidence set; the fit without each fold is one further
Newton step from the common optimum with that fold's gradient and curvature taken out, which costs one
pass over the data for all folds together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.core.evidence import members_of
from cascade.core.fit_kernels import loglinear_moments
from cascade.core.kernels import pool_loglinear
from cascade.core.outcomes import FeatureArray
from cascade.core.records import FloatArray, IntArray

FLOOR_CANDIDATES = tuple(float(np.log(p)) for p in (1e-2, 1e-3, 1e-4, 1e-6, 1e-12))
_WEIGHT_RIDGE = 2.0
_BIAS_RIDGE = 5.0
_MAX_STEPS = 25
_ENOUGH = 0.02
"""Improvement of the summed log-likelihood, in nats, below which Newton's method has arrived."""
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


def fit_floors(features: FeatureArray, labels: IntArray, highest: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """For every stage the clipping floor of best likelihood and, at that floor, its inverse temperature.

    Parameters
    ----------
    features : ndarray of float32, shape (n, K, c)
        Log-probabilities.
    labels : ndarray of int64, shape (n,)
    highest : float
        Largest floor that may be chosen.

    Returns
    -------
    floors, inverse_temperature : ndarray, shape (K,)

    References
    ----------
    Guo et al. (2017), On Calibration of Modern Neural Networks.
    """
    k = features.shape[1]
    floors, inverse_temperature = np.empty(k), np.empty(k)
    lone_fold = np.zeros(labels.shape[0], np.int64)
    for j in range(k):
        best = np.inf
        for floor in (candidate for candidate in FLOOR_CANDIDATES if candidate <= highest):
            stage = np.ascontiguousarray(np.maximum(features[:, j : j + 1], np.float32(floor)))
            fitter = LoglinearFitter(stage, labels, lone_fold, 1, np.ones(1))
            params, nll = fitter.temperature()
            # A lower floor must pay for itself: near-ties keep the stage from vetoing a class.
            if nll < best - 1e-3:
                best, floors[j], inverse_temperature[j] = nll, floor, params
    return floors, inverse_temperature


def clearly_better(nll: FloatArray, than: FloatArray) -> bool:
    """Whether a log-loss beats another on the same items by more than one standard error."""
    gain = than - nll
    return bool(gain.mean() > gain.std() / np.sqrt(gain.shape[0]))


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    nll: FloatArray
    gradient: FloatArray
    hessian: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """One penalised likelihood: the set's members, whether there are biases, target and ridge of each parameter."""

    members: IntArray
    n_bias: int
    goal: FloatArray
    ridge: FloatArray


class LoglinearFitter:
    """Fits log-linear pooling of one evidence set after the other on the same data.

    Parameters
    ----------
    features : ndarray of float32, shape (n, K, c)
        Log-probabilities, floors applied.
    labels, folds : ndarray of int64, shape (n,)
    n_folds : int
    start : ndarray, shape (K,)
        Inverse temperatures; the weights are shrunk towards their equal share of these.
    """

    def __init__(
        self, features: FeatureArray, labels: IntArray, folds: IntArray, n_folds: int, start: FloatArray
    ) -> None:
        self._features, self._labels, self._folds, self._n_folds = features, labels, folds, n_folds
        self._start = start
        self._rows = [np.flatnonzero(folds == f) for f in range(n_folds)]
        self._held_out = [features[rows] for rows in self._rows]

    def temperature(self) -> tuple[float, float]:
        """Inverse temperature of the only stage, and the negative log-likelihood it leaves."""
        problem = _Problem(np.zeros(1, np.int64), 0, np.ones(1), np.full(1, _WEIGHT_RIDGE))
        params, moments = self._newton(problem, problem.goal)
        return float(params[0]), float(moments.nll.sum())

    def fit(self, evidence_set: int) -> PooledFit:
        """Pooling of one evidence set; class biases only where they pay out of fold.

        A single stage among several may have biases too; the lone stage of a cascade is left as it is.
        """
        members = members_of(evidence_set)
        c = self._features.shape[2]
        plain_params, plain = self._fit_form(members, 0, None)
        if c > MAX_BIAS_CLASSES or self._features.shape[1] == 1:
            return plain
        _, rich = self._fit_form(members, c, np.concatenate([plain_params, np.zeros(c)]))
        return rich if clearly_better(rich.nll, plain.nll) and self._n_right(rich) >= self._n_right(plain) else plain

    def _n_right(self, fitted: PooledFit) -> int:
        """Items whose held-out answer is right: biases may lower the log-loss and yet move labels the wrong way."""
        return int((fitted.probs.argmax(axis=1) == self._labels).sum())

    def _moments(self, problem: _Problem, params: FloatArray) -> _Moments:
        s, p, n_folds = len(problem.members), len(params), self._n_folds
        nll, gradient, hessian = np.zeros(n_folds), np.zeros((n_folds, p)), np.zeros((n_folds, p, p))
        loglinear_moments(
            self._features,
            self._labels,
            problem.members,
            params[:s],
            params[s:],
            self._folds,
            nll,
            gradient,
            hessian,
        )
        lower = np.tril(hessian, -1)
        return _Moments(nll, gradient, np.tril(hessian) + lower.transpose(0, 2, 1))

    def _newton(self, problem: _Problem, start: FloatArray) -> tuple[FloatArray, _Moments]:
        """Penalised maximum likelihood by Newton steps, halved while they do not improve."""

        def evaluated(candidate: FloatArray) -> tuple[float, _Moments]:
            moments = self._moments(problem, candidate)
            return float(moments.nll.sum() + 0.5 * (problem.ridge * (candidate - problem.goal) ** 2).sum()), moments

        params = start
        loss, moments = evaluated(params)
        for _ in range(_MAX_STEPS):
            gradient = moments.gradient.sum(axis=0) + problem.ridge * (params - problem.goal)
            step = np.linalg.solve(moments.hessian.sum(axis=0) + np.diag(problem.ridge), gradient)
            # What the quadratic model still promises: no pass over the data is needed to see that it is nothing.
            if 0.5 * float(gradient @ step) < _ENOUGH:
                break
            scale = 1.0
            next_loss, next_moments = evaluated(params - step)
            while next_loss > loss and scale > 1e-3:
                scale *= 0.5
                next_loss, next_moments = evaluated(params - scale * step)
            if next_loss > loss:
                break
            params, loss, moments = params - scale * step, next_loss, next_moments
        return params, moments

    def _fit_form(self, members: IntArray, n_bias: int, start: FloatArray | None) -> tuple[FloatArray, PooledFit]:
        s = len(members)
        target = self._start[members] / s
        # The ridge on a weight is in units of its target, so that a stage's temperature does not change the shrinkage.
        ridge = np.concatenate([_WEIGHT_RIDGE / np.maximum(target, 1e-2) ** 2, np.full(n_bias, _BIAS_RIDGE)])
        problem = _Problem(members, n_bias, np.concatenate([target, np.zeros(n_bias)]), ridge)
        params, moments = self._newton(problem, problem.goal if start is None else start)
        n, k, c = self._features.shape
        total = moments.hessian.sum(axis=0) + np.diag(ridge)
        slope = moments.gradient.sum(axis=0) + ridge * (params - problem.goal)
        probs, floors = np.empty((n, c)), np.full(k, -np.inf)
        for f, (rows, features) in enumerate(zip(self._rows, self._held_out, strict=True)):
            without = params - np.linalg.solve(total - moments.hessian[f], slope - moments.gradient[f])
            weights = np.zeros(k)
            weights[members] = without[:s]
            bias = without[s:] if n_bias else np.zeros(c)
            part, top = np.empty((len(rows), c)), np.empty(len(rows))
            pool_loglinear(features, members, floors, weights, bias, _IDENTITY, part, top)
            probs[rows] = part
        nll = -np.log(np.maximum(probs[np.arange(n), self._labels], 1e-300))
        return params, PooledFit(params[:s], params[s:] if n_bias else np.zeros(c), probs, nll)
