"""How far confidences can be trusted: reliability diagrams, calibration errors, proper scores, and how well they rank.

Pure. Every figure is about recorded outcomes; nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from cascade.calibration.ranking import ranking_of
from cascade.core.alignment import aligned, check_same_stages
from cascade.core.evidence import members_of, reachable_sets
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.records import FloatArray, IntArray
from cascade.core.replay import known_features
from cascade.errors import ConfigurationError

_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The reliability of one source of confidences.

    Attributes
    ----------
    edges : ndarray, shape (B + 1,)
        Bins of equal width over [0, 1]; each includes its upper edge, the first its lower one too.
    counts : ndarray of int64, shape (B,)
        Items per bin.
    mean_confidence, accuracy : ndarray, shape (B,)
        Of the items in each bin; NaN where there are none.
    ece : float
        Expected calibration error: the mean over items of the absolute gap (l1) between confidence and accuracy of the bin.
    ece_equal_mass : float
        The same over bins of equal numbers of items; equal confidences share a bin.
    auroc, auroc_error : float
        Chance that a right answer has a higher confidence than a wrong one, ties counted half, and its standard error; NaN
        where all answers are right or all are wrong, the error also where one is alone of its kind.
    top_brier, top_nll : float
        Brier score and negative log-likelihood (nats) of the confidence as the probability of being right.
    brier, nll : float or None
        The same over all classes (Brier's own sum of squares, in [0, 2]); None where only labels and confidences are known.
    """

    edges: FloatArray
    counts: IntArray
    mean_confidence: FloatArray
    accuracy: FloatArray
    ece: float
    ece_equal_mass: float
    auroc: float
    auroc_error: float
    top_brier: float
    top_nll: float
    brier: float | None = None
    nll: float | None = None

    @property
    def n_items(self) -> int:
        """Number of items n."""
        return int(self.counts.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """The reliability of stages, of what sets of them say together, and of a policy's answers.

    Attributes
    ----------
    stages : mapping from str to Calibration
        Each stage's own confidence, as recorded.
    sets : mapping from tuple of str to Calibration
        Pooled confidence of every set of stages that can have run; empty without a fitted policy.
    answers : Calibration or None
        Of the policy's answers without a deadline or a load; None without a policy.
    """

    stages: Mapping[str, Calibration]
    sets: Mapping[tuple[str, ...], Calibration] = field(default_factory=dict)
    answers: Calibration | None = None

    def __str__(self) -> str:
        """A table with a row for each source."""
        named = [*self.stages.items(), *((" + ".join(names), curve) for names, curve in self.sets.items())]
        if self.answers is not None:
            named.append(("(answers)", self.answers))
        width = max(len(name) for name, _ in named)
        head = f"{'':{width}}  accuracy    ECE  ECE mass  AUROC  top Brier  top NLL  Brier    NLL"
        return "\n".join([head, *(f"{name:{width}}  {_row(curve)}" for name, curve in named)])


def reliability(outcomes: Outcomes, policy: Policy | None = None, n_bins: int = 15) -> Reliability:
    """How far the confidences of stages, of sets of stages and of a policy's answers can be trusted.

    Parameters
    ----------
    outcomes : Outcomes
        Of n labelled items; with a policy, items it was not fitted on, or its figures come out too good.
    policy : Policy, optional
    n_bins : int
        Bins of the diagram and of both calibration errors.

    Returns
    -------
    Reliability

    Raises
    ------
    ConfigurationError
        If ``n_bins`` is below 1.
    PolicyMismatch
        If the policy is of other stages or classes.

    Notes
    -----
    Binned calibration errors of n items are biased upwards: by up to about ``0.4 sqrt(n_bins / n)`` for a calibrated
    source. A probability below 1e-12 counts as that much in a log-likelihood.
    O(2**K n (c + log n)) time, memory of one set's probabilities at a time.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015), Obtaining Well Calibrated Probabilities Using Bayesian Binning.
    Guo et al. (2017), On Calibration of Modern Neural Networks.
    Brier (1950), Verification of Forecasts Expressed in Terms of Probability.

    Examples
    --------
    >>> outcomes = Outcomes.from_predictions([[1], [1], [0], [0]], [[0.9], [0.8], [0.7], [0.6]], [1, 1, 0, 1])
    >>> stage = reliability(outcomes).stages["stage0"]
    >>> round(stage.ece, 3), stage.auroc
    (0.3, 1.0)
    """
    if n_bins < 1:
        raise ConfigurationError(f"expected n_bins of at least 1, got {n_bins}")
    stages = {
        name: calibration_of(
            outcomes.confidence[:, j], outcomes.correct[:, j], n_bins, _stage_log_probs(outcomes, j), outcomes.labels
        )
        for j, name in enumerate(outcomes.stages)
    }
    if policy is None:
        return Reliability(stages)
    check_same_stages(policy.stages, outcomes.stages)
    replayed = policy.replay(outcomes)
    answers = calibration_of(replayed.confidence, replayed.correct, n_bins)
    sets = {} if policy.chain is not None else _of_sets(outcomes, policy, n_bins)
    return Reliability(stages, sets, answers)


def calibration_of(
    confidence: FloatArray,
    correct: NDArray[np.bool_],
    n_bins: int,
    log_probs: FloatArray | None = None,
    labels: IntArray | None = None,
) -> Calibration:
    """The reliability of confidences (n,), with what they say about all classes if log-probabilities (n, c) are given."""
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    counts, trust, shown = _binned(confidence, correct, edges[1:-1])
    inner = np.unique(np.quantile(confidence, edges[1:-1], method="lower"))
    ranking = ranking_of(confidence, correct)
    sure = np.clip(confidence, _TINY, 1.0 - _TINY)
    brier, nll = (None, None) if log_probs is None or labels is None else _scores_of_classes(log_probs, labels)
    return Calibration(
        edges,
        counts,
        trust,
        shown,
        ece=_gap(counts, trust, shown),
        ece_equal_mass=_gap(*_binned(confidence, correct, inner)),
        auroc=ranking.auroc,
        auroc_error=ranking.error,
        top_brier=float(np.mean((confidence - correct) ** 2)),
        top_nll=float(-np.log(np.where(correct, sure, 1.0 - sure)).mean()),
        brier=brier,
        nll=nll,
    )


def _of_sets(outcomes: Outcomes, policy: Policy, n_bins: int) -> dict[tuple[str, ...], Calibration]:
    """The reliability of every set of stages that the policy pools."""
    evidence = policy.evidence
    assert evidence is not None
    known = aligned(outcomes, policy.classes)
    features, found = known_features(known, evidence), {}
    for s in reachable_sets(policy.requires)[1:]:
        probs, confidence = evidence.pool(features, s)
        correct = probs.argmax(axis=1) == known.labels
        # A label that the policy has never met gets no probability.
        strange = np.zeros((len(probs), max(int(known.labels.max()) + 1 - probs.shape[1], 0)))
        with np.errstate(divide="ignore"):
            log_probs = np.log(np.concatenate([probs, strange], axis=1))
        names = tuple(policy.stages[j] for j in members_of(s))
        found[names] = calibration_of(confidence, correct, n_bins, log_probs, known.labels)
    return found


def _stage_log_probs(outcomes: Outcomes, stage: int) -> FloatArray | None:
    if outcomes.log_probs is None:
        return None
    exact = outcomes.log_probs[:, stage].astype(np.float64)
    return np.asarray(exact - logsumexp(exact, axis=1, keepdims=True))


def _scores_of_classes(log_probs: FloatArray, labels: IntArray) -> tuple[float, float]:
    """Brier score and negative log-likelihood over all classes."""
    own = log_probs[np.arange(len(labels)), labels]
    probs = np.exp(log_probs)
    brier = (probs**2).sum(axis=1) - 2.0 * np.exp(own) + 1.0
    return float(brier.mean()), float(-np.maximum(own, np.log(_TINY)).mean())


def _binned(
    confidence: FloatArray, correct: NDArray[np.bool_], inner: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Items, mean confidence and accuracy of the bins between inner edges."""
    bins = np.searchsorted(inner, confidence, side="left")
    counts = np.bincount(bins, minlength=len(inner) + 1)
    some = np.where(counts > 0, counts, np.nan)
    trust = np.bincount(bins, confidence, minlength=len(counts)) / some
    return counts, trust, np.bincount(bins, correct, minlength=len(counts)) / some


def _gap(counts: IntArray, trust: FloatArray, shown: FloatArray) -> float:
    return float(np.nansum(counts * np.abs(trust - shown)) / counts.sum())


def _row(curve: Calibration) -> str:
    accuracy = float(np.nansum(curve.counts * curve.accuracy) / curve.n_items)
    classes = "    -      -" if curve.brier is None else f"{curve.brier:5.3f}  {curve.nll:5.3f}"
    return (
        f"{accuracy:8.3f}  {curve.ece:5.3f}  {curve.ece_equal_mass:8.3f}  {curve.auroc:5.3f}  {curve.top_brier:9.3f}  "
        f"{curve.top_nll:7.3f}  {classes}"
    )
