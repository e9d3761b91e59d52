"""Fit pooling where a stage says only a label and one confidence: multinomial logistic regression.

Pure. Each stage contributes, for the label it said, one coefficient per class and two more per class
times functions of its confidence; fitted by L-BFGS with a ridge, without each fold and with all.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from cascade.calibration.pooling import PooledFit
from cascade.core.evidence import members_of
from cascade.core.fit_kernels import stacked_gradient
from cascade.core.kernels import pool_stacked
from cascade.core.outcomes import FeatureArray
from cascade.core.records import FloatArray, IntArray

_RIDGE = 1.0
_MAX_STEPS = 200
_TOLERANCE = 3e-7
_IDENTITY = np.array([1.0, 0.0])


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
        self._features, self._labels, self._folds = features, labels, folds
        self._shape = (n_labels, 3, n_classes)
        self._block = n_labels * 3 * n_classes
        everyone = np.arange(labels.shape[0])
        self._parts = [everyone, *(np.flatnonzero(folds != f) for f in range(n_folds))]
        self._fitted: dict[int, list[FloatArray]] = {0: [np.zeros(n_classes)] * len(self._parts)}

    def tables(self, evidence_set: int) -> FloatArray:
        """Coefficients (s, m, 3, c) of a set that was fitted."""
        return self._unpacked(self._fitted[evidence_set][0], evidence_set.bit_count())[0]

    def fit(self, evidence_set: int) -> PooledFit:
        """Pooling of one set, with its held-out probabilities."""
        members = members_of(evidence_set)
        starts = self._starts(evidence_set, members)
        fitted = [self._optimum(rows, members, start) for rows, start in zip(self._parts, starts, strict=True)]
        self._fitted[evidence_set] = fitted
        n, c = self._labels.shape[0], self._shape[2]
        probs = np.empty((n, c))
        for f, params in enumerate(fitted[1:]):
            rows = np.flatnonzero(self._folds == f)
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

    def _optimum(self, rows: IntArray, members: IntArray, start: FloatArray) -> FloatArray:
        def objective(params: FloatArray) -> tuple[float, FloatArray]:
            tables, bias = self._unpacked(params, len(members))
            gradient = np.zeros_like(params)
            grad_tables, grad_bias = self._unpacked(gradient, len(members))
            loss = stacked_gradient(self._features, self._labels, rows, members, tables, bias, grad_tables, grad_bias)
            return loss + 0.5 * _RIDGE * float(params @ params), gradient + _RIDGE * params

        found = minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_STEPS, "ftol": _TOLERANCE, "gtol": 1e-2},
        )
        return np.asarray(found.x)

    def _applied(self, params: FloatArray, members: IntArray, rows: IntArray) -> FloatArray:
        tables, bias = self._unpacked(params, len(members))
        by_stage = np.zeros((self._features.shape[1], *self._shape))
        by_stage[members] = tables
        probs, top = np.empty((len(rows), self._shape[2])), np.empty(len(rows))
        pool_stacked(self._features[rows], members, by_stage, bias, _IDENTITY, probs, top)
        return probs

    def _unpacked(self, params: FloatArray, s: int) -> tuple[FloatArray, FloatArray]:
        return params[: s * self._block].reshape(s, *self._shape), params[s * self._block :]
