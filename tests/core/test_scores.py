"""Probabilities and confidences as callers hand them in."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from cascade.core.scores import as_numbers, checked_confidence, encoded_probs, top_classes
from cascade.errors import DataError, NotFinite


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_handed_on_without_a_copy(dtype):
    values = np.ones((2, 2), dtype)
    assert as_numbers(values, "probs") is values


@pytest.mark.parametrize(
    "values",
    [
        [[1, 0]],
        [[True, False]],
        np.array([[1, 0]], np.float16),
        np.array([[1, 0]], ">f8"),
        [[Fraction(1), 0]],
        np.array([[1, 0]], object),
    ],
)
def test_other_real_numbers_become_float64(values):
    numbers = as_numbers(values, "probs")
    assert numbers.dtype == np.dtype("=f8")
    assert numbers.tolist() == [[1.0, 0.0]]


def test_a_tensor_that_learns_is_read():
    torch = pytest.importorskip("torch")
    values = torch.ones(2, requires_grad=True)
    assert as_numbers(values, "confidence").tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("values", "got"),
    [
        ([0.5 + 0j], r"complex numbers such as \(0\.5\+0j\)"),
        (np.array([1], np.complex64), r"complex numbers such as \(1\+0j\)"),
        (np.array([0.5, 1j, 1.0], object), "objects such as 1j"),
        (np.array([np.complex64(1)], object), "objects such as"),
        (["0.5"], "text such as '0.5'"),
        ([0.5, "0.5"], "text such as '0.5'"),
        ([b"0.5"], r"bytes such as b'0.5'"),
        (np.array([0.5, "0.5"], object), "objects such as '0.5'"),
        (np.array(["2024-01-01"], "M8[D]"), "dates such as"),
        (np.array([1], "m8[s]"), "spans of time such as"),
        (np.empty((0, 2), "U1"), "text: convert"),
    ],
)
def test_what_only_looks_like_numbers_is_refused(values, got):
    with pytest.raises(DataError, match=f"expected probs as an array of real numbers, got {got}") as caught:
        as_numbers(values, "probs")
    assert str(caught.value).endswith("convert them to floats first")


@pytest.mark.parametrize("values", [[[0.5, 0.5], [1.0]], [{}], object()])
def test_what_makes_no_array_of_numbers_is_refused(values):
    with pytest.raises(DataError, match="expected probs as an array of numbers, got what makes none .*: give floats"):
        as_numbers(values, "probs")


def test_rows_are_scaled_to_sum_to_one():
    log_probs = encoded_probs(np.array([[[2.0, 6.0]], [[1.0, 1.0]]]), ["a"])
    assert log_probs.dtype == np.float32
    assert np.exp(log_probs[:, 0]) == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ([np.nan, 0.5], NotFinite),
        ([np.inf, 0.5], NotFinite),
        ([-0.1, 1.1], DataError),
        ([0.0, 0.0], DataError),
        ([1.7e308, 1.7e308], DataError),
    ],
)
def test_a_row_that_is_no_probabilities_is_named_with_its_stage(row, error):
    probs = np.full((3, 2, 2), 0.5)
    probs[1, 1] = row
    with pytest.raises(error, match=r"in row 1 of stage 'b': check probs\[1, 1\]") as caught:
        encoded_probs(probs, ["a", "b"])
    assert type(caught.value) is error


def test_confidences_in_the_unit_interval_are_handed_on():
    confidence = np.array([[0.0, 1.0]])
    assert checked_confidence(confidence, ["a", "b"]) is confidence


@pytest.mark.parametrize(("value", "error"), [(1.01, DataError), (-0.01, DataError), (np.nan, NotFinite)])
def test_a_confidence_outside_the_unit_interval_is_named_with_its_stage(value, error):
    with pytest.raises(error, match=f"got {value} in row 1 of stage 'b': rescale them first") as caught:
        checked_confidence(np.array([[0.5, 0.5], [0.5, value]]), ["a", "b"])
    assert type(caught.value) is error


def test_the_top_class_comes_with_its_probability():
    classes, confidence = top_classes(np.log([[[0.2, 0.8], [0.7, 0.3]]]).astype(np.float32))
    assert classes.tolist() == [[1, 0]]
    assert confidence == pytest.approx(np.array([[0.8, 0.7]]))


def test_a_sure_answer_is_no_surer_than_one():
    log_probs = encoded_probs(np.random.default_rng(0).random((500, 1, 3)) ** 40, ["a"])
    _, confidence = top_classes(log_probs)
    assert confidence.max() <= 1.0


def test_a_number_that_is_missing_is_nan():
    assert np.isnan(as_numbers([None, 0.5], "confidence")).tolist() == [True, False]
