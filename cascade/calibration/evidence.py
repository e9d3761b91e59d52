"""Fit the pooling of every evidence set, with the held-out confidences everything after it is counted on.

Pure. One outer cross-fitting serves pooling, recalibration and the statistics of the dynamic program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cascade.calibration.pooling import LoglinearFitter, PooledFit, clipped, fit_floors
from cascade.calibration.stacking import StackedFitter
from cascade.calibration.transitions import fit_recalibration, recalibrated
from cascade.core.evidence import EvidenceModel, Form, features_of, members_of, reachable_sets
from cascade.core.kernels import LOG_FLOOR
from cascade.core.outcomes import Outcomes
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


class SetFitter(Protocol):
    """Fits one evidence set after the other."""

    def fit(self, evidence_set: int) -> PooledFit:
        """Pooling of one set, with its held-out probabilities."""
        ...


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
    fit = _fit_stacked if natural_form(outcomes) == "stacked" else _fit_loglinear
    return fit(outcomes, folds, n_folds)


def _fit_loglinear(outcomes: Outcomes, folds: IntArray, n_folds: int) -> tuple[EvidenceModel, HeldOut]:
    features = features_of(outcomes, "loglinear")
    # The chosen one of c classes has at least 1 / c: a higher floor could change the label of a lone stage.
    highest = 0.0 if outcomes.n_stages > 1 else -np.log(len(outcomes.classes))
    floors, start = fit_floors(features, outcomes.labels, highest)
    fitter = LoglinearFitter(clipped(features, floors), outcomes.labels, folds, n_folds, start)
    weights = np.zeros((1 << outcomes.n_stages, outcomes.n_stages))

    def keep(evidence_set: int, fitted: PooledFit) -> None:
        weights[evidence_set, members_of(evidence_set)] = fitted.weights

    bias, recal, held_out = _fit_sets(outcomes, folds, fitter, keep)
    return EvidenceModel("loglinear", floors, weights, bias, None, recal), held_out


def _fit_stacked(outcomes: Outcomes, folds: IntArray, n_folds: int) -> tuple[EvidenceModel, HeldOut]:
    k, c = outcomes.n_stages, len(outcomes.classes)
    features = features_of(outcomes, "stacked")
    fitter = StackedFitter(features, outcomes.labels, folds, n_folds, n_labels=c, n_classes=c)
    tables = np.zeros((1 << k, k, c, 3, c))

    def keep(evidence_set: int, _: PooledFit) -> None:
        tables[evidence_set, members_of(evidence_set)] = fitter.tables(evidence_set)

    bias, recal, held_out = _fit_sets(outcomes, folds, fitter, keep)
    floors, weights = np.full(k, LOG_FLOOR), np.zeros((1 << k, k))
    return EvidenceModel("stacked", floors, weights, bias, tables, recal), held_out


def _fit_sets(
    outcomes: Outcomes, folds: IntArray, fitter: SetFitter, keep: Callable[[int, PooledFit], None]
) -> tuple[FloatArray, FloatArray, HeldOut]:
    """Biases and recalibration of every reachable set, and what each would have said about unseen items."""
    n, n_sets, labels, c = outcomes.n_items, 1 << outcomes.n_stages, outcomes.labels, len(outcomes.classes)
    bias, recal = np.zeros((n_sets, c)), np.tile(np.array([1.0, 0.0]), (n_sets, 1))
    shares = np.bincount(labels, minlength=c) + 0.5
    bias[0] = np.log(shares / shares.sum())
    confidence, correct = np.zeros((n, n_sets)), np.zeros((n, n_sets), np.bool_)
    confidence[:, 0], correct[:, 0] = np.exp(bias[0]).max(), labels == bias[0].argmax()
    for s in reachable_sets(outcomes.requires)[1:]:
        fitted = fitter.fit(s)
        keep(s, fitted)
        bias[s] = fitted.bias
        top = fitted.probs.max(axis=1)
        correct[:, s] = fitted.probs.argmax(axis=1) == labels
        recal[s] = fit_recalibration(top, correct[:, s])
        confidence[:, s] = recalibrated(top, recal[s])
    return bias, recal, HeldOut(confidence, correct, folds)
