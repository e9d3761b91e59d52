"""Recorded outcomes in the order of classes that a policy was fitted on.

Pure.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np

from cascade.core.outcomes import Outcomes
from cascade.errors import PolicyMismatch


def aligned(outcomes: Outcomes, classes: tuple[Hashable, ...]) -> Outcomes:
    """The same outcomes with their class numbers counted in ``classes``.

    Parameters
    ----------
    outcomes : Outcomes
    classes : tuple of hashable
        Labels that the policy knows. Where only labels and confidences were recorded, labels it does not know come
        after them: no pooling table has a row for these, and an answer is never one of them.

    Raises
    ------
    PolicyMismatch
        If class scores were recorded for other classes.
    """
    if outcomes.classes == classes:
        return outcomes
    strangers = tuple(label for label in outcomes.classes if label not in set(classes))
    if outcomes.log_probs is not None and (strangers or len(classes) != len(outcomes.classes)):
        raise PolicyMismatch(
            f"expected scores of the classes this policy was fitted on, {classes}, got {outcomes.classes}: "
            "record outcomes of the same stages"
        )
    together = classes + strangers
    place = {label: k for k, label in enumerate(together)}
    moved = np.array([place[label] for label in outcomes.classes], np.int64)
    back = np.argsort(moved) if outcomes.log_probs is not None else moved
    return replace(
        outcomes,
        classes=together,
        labels=moved[outcomes.labels],
        predicted=moved[outcomes.predicted],
        log_probs=None if outcomes.log_probs is None else np.ascontiguousarray(outcomes.log_probs[:, :, back]),
    )


def check_same_stages(mine: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    """Raise unless two lists of stage names are the same.

    Raises
    ------
    PolicyMismatch
        With both lists.
    """
    if mine != theirs:
        raise PolicyMismatch(
            f"expected outcomes of the stages {mine}, got {theirs}: pass the same stages in the same order"
        )
