"""Whether outcomes, service times and a policy are of the same stages, and outcomes in a policy's order of classes.

Pure.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np

from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, PolicyMismatch


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


def check_service(stages: tuple[str, ...], service: ServiceTable, level: float) -> None:
    """Raise unless a table of service times is of these stages and knows the wanted quantile.

    Raises
    ------
    PolicyMismatch
        If the table is of other stages.
    ConfigurationError
        If the names repeat, or if ``level`` is not in [0.5, highest level of the table].
    """
    if len(set(stages)) != len(stages):
        raise ConfigurationError(f"expected distinct stage names, got {stages}: rename the duplicates")
    if service.n_stages != len(stages):
        raise PolicyMismatch(
            f"expected service times of {len(stages)} stages {stages}, got {service.n_stages}: profile these stages"
        )
    if service.stages is not None and service.stages != stages:
        raise PolicyMismatch(
            f"expected service times of the stages {stages}, got those of {service.stages}: profile these stages"
        )
    if not 0.5 <= level <= service.levels[-1]:
        raise ConfigurationError(
            f"expected level in [0.5, {service.levels[-1]}], where the table has quantiles, got {level}: "
            "choose another level, or profile more quantiles"
        )
