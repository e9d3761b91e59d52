"""Fit the pooling of every evidence set, with the held-out confidences everything after it is counted on.

Pure. One outer cross-fitting serves pooling, recalibration and the statistics of the dynamic program.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.calibration.pooling import PooledFit, clipped, fit_floors, fit_set
from cascade.calibration.stacking import StackedFitter
from cascade.calibration.transitions import fit_recalibration
from cascade.core.evidence import EvidenceModel, Form, features_of, members_of, reachable_sets
from cascade.core.kernels import LOG_FLOOR, recalibrate
from cascade.core.outcomes import FeatureArray, Outcomes
from cascade.core.records import FloatArray, IntArray

MAX_STACKED_LABELS = 64


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What each evidence set would have said about items its fit has not seen.

    Attributes
    ----------
    confidence : ndarray, shape (n, 2**K)
    correct : ndarray of bool, shape (n, 2**K)
    folds : ndarray of int64, shape (n,)
    """

    confidence: FloatArray
    correct: NDArray[np.bool_]
    folds: IntArray


def assign_folds(labels: IntArray, n_folds: int, rng: np.random.Generator) -> IntArray:
    """A fold for every item, balanced over the classes, shape (n,)."""
    order = rng.permutation(labels.shape[0])
    by_class = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(labels.shape[0], np.int64)
    folds[by_class] = np.arange(labels.shape[0]) % n_folds
    return folds


def natural_form(outcomes: Outcomes) -> Form:
    """The form of pooling that what was recorded allows."""
    stackable = outcomes.log_probs is None and outcomes.n_stages > 1 and len(outcomes.classes) <= MAX_STACKED_LABELS
    return "stacked" if stackable else "loglinear"


def fit_evidence(outcomes: Outcomes, n_folds: int, rng: np.random.Generator) -> tuple[EvidenceModel, HeldOut]:
    """The pooling of every reachable set of stages.

    Parameters
    ----------
    outcomes : Outcomes
    n_folds : int
        Folds of the outer cross-fitting.
    rng : numpy.random.Generator
        Draws the folds.
    """
    folds = assign_folds(outcomes.labels, n_folds, rng)
    form = natural_form(outcomes)
    features = features_of(outcomes, form)
    fitter = _StackedFits if form == "stacked" else _LoglinearFits
    return fitter(outcomes, features, folds, n_folds).fit()


class _Fits:
    """Shared bookkeeping of the two forms: fills the arrays of an `EvidenceModel` set by set."""

    def __init__(self, outcomes: Outcomes, features: FeatureArray, folds: IntArray, n_folds: int) -> None:
        self.outcomes, self.features, self.folds, self.n_folds = outcomes, features, folds, n_folds
        self.k, self.c = outcomes.n_stages, len(outcomes.classes)
        n_sets = 1 << self.k
        self.floors = np.full(self.k, LOG_FLOOR)
        self.weights = np.zeros((n_sets, self.k))
        self.bias = np.zeros((n_sets, self.c))
        self.tables: FloatArray | None = None
        self.recal = np.tile(np.array([1.0, 0.0]), (n_sets, 1))
        shares = np.bincount(outcomes.labels, minlength=self.c) + 0.5
        self.bias[0] = np.log(shares / shares.sum())

    def fit_one(self, evidence_set: int) -> PooledFit:
        raise NotImplementedError

    def fit(self) -> tuple[EvidenceModel, HeldOut]:
        n, labels = self.outcomes.n_items, self.outcomes.labels
        confidence = np.empty((n, 1 << self.k))
        correct = np.zeros((n, 1 << self.k), np.bool_)
        prior = np.exp(self.bias[0])
        confidence[:, 0], correct[:, 0] = prior.max(), labels == prior.argmax()
        for s in reachable_sets(self.outcomes.requires)[1:]:
            fitted = self.fit_one(s)
            top = fitted.probs.max(axis=1)
            correct[:, s] = fitted.probs.argmax(axis=1) == labels
            self.recal[s] = fit_recalibration(top, correct[:, s])
            confidence[:, s] = [recalibrate(t, *self.recal[s]) for t in top]
        model = EvidenceModel(
            "loglinear" if self.tables is None else "stacked",
            self.floors,
            self.weights,
            self.bias,
            self.tables,
            self.recal,
        )
        return model, HeldOut(confidence, correct, self.folds)


class _LoglinearFits(_Fits):
    def __init__(self, outcomes: Outcomes, features: FeatureArray, folds: IntArray, n_folds: int) -> None:
        super().__init__(outcomes, features, folds, n_folds)
        self.floors, self.start = fit_floors(features, outcomes.labels)
        self.features = clipped(features, self.floors)

    def fit_one(self, evidence_set: int) -> PooledFit:
        fitted = fit_set(self.features, self.outcomes.labels, evidence_set, self.start, self.folds, self.n_folds)
        self.weights[evidence_set, members_of(evidence_set)] = fitted.weights
        self.bias[evidence_set] = fitted.bias
        return fitted


class _StackedFits(_Fits):
    def __init__(self, outcomes: Outcomes, features: FeatureArray, folds: IntArray, n_folds: int) -> None:
        super().__init__(outcomes, features, folds, n_folds)
        self.fitter = StackedFitter(features, outcomes.labels, folds, n_folds, n_labels=self.c, n_classes=self.c)
        self.stacked = np.zeros((1 << self.k, self.k, self.c, 3, self.c))
        self.tables = self.stacked

    def fit_one(self, evidence_set: int) -> PooledFit:
        tables, fitted = self.fitter.fit(evidence_set)
        self.stacked[evidence_set, members_of(evidence_set)] = tables
        self.bias[evidence_set] = fitted.bias
        return fitted
