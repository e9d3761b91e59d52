"""Outcomes from arrays, from stages and from files, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core.outcomes import Outcomes
from cascade.errors import (
    ConfigurationError,
    DataError,
    EmptyBatch,
    LabelMismatch,
    NotFinite,
    StageError,
    StageOutputError,
)
from cascade.stages.stage import Stage

X = np.linspace(0.0, 1.0, 20)
Y = (X > 0.5).astype(int)


def two_columns(batch):
    return np.stack((1.0 - batch, batch), axis=1)


def test_recording_keeps_what_every_stage_said():
    stages = [Stage(two_columns, name="a", scores="probs"), Stage(lambda b: 5.0 * two_columns(b), name="b")]
    table = Outcomes.record(stages, X, Y, batch_size=7)
    assert table.stages == ("a", "b")
    assert table.correct.all()
    assert table.confidence[:, 0] == pytest.approx(np.maximum(X, 1 - X), abs=1e-5)
    assert table.fingerprints == tuple(stage.fingerprint for stage in stages)


def test_columns_follow_the_first_named_classes():
    first = Stage(two_columns, name="a", scores="probs", classes=["low", "high"])
    turned = Stage(lambda b: two_columns(b)[:, ::-1], name="b", scores="probs", classes=["high", "low"])
    table = Outcomes.record([first, turned], X, np.where(Y, "high", "low"))
    assert np.array_equal(table.predicted[:, 0], table.predicted[:, 1])


def test_labels_never_met_as_truth_come_last():
    table = Outcomes.from_predictions([["x", "b"], ["a", "b"]], [[0.5, 0.6], [0.7, 0.8]], ["a", "b"])
    assert table.classes == ("a", "b", "x")


def test_taking_rows_keeps_their_order():
    table = Outcomes.from_probs(np.full((3, 1, 2), [0.4, 0.6]), [0, 1, 1])
    assert table.take([2, 0]).labels.tolist() == [1, 0]


def test_arrays_come_back_from_a_file(tmp_path):
    probs = np.random.default_rng(0).random((6, 2, 3))
    np.savez(tmp_path / "a.npz", probs=probs, labels=[0, 1, 2, 0, 1, 2], stages=["s", "t"])
    table = Outcomes.load(tmp_path / "a.npz")
    assert table.stages == ("s", "t")
    assert np.array_equal(table.predicted, probs.argmax(axis=2))
    np.savez(tmp_path / "b.npz", scores=probs)
    with pytest.raises(DataError, match=r"got \['scores'\]"):
        Outcomes.load(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([[0.5, 0.5]], [0]), DataError, r"shape \(n, K, c\)"),
        ((np.empty((0, 2, 2)), []), EmptyBatch, "at least one labelled item"),
        (([[[np.nan, 0.5]]], [0]), NotFinite, "stage 'stage0'"),
        (([[[0.5, 0.5]]], [7]), LabelMismatch, "got 7"),
        (([[[0.5, 0.5]]], [0, 1]), DataError, "2 labels for 1 rows"),
    ],
)
def test_unusable_probabilities_are_refused_in_words(arguments, error, words):
    with pytest.raises(error, match=words):
        Outcomes.from_probs(*arguments)


def test_confidences_outside_the_unit_interval_are_refused():
    with pytest.raises(DataError, match=r"confidences in \[0, 1\]"):
        Outcomes.from_predictions([["a"]], [[1.5]], ["a"])


def broken(_):
    raise ValueError("out of memory")


@pytest.mark.parametrize(
    ("stages", "error", "words"),
    [
        ([Stage(broken, name="b")], StageError, "stage 'b' raised ValueError: out of memory"),
        ([Stage(lambda b: two_columns(b) * np.nan, name="n")], StageOutputError, "finite logits"),
        ([Stage(lambda b: two_columns(b) - 2, name="m", scores="probs")], StageOutputError, "scores='logits'"),
        ([Stage(two_columns, name="s"), Stage(two_columns, name="s")], ConfigurationError, "distinct stage names"),
        ([], ConfigurationError, "at least one stage"),
    ],
)
def test_stages_that_cannot_be_recorded_are_named(stages, error, words):
    with pytest.raises(error, match=words):
        Outcomes.record(stages, X, Y)


def test_stages_of_different_classes_are_refused():
    three = Stage(lambda b: np.stack((b, b, b), axis=1), name="three")
    with pytest.raises(DataError, match="'two': 2, 'three': 3"):
        Outcomes.record([Stage(two_columns, name="two"), three], X, Y)


def test_inputs_and_labels_of_different_length_are_refused():
    with pytest.raises(DataError, match="3 labels for 20 rows"):
        Outcomes.record([Stage(two_columns, name="a")], X, Y[:3])


def test_what_is_shown_of_outcomes_is_one_line(ladder, votes):
    assert repr(ladder()) == "Outcomes(900 items, stages stage0, stage1, stage2, 4 classes, probabilities)"
    assert repr(votes()) == "Outcomes(600 items, stages stage0, stage1, 3 classes, labels and confidences)"
