"""Labels and names as callers hand them in."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core.labels import as_list, as_rows, class_numbers, shortened, sorted_labels, stage_names
from cascade.errors import DataError, LabelMismatch


class Frame:
    """Behaves like a pandas frame where labels are concerned."""

    def __init__(self, values):
        self._values = np.array(values)

    def to_numpy(self):
        return self._values


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([2, 0]), [2, 0]),
        (np.array(["b", "a"]), ["b", "a"]),
        ((np.int64(1), np.array(3)), [1, 3]),
        ([("a", 1), None], [("a", 1), None]),
        (range(2), [0, 1]),
        ([], []),
    ],
)
def test_labels_become_python_values_in_their_order(labels, expected):
    values = as_list(labels)
    assert values == expected
    assert not any(isinstance(value, (np.generic, np.ndarray)) for value in values)


def test_labels_of_a_tensor_become_python_values():
    torch = pytest.importorskip("torch")
    assert as_list(torch.tensor([1, 0])) == [1, 0]
    assert as_list([torch.tensor(1), torch.tensor(0)]) == [1, 0]


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        ("abc", "a str"),
        ({"a": 1}, "a dict"),
        ({1, 2}, "a set"),
        (3, "an? int"),
        (np.zeros((2, 1)), r"a ndarray of shape \(2, 1\)"),
        (np.array(1), r"a ndarray of shape \(\)"),
        ([[1], [2]], "a list"),
    ],
)
def test_what_is_no_label_for_each_item_is_refused(labels, got):
    with pytest.raises(DataError, match=rf"expected one label per item, shape \(n,\), got {got}: flatten y"):
        as_list(labels)


@pytest.mark.parametrize("labels", [[0.0, float("nan")], np.array([np.nan, 1.0]), ["a", np.float32("nan")]])
def test_a_missing_label_is_refused(labels):
    with pytest.raises(DataError, match="got NaN among them: drop the items without a label"):
        as_list(labels)


@pytest.mark.parametrize(
    "table", [np.array([["a", "b"], ["c", "d"]]), [["a", "b"], ("c", "d")], Frame([["a", "b"], ["c", "d"]])]
)
def test_a_table_is_read_row_after_row(table):
    assert as_rows(table) == (["a", "b", "c", "d"], (2, 2))


def test_a_table_without_rows_has_no_columns():
    assert as_rows([]) == ([], (0, 0))


@pytest.mark.parametrize(
    ("table", "got"),
    [
        (np.array(["a"]), r"got \(1,\)"),
        (["ab", "cd"], "a row for each item, got 'ab', 'cd'"),
        ([1, 2], "a row for each item, got 1, 2"),
        (7, "a row for each item, got 7"),
        ([["a"], ["b", "c"]], r"got rows of the lengths \[1, 2\]"),
    ],
)
def test_what_is_no_table_of_labels_is_refused(table, got):
    with pytest.raises(DataError, match=rf"expected a table of labels of shape \(n, K\).*{got}"):
        as_rows(table)


def test_distinct_labels_stand_in_their_own_order():
    assert sorted_labels([3, 1, 3, 2]) == (1, 2, 3)


def test_labels_that_cannot_be_compared_stand_in_the_order_of_their_text():
    assert sorted_labels(["b", 2, None]) == ("b", 2, None)


def test_labels_are_numbered_by_their_class():
    numbers = class_numbers(["b", "a", "b"], ("a", "b"))
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [1, 0, 1]


def test_labels_outside_the_classes_are_shown():
    with pytest.raises(LabelMismatch, match=r"among the 2 classes 'a', 'b', got 'c', 'd': pass classes= in the order"):
        class_numbers(["d", "a", "c", "d"], ("a", "b"))


def test_a_class_that_stands_twice_is_refused():
    with pytest.raises(LabelMismatch, match="expected distinct classes, got 'a', 'a'"):
        class_numbers([], ("a", "a"))


def test_numbers_and_texts_of_numbers_are_different_labels():
    with pytest.raises(LabelMismatch, match="got '1'"):
        class_numbers(["1"], (0, 1))


def test_stages_without_names_are_numbered():
    assert stage_names(None, 2) == ("stage0", "stage1")


def test_a_wrong_number_of_stage_names_is_refused():
    with pytest.raises(DataError, match=r"expected 2 stage names, got 1: \['a'\]"):
        stage_names(["a"], 2)


def test_long_lists_are_cut_in_messages():
    assert shortened([1, "b"]) == "1, 'b'"
    assert shortened(range(9)) == "0, 1, 2, 3, 4, 5, ... (9 in all)"
