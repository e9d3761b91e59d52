"""Outcomes in a policy's order of classes, and stages that must be the same."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core.alignment import aligned, check_same_stages, check_service
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, PolicyMismatch

PROBS = np.array([[[0.7, 0.2, 0.1]], [[0.1, 0.3, 0.6]]])


def test_the_order_of_the_policy_takes_columns_and_labels_along():
    outcomes = Outcomes.from_probs(PROBS, ["a", "c"], classes=["a", "b", "c"])
    moved = aligned(outcomes, ("c", "a", "b"))
    assert moved.classes == ("c", "a", "b")
    assert np.exp(moved.log_probs[:, 0]) == pytest.approx(PROBS[:, 0][:, [2, 0, 1]])
    assert [moved.classes[y] for y in moved.labels] == ["a", "c"]
    assert [moved.classes[y] for y in moved.predicted[:, 0]] == ["a", "c"]
    back = aligned(moved, outcomes.classes)
    assert np.array_equal(back.log_probs, outcomes.log_probs)


def test_the_same_order_is_left_alone():
    outcomes = Outcomes.from_probs(PROBS, [0, 2])
    assert aligned(outcomes, (0, 1, 2)) is outcomes


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "d"), ("a", "b", "c", "d")])
def test_scores_of_other_classes_are_refused_with_both_sides(classes):
    outcomes = Outcomes.from_probs(PROBS, ["a", "c"], classes=["a", "b", "c"])
    with pytest.raises(PolicyMismatch, match="record outcomes of the same stages") as caught:
        aligned(outcomes, classes)
    assert str(classes) in str(caught.value)
    assert "('a', 'b', 'c')" in str(caught.value)


def test_labels_that_the_policy_does_not_know_come_last():
    outcomes = Outcomes.from_predictions([["b"], ["yak"]], [[0.9], [0.8]], ["a", "b"])
    moved = aligned(outcomes, ("c", "b", "a"))
    assert moved.classes == ("c", "b", "a", "yak")
    assert moved.labels.tolist() == [2, 1]
    assert moved.predicted[:, 0].tolist() == [1, 3]


def test_the_same_stages_are_the_same_names_in_order():
    check_same_stages(("a", "b"), ("a", "b"))
    with pytest.raises(PolicyMismatch, match=r"expected outcomes of the stages \('a', 'b'\), got \('b', 'a'\)"):
        check_same_stages(("a", "b"), ("b", "a"))


def test_service_times_without_names_fit_any_names():
    check_service(("a", "b"), ServiceTable.from_costs([1.0, 2.0]), 0.99)
    check_service(("a", "b"), ServiceTable.from_costs([1.0, 2.0], stages=["a", "b"]), 0.999)


@pytest.mark.parametrize("level", [0.4, 0.9995, float("nan")])
def test_a_level_without_a_quantile_is_refused(level):
    with pytest.raises(ConfigurationError, match=rf"expected level in \[0.5, 0.999\], .* got {level}"):
        check_service(("a",), ServiceTable.from_costs([1.0]), level)
