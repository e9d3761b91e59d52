from __future__ import annotations

import sys
from collections import UserList
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cascade.core.rows import as_batch, join_rows, n_rows, take_rows
from cascade.errors import InputMismatch


class Frame:
    """Behaves like a pandas frame where rows are concerned: columns by key, rows by ``iloc``."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape = values.shape

    @property
    def iloc(self) -> Frame:
        return self

    def __getitem__(self, rows: Any) -> Frame:
        return Frame(self.values[rows])


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (np.zeros((3, 4)), 3),
        (np.zeros((0, 4)), 0),
        ([1, 2], 2),
        (("a",), 1),
        (UserList("abc"), 3),
        (Frame(np.zeros((5, 2))), 5),
    ],
)
def test_rows_are_counted_along_the_first_axis(batch: Any, expected: int) -> None:
    assert n_rows(batch) == expected


def test_rows_of_a_tensor_are_counted_and_taken() -> None:
    torch = pytest.importorskip("torch")
    batch = torch.arange(6.0).reshape(3, 2)
    assert n_rows(batch) == 3
    assert take_rows(batch, np.array([2, 2, 0])).tolist() == [[4.0, 5.0], [4.0, 5.0], [0.0, 1.0]]


def test_rows_of_a_tensor_are_taken_with_read_only_indices() -> None:
    torch = pytest.importorskip("torch")
    rows = np.array([1, 0])
    rows.flags.writeable = False
    assert take_rows(torch.arange(3), rows).tolist() == [1, 0]


def test_rows_of_a_pandas_frame_are_taken_by_position() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2, 3]}, index=[9, 8, 7])
    assert n_rows(frame) == 3
    assert take_rows(frame, np.array([2, 0]))["a"].tolist() == [3, 1]


def test_rows_of_a_frame_are_taken_by_position() -> None:
    taken = take_rows(Frame(np.arange(6).reshape(3, 2)), np.array([1]))
    assert taken.values.tolist() == [[2, 3]]


def test_rows_of_a_sparse_matrix_are_counted_and_taken() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    batch = sparse.csr_matrix(np.eye(3))
    assert n_rows(batch) == 3
    assert take_rows(batch, np.array([2])).toarray().tolist() == [[0.0, 0.0, 1.0]]


def test_rows_of_an_array_are_taken_in_the_given_order() -> None:
    batch = np.arange(12).reshape(3, 2, 2)
    np.testing.assert_array_equal(take_rows(batch, np.array([2, 0])), batch[[2, 0]])


def test_taking_no_rows_keeps_the_kind() -> None:
    none = np.array([], dtype=np.int64)
    assert take_rows(np.zeros((3, 2)), none).shape == (0, 2)
    assert take_rows([1, 2], none) == []


def test_taking_all_rows_is_a_copy() -> None:
    batch = np.arange(3)
    taken = take_rows(batch, np.arange(3))
    taken[0] = 9
    assert batch[0] == 0


def test_lists_and_tuples_keep_their_kind() -> None:
    rows = np.array([1, 0])
    assert take_rows(["a", "b"], rows) == ["b", "a"]
    assert take_rows(("a", "b"), rows) == ("b", "a")
    assert take_rows(UserList("ab"), rows) == ["b", "a"]


@pytest.mark.parametrize("batch", ["text", b"bytes", {"a": 1}, {1, 2}, 3.0, None, iter([1])])
def test_something_without_rows_is_refused(batch: Any) -> None:
    with pytest.raises(InputMismatch, match=f"got a {type(batch).__name__}; put a single item into a list"):
        n_rows(batch)


def test_an_array_without_axes_is_refused() -> None:
    with pytest.raises(InputMismatch, match=r"got a ndarray without axes; give x\[None\]"):
        n_rows(np.array(1.0))


def test_one_array_becomes_a_batch_of_one_without_a_copy() -> None:
    x = np.zeros((2, 3))
    assert as_batch(x).shape == (1, 2, 3)
    assert np.shares_memory(as_batch(x), x)


def test_one_scalar_row_becomes_a_batch_of_one() -> None:
    batch = as_batch(np.arange(3)[1])
    assert batch.shape == (1,)
    assert as_batch(np.array(2.0)).shape == (1,)


def test_one_tensor_becomes_a_batch_of_one() -> None:
    torch = pytest.importorskip("torch")
    assert as_batch(torch.zeros(2, 3)).shape == (1, 2, 3)


@pytest.mark.parametrize("x", ["text", {"a": 1}, (1, 2), [1, 2], 3])
def test_any_other_item_becomes_a_list_of_one(x: Any) -> None:
    assert as_batch(x) == [x]


@pytest.mark.parametrize(
    "parts",
    [
        [np.zeros((1, 2)), np.ones((2, 2))],
        [["a"], ["b", "c"]],
        [("a",), ("b", "c")],
    ],
    ids=["arrays", "lists", "tuples"],
)
def test_batches_are_joined_in_their_order_and_keep_their_kind(parts: list[Any]) -> None:
    joined = join_rows(parts)
    assert type(joined) is type(parts[0])
    assert n_rows(joined) == 3
    for row, expected in enumerate([parts[0][0], parts[1][0], parts[1][1]]):
        assert np.array_equal(joined[row], expected)


def test_a_single_batch_is_joined_without_a_copy() -> None:
    batch = np.zeros((2, 2))
    assert join_rows([batch]) is batch


def test_tensors_are_joined_without_recording_gradients() -> None:
    torch = pytest.importorskip("torch")
    joined = join_rows([torch.zeros(1, 2, requires_grad=True), torch.ones(2, 2)])
    assert joined.tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
    assert not joined.requires_grad


def test_sparse_rows_are_joined_in_their_format() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    parts = [sparse.csr_matrix([[0.0, 1.0]]), sparse.csr_matrix([[2.0, 0.0], [0.0, 3.0]])]
    joined = join_rows(parts)
    assert joined.format == "csr"
    assert joined.toarray().tolist() == [[0.0, 1.0], [2.0, 0.0], [0.0, 3.0]]


def test_frames_are_joined_by_the_library_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = SimpleNamespace(concat=lambda parts: Frame(np.concatenate([part.values for part in parts])))
    monkeypatch.setitem(sys.modules, "frames", frames)  # type: ignore[arg-type]
    monkeypatch.setattr(Frame, "__module__", "frames.core")
    joined = join_rows([Frame(np.zeros((1, 2))), Frame(np.ones((2, 2)))])
    assert joined.values.tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]


def test_what_cannot_be_joined_is_refused_with_what_can() -> None:
    class Odd:
        shape = (1, 2)

    with pytest.raises(InputMismatch, match="2 of type Odd: hand in NumPy arrays"):
        join_rows([Odd(), Odd()])
