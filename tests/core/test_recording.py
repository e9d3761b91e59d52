"""Running stages over a sample: batches, exits that continue from one another, and failures that name the stage."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core.recording import predecessors, run_checked, run_stages
from cascade.core.records import StageOutput
from cascade.errors import ConfigurationError, EmptyBatch, StageError, StageOutputError

X = np.linspace(0.0, 1.0, 10)


class Scripted:
    """A stage that scores its rows by a function, and carries their sum so far."""

    scores = "probs"
    fingerprint = "f"

    def __init__(self, name, answer=None, *, requires=None, classes=None):
        self.name, self.requires, self.classes = name, requires, classes
        self._answer = answer or (lambda batch: np.stack((1.0 - batch, batch), axis=1))
        self.batch_sizes, self.carried = [], []

    def run(self, batch, carry=None):
        self.batch_sizes.append(len(batch))
        self.carried.append(carry)
        return self._answer(batch), f"{self.name} after {carry}"

    def take(self, carry, rows):
        return carry

    def join(self, carries):
        return carries[0]


def ran(*stages, inputs=X, batch_size=4):
    return run_stages(stages, inputs, batch_size=batch_size, progress=False)


def test_rows_are_run_in_batches_and_come_back_in_order():
    stage = Scripted("a")
    said = ran(stage)
    assert stage.batch_sizes == [4, 4, 2]
    assert np.exp(said.log_probs[:, 0, 1]) == pytest.approx(X, abs=1e-6)
    assert said.labels.size == 0


def test_an_exit_continues_from_the_one_it_requires():
    first, between, second = Scripted("a"), Scripted("b"), Scripted("c", requires="a")
    ran(first, between, second, batch_size=10)
    assert (first.carried, between.carried, second.carried) == ([None], [None], ["a after None"])


def test_columns_are_brought_into_the_order_of_the_first_named_classes():
    turned = Scripted("b", lambda batch: np.stack((batch, 1.0 - batch), axis=1), classes=("yes", "no"))
    said = ran(Scripted("a", classes=("no", "yes")), turned)
    assert said.classes == ("no", "yes")
    assert np.array_equal(said.log_probs[:, 0], said.log_probs[:, 1])


def test_labels_that_are_tuples_stay_whole():
    pairs = Scripted("a", lambda batch: StageOutput([("x", 1)] * len(batch), np.full(len(batch), 0.5)))
    said = ran(pairs)
    assert said.log_probs is None
    assert said.labels.shape == (10, 1)
    assert said.labels[0, 0] == ("x", 1)


def test_scores_beside_answers_are_kept_as_labels_with_confidences():
    words = Scripted("b", lambda batch: StageOutput(["yes"] * len(batch), np.full(len(batch), 0.5)))
    said = ran(Scripted("a", classes=("no", "yes")), words)
    assert said.labels[[0, 9]].tolist() == [["no", "yes"], ["yes", "yes"]]
    assert said.confidence[9].tolist() == pytest.approx([1.0, 0.5])


@pytest.mark.parametrize(
    ("names", "requires", "words"),
    [
        ([], [], "expected at least one stage, got none"),
        (["a", "a"], [None, None], r"distinct stage names, got \['a', 'a'\]: pass name= to the duplicates"),
        (["a", "b"], ["b", None], r"stage 'a' continues from 'b': put that exit before it, got the order \['a', 'b'\]"),
        (["a"], ["a"], "stage 'a' continues from 'a': put that exit before it"),
    ],
)
def test_an_order_that_cannot_run_is_refused(names, requires, words):
    stages = [Scripted(name, requires=before) for name, before in zip(names, requires, strict=True)]
    with pytest.raises(ConfigurationError, match=words):
        predecessors(stages)


def test_predecessors_are_numbers_of_stages():
    assert predecessors([Scripted("a"), Scripted("b"), Scripted("c", requires="a")]) == (-1, -1, 0)


def test_no_rows_are_refused():
    with pytest.raises(EmptyBatch, match="expected at least one row, got none"):
        ran(Scripted("a"), inputs=X[:0])


def test_a_batch_has_at_least_one_row():
    with pytest.raises(ConfigurationError, match="expected batch_size of at least 1, got 0"):
        ran(Scripted("a"), batch_size=0)


def broken(batch):
    raise RuntimeError("out of memory")


def test_a_failure_names_the_stage_and_keeps_its_cause():
    with pytest.raises(StageError, match="stage 'a' raised RuntimeError: out of memory") as caught:
        run_checked(Scripted("a", broken), X)
    assert isinstance(caught.value.__cause__, RuntimeError)


def refusing(batch):
    raise StageOutputError("said in the stage's own words")


def test_a_failure_that_the_stage_worded_is_left_as_it_is():
    with pytest.raises(StageOutputError, match="^said in the stage's own words$"):
        run_checked(Scripted("a", refusing), X)


def test_a_row_that_is_left_out_is_noticed():
    with pytest.raises(StageOutputError, match="stage 'a' returned 9 rows for a batch of 10"):
        run_checked(Scripted("a", lambda batch: np.ones((len(batch) - 1, 2))), X)


def test_a_stage_that_changes_its_width_between_batches_is_refused():
    stage = Scripted("a", lambda batch: np.ones((len(batch), len(batch))))
    with pytest.raises(
        StageOutputError, match="2 columns of scores for one batch and 4 columns of scores for the first"
    ):
        ran(stage)


def test_a_row_is_named_by_its_number_in_the_whole():
    stage = Scripted("a", lambda batch: np.stack((batch, np.where(batch > 0.8, -1.0, 1.0)), axis=1))
    with pytest.raises(StageOutputError, match="row 8 is"):
        ran(stage)
