"""What stages return while they are recorded: what is read, and what is refused in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from cascade.core.records import StageOutput
from cascade.core.stage_outputs import (
    Answers,
    check_alike,
    check_rows,
    common_classes,
    encoded_scores,
    joined_answers,
    read_output,
)
from cascade.errors import DataError, StageOutputError


@dataclass
class Named:
    """As much of a stage as is asked for here."""

    name: str = "a"
    scores: str = "probs"
    classes: tuple | None = None


def answers(labels, confidence):
    return StageOutput(labels, confidence)


@pytest.mark.parametrize(
    "output",
    [np.ones((2, 3), np.float32), np.ones((2, 3), int), answers(["x", "y"], [0.1, 0.2]), answers((1, 2), np.ones(2))],
)
def test_scores_and_answers_for_every_row_pass(output):
    check_rows(Named(), output, 2)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ([[0.5, 0.5]], "returned a list: expected an array of scores"),
        (None, "returned a NoneType: expected"),
        (np.ones(2), r"returned an array of float64 of shape \(2,\): expected"),
        (np.ones((2, 2), complex), r"returned an array of complex128 of shape \(2, 2\): expected"),
        (np.array([["0.5", "0.5"]] * 2), r"returned an array of <U3 of shape \(2, 2\): expected"),
        (np.ones((3, 2)), "returned 3 rows for a batch of 2: it must answer every row"),
        (answers(["x"], [0.5, 0.5]), "returned 1 answers and 2 confidences for a batch of 2 rows"),
        (answers(["x", "y"], 0.5), "returned 2 answers and 0 confidences"),
        (answers(["x", "y"], np.array(0.5)), "returned 2 answers and 0 confidences"),
    ],
)
def test_what_is_neither_scores_nor_answers_is_refused(output, words):
    with pytest.raises(StageOutputError, match=f"stage 'a' {words}"):
        check_rows(Named(), output, 2)


def test_every_batch_is_answered_alike():
    check_alike(Named(), np.ones((1, 2)), np.ones((5, 2)))
    with pytest.raises(
        StageOutputError, match="'a' returned 3 columns of scores for one batch and 2 columns of scores"
    ):
        check_alike(Named(), np.ones((1, 3)), np.ones((1, 2)))
    with pytest.raises(StageOutputError, match="labels with confidences for one batch and 2 columns of scores"):
        check_alike(Named(), answers(["x"], [0.5]), np.ones((1, 2)))


def test_answers_are_kept_as_python_values_and_floats():
    said = read_output(Named(), answers(np.array([3, 4]), np.array([0.5, 1.0], np.float32)))
    assert said.labels == [3, 4]
    assert said.confidence.dtype == np.float64


def test_confidences_of_a_tensor_that_learns_are_read():
    torch = pytest.importorskip("torch")
    said = read_output(Named(), answers(["x"], torch.tensor([0.5], requires_grad=True)))
    assert said.confidence.tolist() == [0.5]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (answers([["x"]], [0.5]), "answers that cannot be used: expected one label per item"),
        (answers([float("nan")], [0.5]), "answers that cannot be used: expected a label for every item, got NaN"),
        (answers(["x"], ["0.5"]), "answers that cannot be used: expected confidences as .* got text such as '0.5'"),
        (answers(["x"], [0.5j]), "answers that cannot be used: expected confidences as .* got complex numbers"),
        (answers(["x"], [object()]), "answers that cannot be used: expected confidences as an array of numbers"),
        (answers(["x"], [[0.5]]), r"confidences of shape \(1, 1\): expected \(n,\)"),
        (answers(["x", "y"], [0.5, 1.5]), r"a confidence of 1.5 for row 11: expected a number in \[0, 1\]"),
        (answers(["x", "y"], [np.nan, 0.5]), "a confidence of nan for row 10"),
        (np.array([[0.5, 0.5], [0.5, -0.5]]), r"not finite probabilities.*\(or say scores='logits'\): row 11 is"),
    ],
)
def test_outputs_that_cannot_be_used_name_the_stage_and_the_row(output, words):
    with pytest.raises(StageOutputError, match=f"stage 'a' returned .*{words}"):
        read_output(Named(), output, start=10)


def test_scores_become_log_probabilities_by_their_kind():
    probs = encoded_scores(Named(), np.array([[1.0, 3.0]]))
    logits = encoded_scores(Named(scores="logits"), np.log([[1.0, 3.0]]))
    assert np.exp(probs) == pytest.approx(np.array([[0.25, 0.75]]))
    assert logits == pytest.approx(probs)


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(StageOutputError, match="returned scores that are not finite logits: row 0 is .*inf"):
        encoded_scores(Named(scores="logits"), np.array([[0.0, np.inf]]))


def test_classes_are_those_that_a_stage_names():
    stages = [Named("a"), Named("b", classes=("x", "y"))]
    assert common_classes(stages, [np.ones((1, 2)), np.ones((1, 2))]) == ("x", "y")


def test_classes_are_numbers_of_columns_where_no_stage_names_any():
    assert common_classes([Named()], [np.ones((1, 3))]) == (0, 1, 2)


def test_there_are_no_common_classes_beside_answers():
    assert common_classes([Named("a"), Named("b")], [np.ones((1, 2)), answers(["x"], [0.5])]) is None


@pytest.mark.parametrize(
    ("classes", "widths", "words"),
    [
        ([("x",), None], [2, 2], "expected 2 distinct classes, .* got 'x' from 'a': give classes="),
        ([("x", "x"), None], [2, 2], "expected 2 distinct classes, .* got 'x', 'x' from 'a'"),
        ([None, None], [2, 3], "these numbers of columns: {'a': 2, 'b': 3}"),
        ([("x", "y"), ("x", "z")], [2, 2], "one set of classes, got 'x', 'y' from 'a' and 'x', 'z' from 'b'"),
    ],
)
def test_stages_that_score_different_classes_are_refused(classes, widths, words):
    stages = [Named(name, classes=some) for name, some in zip("ab", classes, strict=True)]
    with pytest.raises(DataError, match=words):
        common_classes(stages, [np.ones((1, width)) for width in widths])


def test_scores_beside_answers_give_their_most_probable_class():
    stage = Named(classes=("x", "y"))
    scores = encoded_scores(stage, np.array([[0.2, 0.8], [0.9, 0.1]]))
    joined = joined_answers(stage, [scores, Answers(["z"], np.array([0.5]))])
    assert joined.labels == ["y", "x", "z"]
    assert joined.confidence == pytest.approx([0.8, 0.9, 0.5])
