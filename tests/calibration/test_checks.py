"""What cannot be fitted is refused in words."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cascade.calibration.checks import check_fittable, group_numbers
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, DataError, PolicyMismatch, SmallSampleWarning


def outcomes(n=200, k=2, labels=None):
    truth = np.arange(n) % 2 if labels is None else labels
    return Outcomes.from_probs(np.full((n, k, 2), 0.5), truth)


def checked(table, k=2, **keywords):
    service = ServiceTable.from_costs(np.arange(1.0, k + 1.0))
    check_fittable(table, service, **({"n_folds": 5, "level": 0.99, "cost_weight": 0.0} | keywords))


def test_enough_items_of_few_stages_pass():
    checked(outcomes())


@pytest.mark.parametrize(
    ("table", "keywords", "error", "message"),
    [
        (outcomes(500, 9), {"k": 9}, ConfigurationError, "expected at most 8 stages, got 9"),
        (outcomes(), {"k": 3}, PolicyMismatch, "expected service times of 2 stages"),
        (outcomes(), {"level": 0.9999}, ConfigurationError, "expected level in"),
        (outcomes(), {"cost_weight": -1.0}, ConfigurationError, "expected a finite cost_weight >= 0, got -1.0"),
        (outcomes(4), {}, DataError, "expected at least 5 labelled items, one for each fold, got 4"),
        (outcomes(labels=np.zeros(200, int)), {}, DataError, "expected labels of at least two classes, got only 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_words(table, keywords, error, message):
    with pytest.raises(error, match=message):
        checked(table, **keywords)


def test_few_items_warn_with_the_consequence_at_the_line_of_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        checked(outcomes(99))
    assert [warning.category for warning in caught] == [SmallSampleWarning]
    assert "99 labelled items for 2 stages, fewer than 50 each: the standard error of an accuracy is up to 5.0" in str(
        caught[0].message
    )
    assert caught[0].filename == __file__


def test_groups_are_counted_as_they_appear_whatever_names_them():
    assert group_numbers([("b", 1), "a", ("b", 1), None], 4).tolist() == [0, 1, 0, 2]
    assert group_numbers(np.array([7, 7, 3]), 3).tolist() == [0, 0, 1]


def test_every_item_needs_a_group():
    with pytest.raises(DataError, match="expected one group for each of the 3 items, got 2"):
        group_numbers(["a", "b"], 3)
