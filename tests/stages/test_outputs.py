import numpy as np
import pytest
import torch

from cascade.core.records import StageOutput
from cascade.errors import StageOutputError
from cascade.stages.outputs import as_scores, check_table

TABLE = [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]


def scores(raw, n=3, n_classes=None):
    return as_scores(raw, n, "fn", n_classes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_table_of_floats_is_not_copied(dtype):
    table = np.array(TABLE, dtype=dtype)
    assert np.shares_memory(scores(table), table)
    assert scores(table).dtype == dtype


@pytest.mark.parametrize(
    ("raw", "dtype"),
    [
        (TABLE, np.float64),
        (np.array(TABLE, dtype=np.float16), np.float32),
        (np.array(TABLE, dtype=np.longdouble), np.float64),
        (np.array(TABLE, dtype=">f4"), np.float32),
        (torch.tensor(TABLE), np.float32),
        (torch.tensor(TABLE, requires_grad=True), np.float32),
        (torch.tensor(TABLE, dtype=torch.float64), np.float64),
        (torch.tensor(TABLE, dtype=torch.bfloat16), np.float32),
    ],
)
def test_whatever_holds_numbers_becomes_a_table_of_native_floats(raw, dtype):
    table = scores(raw)
    assert table.tolist() == TABLE
    assert table.dtype == dtype
    assert table.dtype.isnative


def test_integers_become_doubles():
    assert scores(np.array([[1, 0], [0, 1], [1, 0]])).dtype == np.float64


def test_a_transposed_table_becomes_contiguous():
    assert scores(np.array(TABLE).T.copy().T).flags.c_contiguous


def test_a_vector_of_scores_is_refused_with_the_way_out():
    with pytest.raises(
        StageOutputError, match=r"stage 'fn': expected scores of shape \(n, c\).*got an array of shape \(3,\)"
    ) as caught:
        scores(np.zeros(3))
    assert "StageOutput(outputs, confidence)" in str(caught.value)


def test_another_number_of_rows_is_refused():
    with pytest.raises(
        StageOutputError, match=r"one row of scores per item, 4 of them, got an array of shape \(3, 2\)"
    ):
        scores(np.array(TABLE), n=4)


def test_another_number_of_columns_is_refused():
    with pytest.raises(
        StageOutputError, match=r"one column of scores per class, 5 of them, got an array of shape \(3, 2\)"
    ):
        scores(np.array(TABLE), n_classes=5)


def test_a_single_column_is_refused_since_it_would_always_be_certain():
    with pytest.raises(StageOutputError, match=r"at least two columns .* the two columns \(-d/2, d/2\)"):
        scores(np.zeros((3, 1)))


@pytest.mark.parametrize("raw", [np.array([["a", "b"]] * 3), np.array([[1j, 0]] * 3), {"logits": 1}, None])
def test_what_is_no_number_is_refused(raw):
    with pytest.raises(StageOutputError, match="expected scores that are numbers, got an array of shape"):
        scores(raw)


def test_a_ragged_list_is_refused_with_its_cause():
    with pytest.raises(StageOutputError, match="got a list that is no array of numbers") as caught:
        scores([[1.0, 2.0], [1.0]])
    assert isinstance(caught.value.__cause__, ValueError)


def test_rows_that_cannot_be_counted_are_not_checked():
    check_table(np.array(TABLE), None, "fn", None)


def test_answers_and_confidences_become_arrays():
    output = scores(StageOutput(["a", "b", "c"], [0.5, 1, 0]))
    assert output.outputs.tolist() == ["a", "b", "c"]
    assert output.confidence.tolist() == [0.5, 1.0, 0.0]
    assert output.confidence.dtype == np.float64


def test_answers_that_are_tuples_stay_tuples():
    assert scores(StageOutput([(1, 2), (3, 4), (5, 6)], [1, 1, 1])).outputs.tolist() == [(1, 2), (3, 4), (5, 6)]


def test_answers_of_mixed_types_keep_their_types():
    assert scores(StageOutput([1, "a", None], [1, 1, 1])).outputs.tolist() == [1, "a", None]


def test_answers_and_confidences_may_be_tensors():
    output = scores(StageOutput(torch.tensor([2, 0, 1]), torch.tensor([0.5, 0.25, 1.0])))
    assert output.outputs.tolist() == [2, 0, 1]
    assert output.confidence.tolist() == [0.5, 0.25, 1.0]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (StageOutput([1, 2], [1, 1, 1]), r"StageOutput.outputs of shape \(3,\), one entry per item, got .* \(2,\)"),
        (StageOutput([1, 2, 3], [1, 1]), r"StageOutput.confidence of shape \(3,\), one entry per item, got .* \(2,\)"),
        (StageOutput([1, 2, 3], [[1], [1], [1]]), r"StageOutput.confidence of shape \(3,\).*got .* \(3, 1\)"),
        (StageOutput(np.zeros((3, 2)), [1, 1, 1]), r"StageOutput.outputs of shape \(3,\).*got .* \(3, 2\)"),
        (StageOutput([1, 2, 3], ["high", "low", "low"]), "expected scores that are numbers"),
    ],
)
def test_answers_and_confidences_of_another_shape_are_refused(output, message):
    with pytest.raises(StageOutputError, match=message):
        scores(output)


def test_answers_and_confidences_must_be_as_many_where_rows_cannot_be_counted():
    with pytest.raises(StageOutputError, match="got 2 outputs and 3 confidences"):
        scores(StageOutput([1, 2], [1, 1, 1]), n=None)
