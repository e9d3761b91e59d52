"""Fields of outcomes: how they follow from what a caller hands in, and what they must satisfy."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core.outcome_fields import check_fields, check_score_shape, fields_of_answers, fields_of_probs
from cascade.core.outcomes import Outcomes
from cascade.errors import ConfigurationError, DataError, EmptyBatch, LabelMismatch, NotFinite

PROBS = [[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]]


def some_fields(**changed):
    return fields_of_probs(PROBS, [0, 1], None, None) | {"fingerprints": None, "inputs": None} | changed


def test_the_most_probable_class_is_what_a_stage_said():
    fields = fields_of_probs(PROBS, ["x", "y"], ["s", "t"], ["x", "y"])
    assert fields["stages"] == ("s", "t")
    assert fields["predicted"].tolist() == [[0, 1], [1, 0]]
    assert fields["confidence"] == pytest.approx(np.array([[0.9, 0.8], [0.7, 0.6]]))


def test_classes_are_numbers_of_columns_unless_given():
    assert some_fields()["classes"] == (0, 1)


@pytest.mark.parametrize(("classes", "got"), [([0], "got 1: 0"), (["a", "b", "c"], "got 3: 'a', 'b', 'c'")])
def test_there_is_one_class_for_each_column(classes, got):
    with pytest.raises(LabelMismatch, match=f"expected 2 classes, one per column of the scores, {got}"):
        fields_of_probs(PROBS, [0, 1], None, classes)


@pytest.mark.parametrize("shape", [(2, 2), (2, 0, 3), (2, 2, 1), (1, 2, 2, 2)])
def test_scores_have_items_stages_and_classes(shape):
    with pytest.raises(DataError, match=r"expected probs of shape \(n, K, c\).*: stack the stages along axis 1"):
        check_score_shape(np.ones(shape), "probs")


def test_labels_only_said_come_after_the_true_ones():
    fields = fields_of_answers([["z", "a"], ["b", "z"]], [[0.1, 0.2], [0.3, 0.4]], ["b", "a"], stages=None)
    assert fields["classes"] == ("a", "b", "z")
    assert fields["predicted"].tolist() == [[2, 0], [1, 2]]
    assert fields["log_probs"] is None


@pytest.mark.parametrize(
    ("said", "confidence", "got"),
    [
        ([["a"]], [[0.5, 0.5]], r"\(1, 1\) and \(1, 2\)"),
        ([["a"]], [0.5], r"\(1, 1\) and \(1,\)"),
        ([[]], [[]], r"\(1, 0\) and \(1, 0\)"),
    ],
)
def test_answers_and_confidences_have_one_shape(said, confidence, got):
    with pytest.raises(DataError, match=rf"labels_hat and confidence of one shape \(n, K\), got {got}"):
        fields_of_answers(said, confidence, ["a"], stages=None)


def test_answers_and_labels_have_one_length():
    with pytest.raises(DataError, match="expected one label per row, got 2 labels for 1 rows"):
        fields_of_answers([["a"]], [[0.5]], ["a", "b"], stages=None)


def test_confidences_in_text_are_refused():
    with pytest.raises(DataError, match="expected confidence as an array of real numbers, got text such as '0.5'"):
        fields_of_answers([["a"]], [["0.5"]], ["a"], stages=None)


def test_fields_that_fit_together_pass():
    check_fields(some_fields())


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"labels": np.empty(0, np.int64)}, EmptyBatch, "at least one labelled item"),
        ({"stages": ("s", "s")}, ConfigurationError, r"distinct stage names, at least one, got \('s', 's'\): rename"),
        ({"stages": ()}, ConfigurationError, r"distinct stage names, at least one, got \(\)"),
        ({"requires": (-1,)}, ConfigurationError, r"2 stages -1 or the index of an earlier one, got \(-1,\)"),
        ({"requires": (-1, 1)}, ConfigurationError, r"the index of an earlier one, got \(-1, 1\)"),
        ({"requires": (-2, 0)}, ConfigurationError, r"the index of an earlier one, got \(-2, 0\)"),
        ({"fingerprints": ("f",)}, ConfigurationError, "expected 2 fingerprints, one per stage, got 1"),
        ({"classes": (0, 0)}, LabelMismatch, "expected distinct classes, got 0, 0"),
        ({"labels": np.zeros(2, np.int32)}, DataError, r"expected labels as int64 of shape \(2,\), got int32"),
        (
            {"predicted": np.zeros((2, 1), np.int64)},
            DataError,
            r"predicted as int64 of shape \(2, 2\), got .* \(2, 1\)",
        ),
        ({"confidence": np.ones((2, 2), np.float32)}, DataError, "confidence as float64 .*, got float32"),
        ({"log_probs": np.zeros((2, 2, 3), np.float32)}, DataError, r"log_probs as float32 of shape \(2, 2, 2\)"),
        ({"labels": np.array([0, 2])}, LabelMismatch, "expected labels from 0 to 1, .*, got 0 to 2"),
        ({"predicted": np.array([[0, -1], [0, 0]])}, LabelMismatch, "expected predicted from 0 to 1, .*, got -1 to 0"),
        ({"confidence": np.full((2, 2), 1.5)}, DataError, r"confidences in \[0, 1\], got 1.5"),
        ({"log_probs": np.full((2, 2, 2), -np.inf, np.float32)}, NotFinite, "expected finite log_probs"),
    ],
)
def test_fields_that_do_not_fit_together_are_told_apart(changed, error, words):
    with pytest.raises(error, match=words):
        check_fields(some_fields(**changed))


def test_outcomes_check_their_fields_when_made():
    with pytest.raises(ConfigurationError, match="distinct stage names"):
        Outcomes(**some_fields(stages=("s", "s")))


def test_a_mask_takes_rows():
    table = Outcomes(**some_fields()).take(np.array([False, True]))
    assert table.labels.tolist() == [1]
    assert table.log_probs.shape == (1, 2, 2)


@pytest.mark.parametrize("rows", [[2], [True], np.array([0.5])])
def test_rows_that_are_not_there_are_refused(rows):
    with pytest.raises(DataError, match="expected rows below 2 or a mask of that length"):
        Outcomes(**some_fields()).take(rows)


def test_taking_no_row_is_refused():
    with pytest.raises(EmptyBatch, match="at least one labelled item"):
        Outcomes(**some_fields()).take([])
