"""Fit pooling where a stage says only a label and one confidence: multinomial logistic regression.

Pure. Each stage contributes, for the label it said, one coefficient per class and two more per class
times functions of its confidence; fitted by L-BFGS with a ridge, without each fold and with all. Where there are very
many rows, steps in the curvature of a sample, and one more without each fold, take the place of these fits.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from cascade.calibration.pooling import PooledFit
from cascade.core.evidence import members_of
from cascade.core.fit_kernels import stacked_curvature, stacked_gradient
from cascade.core.kernels import pool_stacked
from cascade.core.outcomes import FeatureArray
from cascade.core.records import FloatArray, IntArray

_RIDGE = 1.0
_MAX_STEPS = 200
_TOLERANCE = 3e-7
_IDENTITY = np.array([1.0, 0.0])
_MANY_ROWS = 50_000
_ROWS_PER_PARAMETER = 50
_MOST_PARAMETERS = 3000
"""What makes one Newton step to the fit without a fold as good as the fit itself, and the step itself affordable."""
_SAMPLE = 40_000
_MAX_NEWTON = 30
_NEAR = 0.01
"""Log-likelihood per parameter, in nats, below which a step is not worth it; estimating a parameter costs half a nat."""


class StackedFitter:
    """Fits evidence sets in order of size; each fit starts from the same fold's fit of a smaller set.

    A start that has seen only the fold's own training rows keeps the held-out rows unseen even where
    the optimiser stops early.

    Parameters
    ----------
    features : ndarray of float32, shape (n, K, 3)
        Label said and two functions of its confidence.
    labels, folds : ndarray of int64, shape (n,)
    n_labels, n_classes, n_folds : int
        Labels m that may be said, classes c, folds.
    """

    def __init__(
        self, features: FeatureArray, labels: IntArray, folds: IntArray, n_folds: int, *, n_labels: int, n_classes: int
    ) -> None:
        self._features, self._labels = features, labels
        self._shape = (n_labels, 3, n_classes)
        self._block = n_labels * 3 * n_classes
        everyone = np.arange(labels.shape[0])
        self._parts = [everyone, *(np.flatnonzero(folds != f) for f in range(n_folds))]
        self._held_out = [np.flatnonzero(folds == f) for f in range(n_folds)]
        self._sample = np.sort(np.random.default_rng(0).permutation(labels.shape[0])[:_SAMPLE])
        self._fitted: dict[int, list[FloatArray]] = {0: [np.zeros(n_classes)] * len(self._parts)}

    def tables(self, evidence_set: int) -> FloatArray:
        """Coefficients (s, m, 3, c) of a set that was fitted."""
        return self._unpacked(self._fitted[evidence_set][0], evidence_set.bit_count())[0]

    def fit(self, evidence_set: int) -> PooledFit:
        """Pooling of one set, with its held-out probabilities."""
        members = members_of(evidence_set)
        starts = self._starts(evidence_set, members)
        if self._are_many_rows(starts[0]):
            fitted = self._fit_all_parts(members, starts[0])
        else:
            fitted = [self._optimum(rows, members, start) for rows, start in zip(self._parts, starts, strict=True)]
        self._fitted[evidence_set] = fitted
        n, c = self._labels.shape[0], self._shape[2]
        probs = np.empty((n, c))
        for f, params in enumerate(fitted[1:]):
            rows = self._held_out[f]
            probs[rows] = self._applied(params, members, rows)
        nll = -np.log(np.maximum(probs[np.arange(n), self._labels], 1e-300))
        _, bias = self._unpacked(fitted[0], len(members))
        return PooledFit(np.ones(len(members)), bias, probs, nll)

    def _starts(self, evidence_set: int, members: IntArray) -> list[FloatArray]:
        for a, j in enumerate(members[::-1]):
            smaller = self._fitted.get(evidence_set & ~(1 << int(j)))
            if smaller is not None:
                at = (len(members) - 1 - a) * self._block
                return [np.concatenate([params[:at], np.zeros(self._block), params[at:]]) for params in smaller]
        return [np.zeros(len(members) * self._block + self._shape[2])] * len(self._parts)

    def _are_many_rows(self, params: FloatArray) -> bool:
        least = max(_MANY_ROWS, _ROWS_PER_PARAMETER * len(params))
        return len(params) <= _MOST_PARAMETERS and len(self._labels) >= least

    def _optimum(self, rows: IntArray, members: IntArray, start: FloatArray) -> FloatArray:
        """Penalised maximum likelihood on some rows."""

        def objective(params: FloatArray) -> tuple[float, FloatArray]:
            return self._penalised(rows, members, params)

        found = minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_STEPS, "ftol": _TOLERANCE, "gtol": 1e-2},
        )
        return np.asarray(found.x)

    def _fit_all_parts(self, members: IntArray, start: FloatArray) -> list[FloatArray]:
        """The fit to all rows, and from there without each fold: one Newton step with that fold's gradient taken out.

        The curvature is that of a sample, scaled up with its ridge: it decides how fast the optimum is reached, and not
        where it is; with many rows for each parameter it will do for the last steps, too.
        """
        weight, n_folds = len(self._labels) / len(self._sample), len(self._held_out)
        rough = self._sample_optimum(members, start, weight)
        factor = cholesky(self._curvature(members, rough) + weight * _RIDGE * np.eye(len(rough)), lower=True)
        params, gradients = self._optimum_near(members, rough, factor)
        slope = gradients.sum(axis=0) + _RIDGE * params
        step = cho_solve((factor, True), slope)
        without = cho_solve((factor, True), (slope - gradients).T).T / (1.0 - 1.0 / n_folds)
        return [params - step, *(params - without)]

    def _sample_optimum(self, members: IntArray, start: FloatArray, weight: float) -> FloatArray:
        """Penalised maximum likelihood on the sample, each row counted ``weight`` times, by Newton's method."""
        params = start
        loss, gradient = self._penalised(self._sample, members, params, weight)
        for _ in range(_MAX_NEWTON):
            curvature = self._curvature(members, params) + _RIDGE * np.eye(len(params))
            step = cho_solve(cho_factor(curvature, lower=True, overwrite_a=True), gradient)
            if 0.5 * float(gradient @ step) < _NEAR * weight * len(params):
                break
            scale = 1.0
            next_loss, next_gradient = self._penalised(self._sample, members, params - step, weight)
            while next_loss > loss and scale > 1e-3:
                scale *= 0.5
                next_loss, next_gradient = self._penalised(self._sample, members, params - scale * step, weight)
            if next_loss > loss:
                break
            params, loss, gradient = params - scale * step, next_loss, next_gradient
        return params

    def _optimum_near(self, members: IntArray, start: FloatArray, factor: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Penalised maximum likelihood on all rows, and the gradient of the loss over each fold there, (F, p).

        Found in coordinates in which the curvature is about the identity.
        """
        memo: dict[bytes, tuple[float, FloatArray]] = {}

        def by_fold(params: FloatArray) -> tuple[float, FloatArray]:
            # The first point is asked for twice, the last one again for its folds.
            if (found := memo.get(key := params.tobytes())) is None:
                losses, gradients = zip(
                    *(self._gradient(rows, members, params) for rows in self._held_out), strict=True
                )
                memo.clear()
                found = memo[key] = float(np.sum(losses)) + 0.5 * _RIDGE * float(params @ params), np.stack(gradients)
            return found

        def moved_by(params: FloatArray, gradients: FloatArray) -> FloatArray:
            return np.asarray(solve_triangular(factor, gradients.sum(axis=0) + _RIDGE * params, lower=True))

        def parameters(moved: FloatArray) -> FloatArray:
            return start + unit * np.asarray(solve_triangular(factor, moved, trans="T", lower=True))

        def objective(moved: FloatArray) -> tuple[float, FloatArray]:
            params = parameters(moved)
            loss, gradients = by_fold(params)
            return loss, unit * moved_by(params, gradients)

        loss, gradients = by_fold(start)
        # The first step of L-BFGS has length one: in this unit it is Newton's.
        unit = max(float(np.linalg.norm(moved_by(start, gradients))), 1e-12)
        options = {"maxiter": _MAX_STEPS, "ftol": _NEAR * len(start) / loss, "gtol": 0.0}
        found = minimize(objective, np.zeros_like(start), jac=True, method="L-BFGS-B", options=options)
        params = parameters(np.asarray(found.x))
        return params, by_fold(params)[1]

    def _penalised(
        self, rows: IntArray, members: IntArray, params: FloatArray, weight: float = 1.0
    ) -> tuple[float, FloatArray]:
        """Negative log-likelihood of some rows, each counted ``weight`` times, with the ridge; and its gradient."""
        loss, gradient = self._gradient(rows, members, params)
        return weight * loss + 0.5 * _RIDGE * float(params @ params), weight * gradient + _RIDGE * params

    def _gradient(self, rows: IntArray, members: IntArray, params: FloatArray) -> tuple[float, FloatArray]:
        tables, bias = self._unpacked(params, len(members))
        gradient = np.zeros_like(params)
        grad_tables, grad_bias = self._unpacked(gradient, len(members))
        loss = stacked_gradient(self._features, self._labels, rows, members, tables, bias, grad_tables, grad_bias)
        return loss, gradient

    def _curvature(self, members: IntArray, params: FloatArray) -> FloatArray:
        """Second derivatives of the loss over all rows as the sample shows them, (p, p); its lower triangle only."""
        tables, bias = self._unpacked(params, len(members))
        c, n_inputs = len(bias), len(params) // len(bias)
        blocks = np.zeros((n_inputs, n_inputs, c * (c + 1) // 2))
        stacked_curvature(self._features, self._sample, members, tables, bias, blocks)
        low, high = np.sort(np.indices((c, c)), axis=0)
        full = blocks[:, :, high * (high + 1) // 2 + low].transpose(0, 2, 1, 3)
        return full.reshape(len(params), -1) * (len(self._labels) / len(self._sample))

    def _applied(self, params: FloatArray, members: IntArray, rows: IntArray) -> FloatArray:
        tables, bias = self._unpacked(params, len(members))
        by_stage = np.zeros((self._features.shape[1], *self._shape))
        by_stage[members] = tables
        probs, top = np.empty((len(rows), self._shape[2])), np.empty(len(rows))
        pool_stacked(self._features[rows], members, by_stage, bias, _IDENTITY, probs, top)
        return probs

    def _unpacked(self, params: FloatArray, s: int) -> tuple[FloatArray, FloatArray]:
        return params[: s * self._block].reshape(s, *self._shape), params[s * self._block :]
