"""Whether outcomes and service times can be fitted at all, said in words. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.alignment import check_service
from cascade.core.outcomes import Outcomes
from cascade.core.records import IntArray
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, DataError, SmallSampleWarning

MAX_STAGES = 8
_ROWS_PER_STAGE = 50


def check_fittable(
    outcomes: Outcomes, service: ServiceTable, *, n_folds: int, level: float, cost_weight: float
) -> None:
    """Raise unless a policy can be fitted; a warning names the caller's caller.

    Raises
    ------
    ConfigurationError
        If there are more than `MAX_STAGES` stages, or a number is out of range.
    PolicyMismatch
        If the outcomes and the service table are of different stages.
    DataError
        If all labels are of one class, or there are fewer items than folds.

    Warns
    -----
    SmallSampleWarning
        If there are fewer than 50 items per stage.
    """
    k, n = outcomes.n_stages, outcomes.n_items
    if k > MAX_STAGES:
        raise ConfigurationError(f"expected at most {MAX_STAGES} stages, got {k}: drop those the frontier does not use")
    check_service(outcomes.stages, service, level)
    if not 0.0 <= cost_weight < np.inf:
        raise ConfigurationError(f"expected a finite cost_weight >= 0, got {cost_weight}")
    if n < n_folds:
        raise DataError(f"expected at least {n_folds} labelled items, one for each fold, got {n}")
    if len(np.unique(outcomes.labels)) < 2:
        only = outcomes.classes[int(outcomes.labels[0])]
        raise DataError(
            f"expected labels of at least two classes, got only {only!r}: nothing can be told right from wrong"
        )
    if n < _ROWS_PER_STAGE * k:
        error = 100 * 0.5 / np.sqrt(n)
        warnings.warn(
            f"{n} labelled items for {k} stages, fewer than {_ROWS_PER_STAGE} each: the standard error of an accuracy is up to "
            f"{error:.1f} points, so thresholds and accuracies are rough; add labelled items",
            SmallSampleWarning,
            stacklevel=3,
        )


def group_numbers(groups: Sequence[Hashable] | NDArray[Any], n: int) -> IntArray:
    """The number of each item's group, shape (n,), counted in the order in which groups appear.

    Raises
    ------
    DataError
        If there is not one group for each of the n items.

    Examples
    --------
    >>> group_numbers(["b", "a", "b"], 3).tolist()
    [0, 1, 0]
    """
    names = list(groups)
    if len(names) != n:
        raise DataError(f"expected one group for each of the {n} items, got {len(names)}")
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64)
