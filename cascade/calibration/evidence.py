"""Fit the pooling of every evidence set, with the held-out confidences everything after it is counted on.

Pure. One outer cross-fitting serves pooling, recalibration and the statistics of the dynamic program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cascade.calibration.pooling import LoglinearFitter, PooledFit, clearly_better, clipped, fit_floors
from cascade.calibration.stacking import StackedFitter
from cascade.calibration.transitions import fit_recalibration, recalibrated
from cascade.core.evidence import EvidenceModel, Form, features_of, members_of, reachable_sets
from cascade.core.kernels import LOG_FLOOR
from cascade.core.outcomes import Outcomes
from cascade.core.progress import with_progress
from cascade.core.records import FloatArray, IntArray

MAX_STACKED_LABELS = 64
_FEW_ITEMS = 20_000


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


def shuffled_by_class(labels: IntArray, rng: np.random.Generator) -> IntArray:
    """All items, one class after the other, in random order within each, shape (n,)."""
    order = rng.permutation(labels.shape[0])
    return order[np.argsort(labels[order], kind="stable")]


def assign_folds(labels: IntArray, n_folds: int, rng: np.random.Generator) -> IntArray:
    """A fold for every item, balanced over the classes, shape (n,)."""
    by_class = shuffled_by_class(labels, rng)
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


def fit_evidence(outcomes: Outcomes, folds: IntArray, *, progress: bool = False) -> tuple[EvidenceModel, HeldOut]:
    """The pooling of every reachable set of stages.

    Parameters
    ----------
    outcomes : Outcomes
    folds : ndarray of int64, shape (n,)
        Fold of each item in the outer cross-fitting, 0 to F - 1.
    progress : bool
        Show a progress bar on standard error when the work is long.
    """
    n_folds = int(folds.max()) + 1
    if natural_form(outcomes) == "loglinear":
        fitted = _fit_loglinear(outcomes, folds, n_folds, progress)
    else:
        fitted = _fit_stacked(outcomes, folds, n_folds, progress)
        if outcomes.n_items <= _FEW_ITEMS:
            # Few items do not pay for a coefficient per label: spread over the other labels, confidences pool with K weights.
            spread = _fit_loglinear(outcomes, folds, n_folds, progress)
            fitted = spread if spread.loss < fitted.loss else fitted
    return fitted.evidence, fitted.held_out


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """One form of pooling, fitted, with its mean held-out log-loss over all sets."""

    evidence: EvidenceModel
    held_out: HeldOut
    loss: float


@dataclass(frozen=True, slots=True, eq=False)
class _Sets:
    """What all forms share; ``uses`` (2**K,) is the set whose fit each set takes over, mostly itself."""

    bias: FloatArray
    recal: FloatArray
    uses: IntArray
    held_out: HeldOut
    loss: float


def _fit_loglinear(outcomes: Outcomes, folds: IntArray, n_folds: int, progress: bool) -> _Fitted:
    features = features_of(outcomes, "loglinear")
    # The chosen one of c classes has at least 1 / c: a higher floor could change the label of a lone stage.
    highest = 0.0 if outcomes.n_stages > 1 else -np.log(len(outcomes.classes))
    floors, start = fit_floors(features, outcomes.labels, highest)
    fitter = LoglinearFitter(clipped(features, floors), outcomes.labels, folds, n_folds, start)
    weights = np.zeros((1 << outcomes.n_stages, outcomes.n_stages))

    def keep(evidence_set: int, fitted: PooledFit) -> None:
        weights[evidence_set, members_of(evidence_set)] = fitted.weights

    sets = _fit_sets(outcomes, folds, fitter, keep, progress)
    evidence = EvidenceModel("loglinear", floors, weights[sets.uses], sets.bias, None, sets.recal)
    return _Fitted(evidence, sets.held_out, sets.loss)


def _fit_stacked(outcomes: Outcomes, folds: IntArray, n_folds: int, progress: bool) -> _Fitted:
    k, c = outcomes.n_stages, len(outcomes.classes)
    features = features_of(outcomes, "stacked")
    fitter = StackedFitter(features, outcomes.labels, folds, n_folds, n_labels=c, n_classes=c)
    tables = np.zeros((1 << k, k, c, 3, c))

    def keep(evidence_set: int, _: PooledFit) -> None:
        tables[evidence_set, members_of(evidence_set)] = fitter.tables(evidence_set)

    sets = _fit_sets(outcomes, folds, fitter, keep, progress)
    floors, weights = np.full(k, LOG_FLOOR), np.zeros((1 << k, k))
    evidence = EvidenceModel("stacked", floors, weights, sets.bias, tables[sets.uses], sets.recal)
    return _Fitted(evidence, sets.held_out, sets.loss)


def _fit_sets(
    outcomes: Outcomes, folds: IntArray, fitter: SetFitter, keep: Callable[[int, PooledFit], None], progress: bool
) -> _Sets:
    """Every reachable set, one after the other, the smaller ones first.

    A set whose pooling does not clearly pay uses the fit of its best part: with that a useless stage says nothing, and few
    items are not pooled at the price of accuracy.
    """
    n, n_sets, labels, c = outcomes.n_items, 1 << outcomes.n_stages, outcomes.labels, len(outcomes.classes)
    bias, recal = np.zeros((n_sets, c)), np.tile(np.array([1.0, 0.0]), (n_sets, 1))
    shares = np.bincount(labels, minlength=c) + 0.5
    bias[0] = np.log(shares / shares.sum())
    confidence, correct = np.zeros((n, n_sets)), np.zeros((n, n_sets), np.bool_)
    confidence[:, 0], correct[:, 0] = np.exp(bias[0]).max(), labels == bias[0].argmax()
    uses, losses = np.arange(n_sets), np.zeros((n, n_sets), np.float32)
    sets = reachable_sets(outcomes.requires)[1:]
    for s in with_progress(sets, progress, desc="fit", unit="set"):
        fitted = fitter.fit(s)
        keep(s, fitted)
        part = _best_part(s, sets, losses)
        if part and not clearly_better(fitted.nll, losses[:, part].astype(np.float64)):
            uses[s] = uses[part]
            for kept in (bias, recal, losses.T, confidence.T, correct.T):
                kept[s] = kept[part]
            continue
        bias[s], losses[:, s] = fitted.bias, fitted.nll
        top = fitted.probs.max(axis=1)
        correct[:, s] = fitted.probs.argmax(axis=1) == labels
        recal[s] = fit_recalibration(top, correct[:, s])
        confidence[:, s] = recalibrated(top, recal[s])
    return _Sets(bias, recal, uses, HeldOut(confidence, correct, folds), float(losses[:, sets].mean()))


def _best_part(evidence_set: int, sets: list[int], losses: NDArray[np.float32]) -> int:
    """The set without one of its stages that has the least held-out loss; 0 where there is none."""
    parts = [part for j in members_of(evidence_set) if (part := evidence_set & ~(1 << int(j))) in sets]
    return min(parts, key=lambda part: float(losses[:, part].mean()), default=0)
