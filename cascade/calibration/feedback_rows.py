"""Whether labelled feedback can update a policy, and which of it is held out to compare on. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cascade.calibration.evidence import shuffled_by_class
from cascade.core.alignment import aligned, check_same_stages
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.records import IntArray
from cascade.core.row_marks import marks_of_rows
from cascade.errors import ConfigurationError, DataError

MIN_ROWS = 50
"""Fewer labelled items than this, on either side of the split, are refused."""


def checked_feedback(policy: Policy, outcomes: Outcomes, check_share: float, delta: float, max_loss: float) -> Outcomes:
    """Feedback in the policy's classes, if it can update the policy.

    Raises
    ------
    ConfigurationError
        If the policy is a chain set by hand, or a number is out of range.
    PolicyMismatch
        If it is of other stages or classes.
    DataError
        If there is too little of it.
    ReusedData
        If the policy was fitted on it.
    """
    if policy.statistics is None:
        raise ConfigurationError("expected a fitted policy, got a chain of thresholds set by hand: use fit_policy")
    for name, value in (("check_share", check_share), ("delta", delta)):
        if not 0.0 < value < 1.0:
            raise ConfigurationError(f"expected {name} between 0 and 1, both excluded, got {value}")
    if not 0.0 <= max_loss <= 1.0:
        raise ConfigurationError(f"expected max_loss in [0, 1], got {max_loss}")
    known = _known(policy, outcomes)
    n_check = int(known.n_items * check_share)
    if min(n_check, known.n_items - n_check) < MIN_ROWS:
        raise DataError(
            f"expected at least {MIN_ROWS} labelled items to fit on and {MIN_ROWS} to compare on, got {known.n_items} in all at "
            f"check_share={check_share:.3g}: wait for more feedback"
        )
    if policy.rows is not None:
        policy.rows.check_fresh(
            known,
            "items that the policy was not fitted on",
            "the comparison would favour it; pass those that came since as outcomes, and the others as earlier",
        )
    return known


def checked_earlier(policy: Policy, earlier: Outcomes, outcomes: Outcomes) -> Outcomes:
    """Earlier items in the policy's classes, if they can be fitted on beside the feedback.

    Raises
    ------
    PolicyMismatch
        If they are of other stages or classes.
    ReusedData
        If they are among the feedback.
    DataError
        If they were recorded in another form.
    """
    known = _known(policy, earlier)
    marks_of_rows(known).check_fresh(
        outcomes, "outcomes that are not among the earlier items", "leave those out of either"
    )
    if (known.log_probs is None) != (outcomes.log_probs is None):
        raise DataError(
            "expected earlier items recorded like the outcomes, got scores for the one and labels for the other"
        )
    return known


def _known(policy: Policy, outcomes: Outcomes) -> Outcomes:
    check_same_stages(policy.stages, outcomes.stages)
    return replace(
        aligned(outcomes, policy.classes),
        requires=policy.requires,
        fingerprints=outcomes.fingerprints or policy.fingerprints,
        inputs=outcomes.inputs or policy.inputs,
    )


def held_out_rows(labels: IntArray, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A random share of the items, the same within every class, shape (n,)."""
    by_class = shuffled_by_class(labels, rng)
    steps = np.floor(np.arange(len(labels) + 1) * share + 1e-9)
    chosen = np.zeros(len(labels), np.bool_)
    chosen[by_class] = np.diff(steps) > 0
    return chosen


def joined_outcomes(first: Outcomes, second: Outcomes) -> Outcomes:
    """Items of both; classes that only one knows come last."""
    classes = first.classes + tuple(label for label in second.classes if label not in set(first.classes))
    a, b = aligned(first, classes), aligned(second, classes)
    scores = None
    if a.log_probs is not None and b.log_probs is not None:
        scores = np.concatenate([a.log_probs, b.log_probs])
    return replace(
        a,
        labels=np.concatenate([a.labels, b.labels]),
        predicted=np.concatenate([a.predicted, b.predicted]),
        confidence=np.concatenate([a.confidence, b.confidence]),
        log_probs=scores,
    )
