"""Labels of every kind a caller may hand in, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cascade.core.labels import as_list, as_rows, class_numbers, shortened, sorted_labels, stage_names
from cascade.errors import DataError, LabelMismatch


class Frame:
    """What a pandas series or frame offers of itself here."""

    def __init__(self, values):
        self._values = np.asarray(values)
        self.shape = self._values.shape

    def to_numpy(self):
        return self._values

    def __iter__(self):
        return iter(self._values.tolist() if self._values.ndim == 1 else ["name of a column"])


@pytest.mark.parametrize(
    "given",
    [
        [2, 0, 1],
        (2, 0, 1),
        np.array([2, 0, 1], np.uint8),
        np.array([2, 0, 1], object),
        [np.int64(2), np.int32(0), np.array(1)],
        torch.tensor([2, 0, 1]),
        list(torch.tensor([2, 0, 1])),
        Frame([2, 0, 1]),
        (label for label in (2, 0, 1)),
    ],
    ids=lambda given: type(given).__name__,
)
def test_labels_become_python_values_whatever_holds_them(given):
    labels = as_list(given)
    assert labels == [2, 0, 1]
    assert {type(label) for label in labels} == {int}


def test_texts_and_tuples_stay_what_they_are():
    assert as_list(np.array(["b", "a"])) == ["b", "a"]
    assert as_list([("a", 1), ("b", 2)]) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((3, 1)), r"got a ndarray of shape \(3, 1\): flatten y"),
        (np.array(3), r"shape \(\)"),
        (torch.zeros(3, 1), r"got a Tensor of shape \(3, 1\)"),
        (Frame([[1], [2]]), r"got a Frame of shape \(2, 1\)"),
        ([[1], [2]], "got a list"),
        ("abc", "got a str"),
        ({"a": 1}, "got a dict"),
        ({1, 2}, "got a set"),
        (7, "got a int"),
        (None, "got a NoneType"),
    ],
)
def test_anything_but_one_label_for_each_item_is_refused(given, words):
    with pytest.raises(DataError, match=words):
        as_list(given)


@pytest.mark.parametrize("missing", [[1.0, float("nan")], np.array([np.nan, 0.0]), ["a", np.float32("nan")]])
def test_missing_labels_are_refused(missing):
    with pytest.raises(DataError, match="got NaN among them: drop the items without a label"):
        as_list(missing)


@pytest.mark.parametrize(
    "given",
    [
        [["a", "b"], ["c", "a"], ["b", "b"]],
        (("a", "b"), ("c", "a"), ("b", "b")),
        np.array([["a", "b"], ["c", "a"], ["b", "b"]]),
        Frame([["a", "b"], ["c", "a"], ["b", "b"]]),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_table_of_labels_is_read_row_after_row(given):
    assert as_rows(given) == (["a", "b", "c", "a", "b", "b"], (3, 2))


def test_labels_of_several_kinds_are_not_turned_into_one():
    assert as_rows([["a", 1], [("x", 2), None]])[0] == ["a", 1, ("x", 2), None]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.array(["a", "b"]), r"shape \(n, K\), got \(2,\)"),
        (["a", "b"], r"a row for each item, got 'a', 'b'"),
        ([["a"], ["a", "b"]], r"lengths \[1, 2\]"),
        (3, "got 3"),
    ],
)
def test_anything_but_a_table_of_labels_is_refused(given, words):
    with pytest.raises(DataError, match=words):
        as_rows(given)


def test_distinct_labels_are_sorted_by_value_else_by_text():
    assert sorted_labels([3, 1, 3, 2]) == (1, 2, 3)
    assert sorted_labels(["b", 1, "a"]) == ("a", "b", 1)


def test_labels_that_are_only_partly_ordered_keep_their_first_appearance():
    one, two = frozenset("a"), frozenset("b")
    assert sorted_labels([two, one, two]) == (two, one)


def test_classes_are_numbered_in_their_order():
    assert class_numbers(["b", "a", "b"], ("b", "a")).tolist() == [0, 1, 0]
    assert class_numbers([True, 0.0], (0, 1)).tolist() == [1, 0]


def test_strangers_and_twins_among_classes_are_named():
    with pytest.raises(LabelMismatch, match=r"among the 2 classes 'a', 'b', got 'x', 7: pass classes="):
        class_numbers(["x", "a", 7], ("a", "b"))
    with pytest.raises(LabelMismatch, match="expected distinct classes, got 'a', 'a'"):
        class_numbers([], ("a", "a"))


def test_long_lists_are_shortened_in_messages():
    assert shortened(range(3)) == "0, 1, 2"
    assert shortened(range(100)) == "0, 1, 2, 3, 4, 5, ... (100 in all)"


def test_stages_without_names_are_numbered():
    assert stage_names(None, 2) == ("stage0", "stage1")
    with pytest.raises(DataError, match=r"expected 2 stage names, got 1: \['a'\]"):
        stage_names(["a"], 2)
