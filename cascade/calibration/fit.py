"""Fit a policy: pooling, recalibration and the statistics of the dynamic program, under one cross-fitting.

Pure but for a progress bar on request: the same outcomes, service table and seed give the same policy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from cascade.calibration.checks import check_fittable
from cascade.calibration.evidence import HeldOut, assign_folds, fit_evidence
from cascade.calibration.price_path import answered_from, intervals_of
from cascade.calibration.ranking import warn_of_weak_confidence
from cascade.calibration.transitions import count_statistics
from cascade.core.induction import Decisions, Statistics, solve
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.prices import price_grid
from cascade.core.records import FloatArray
from cascade.core.row_marks import marks_of_rows
from cascade.core.service import ServiceTable
from cascade.core.times import StageTimes
from cascade.errors import ConfigurationError

N_FOLDS = 5
_MAX_DROP = 0.005
_UNLIMITED = np.array([np.inf])
"""The one class of time left that the audit needs: it is about prices, not deadlines."""


def fit_policy(
    outcomes: Outcomes,
    service: ServiceTable,
    max_accuracy_drop: float | None = None,
    seed: int = 0,
    *,
    cost_weight: float = 0.0,
    level: float = 0.99,
    progress: bool = True,
) -> Policy:
    """The decision policy for these stages, fitted on labelled outcomes.

    Parameters
    ----------
    outcomes : Outcomes
        What K <= 8 stages said about n labelled items.
    service : ServiceTable
        How long the stages take, and what they cost.
    max_accuracy_drop : float, optional
        Accuracy, in [0, 1], that an unloaded request may give up for time. By default one standard error of the paired
        difference to the most accurate policy, at most half a point.
    seed : int
        Draws the folds of the cross-fitting.
    cost_weight : float
        Accuracy worth one unit of ``service.costs``; 0 leaves the cost out of the decisions.
    level : float
        Quantile of a stage's service time that must fit into the time left.
    progress : bool
        Show a progress bar on standard error when the work is long.

    Returns
    -------
    Policy

    Raises
    ------
    PolicyMismatch
        If the outcomes and the service table are of different stages.
    DataError
        If all labels are of one class, or there are fewer items than folds.
    ConfigurationError
        If there are more than 8 stages or a number is out of range.

    Warns
    -----
    SmallSampleWarning
        If there are fewer than 50 items per stage.
    WeakConfidenceWarning
        If a stage's confidence does not rank its right answers above its wrong ones (AUROC below 0.6 by more than chance).

    Notes
    -----
    O(2**K n c) time. The statistics know no machine: `Policy.retime` solves them again for another service table.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 400)
    >>> logits = rng.normal(size=(400, 2)) + np.where(labels, 1, -1)[:, None] * [0.7, 2.0]
    >>> probs = np.stack([1 / (1 + np.exp(logits)), 1 / (1 + np.exp(-logits))], axis=2)
    >>> policy = fit_policy(Outcomes.from_probs(probs, labels), ServiceTable.from_costs([1.0, 10.0]))
    >>> policy.stages
    ('stage0', 'stage1')
    """
    if max_accuracy_drop is not None and not 0.0 <= max_accuracy_drop <= 1.0:
        raise ConfigurationError(f"expected max_accuracy_drop in [0, 1] or None, got {max_accuracy_drop}")
    check_fittable(outcomes, service, n_folds=N_FOLDS, level=level, cost_weight=cost_weight)
    warn_of_weak_confidence(outcomes, stacklevel=3)
    folds = assign_folds(outcomes.labels, N_FOLDS, np.random.default_rng(seed))
    evidence, held_out = fit_evidence(outcomes, folds, progress=progress)
    prior_accuracy = float(held_out.correct[:, 0].mean())
    statistics = count_statistics(held_out.confidence, held_out.correct, outcomes.requires, prior_accuracy)
    bare = Policy(
        outcomes.stages,
        outcomes.classes,
        service,
        evidence,
        statistics,
        outcomes.requires,
        level=level,
        cost_weight=cost_weight,
        fingerprints=outcomes.fingerprints,
        inputs=outcomes.inputs,
        n_items=outcomes.n_items,
        rows=marks_of_rows(outcomes),
    )
    times = bare.times()
    shown = _replayed_held_out(held_out, outcomes.requires, times, prior_accuracy)
    drop = _default_drop(shown) if max_accuracy_drop is None else float(max_accuracy_drop)
    decisions = solve(statistics, times, price_grid(times), edges_ms=_UNLIMITED)
    return replace(bare, drop=drop, audit=_audit(decisions, shown))


def _replayed_held_out(
    held_out: HeldOut, requires: tuple[int, ...], times: StageTimes, prior_accuracy: float
) -> NDArray[np.bool_]:
    """Whether each item is right at each price without a deadline, under statistics without its fold, shape (L, n)."""
    prices = price_grid(times)
    shown = np.zeros((len(prices), held_out.folds.shape[0]), np.bool_)
    for fold in np.unique(held_out.folds):
        inside, outside = np.flatnonzero(held_out.folds == fold), np.flatnonzero(held_out.folds != fold)
        statistics = count_statistics(held_out.confidence[outside], held_out.correct[outside], requires, prior_accuracy)
        decisions = solve(statistics, times, prices, edges_ms=_UNLIMITED)
        shown[:, inside] = _walk(statistics, decisions, held_out.confidence[inside], held_out.correct[inside])
    return shown


def _walk(
    statistics: Statistics, decisions: Decisions, confidence: FloatArray, correct: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether each item is right at each price without a deadline, shape (L, n)."""
    bins = intervals_of(confidence, statistics.edges)
    everyone = np.arange(len(confidence))
    # The fullest set always answers; all bins of the empty one do the same.
    reached = [answered_from(actions, bins) for actions in decisions.actions[:, :, -1].transpose(1, 0, 2)]
    return np.stack([correct[everyone, sets] for sets in reached])


def _default_drop(shown: NDArray[np.bool_]) -> float:
    """One standard error of the paired difference at the price where the loss reaches it, at most half a point."""
    best = shown[int(shown.mean(axis=1).argmax())].astype(np.float64)
    allowed = 0.0
    for right in shown:
        difference = best - right
        error = float(difference.std() / np.sqrt(len(difference)))
        if difference.mean() <= min(error, _MAX_DROP):
            allowed = max(allowed, min(error, _MAX_DROP))
    return allowed


def _audit(decisions: Decisions, shown: NDArray[np.bool_]) -> FloatArray:
    """Accuracy the model expects against accuracy shown, both ascending, shape (2, m)."""
    modelled, accuracy = decisions.accuracy[:, -1], shown.mean(axis=1)
    order = np.argsort(modelled, kind="stable")
    values, first = np.unique(modelled[order], return_index=True)
    groups = np.add.reduceat(accuracy[order], first) / np.diff([*first, len(order)])
    return np.stack([values, isotonic_regression(groups).x])
