import numpy as np
import pytest
import torch

from cascade.clock import VirtualClock
from cascade.core.records import StageOutput
from cascade.errors import ConfigurationError
from cascade.testing.fakes import FakeExit, FakeStage

TABLE = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])


@pytest.mark.parametrize(
    "batch",
    [
        np.array([2, 0]),
        np.array([2.0, 0.0], dtype=np.float32),
        np.array([[2, 7], [0, 7]]),
        [2, 0],
        torch.tensor([2, 0]),
    ],
)
def test_a_fake_looks_its_answers_up_by_the_value_of_the_row(batch):
    scores, carry = FakeStage("fake", TABLE).run(batch)
    assert scores.tolist() == [[0.5, 0.5], [0.9, 0.1]]
    assert carry is None


def test_a_fake_may_answer_by_a_function():
    stage = FakeStage("fake", lambda batch: StageOutput(batch, np.ones(len(batch))))
    assert stage.run(np.array([3, 4]))[0].outputs.tolist() == [3, 4]


def test_service_time_grows_with_the_rows():
    clock = VirtualClock()
    stage = FakeStage("fake", TABLE, 1.5, clock)
    stage.run(np.array([0, 1]))
    stage.run(np.array([0]))
    assert clock.now_ms() == 4.5
    assert stage.batch_sizes == [2, 1]


def test_service_time_may_be_a_function_of_the_batch_size():
    clock = VirtualClock()
    FakeStage("fake", TABLE, lambda n: 10.0 + n, clock).run(np.array([0, 1]))
    assert clock.now_ms() == 12.0


def test_without_a_clock_runs_take_no_time():
    assert FakeStage("fake", TABLE, 5.0).run(np.array([0]))[0].shape == (1, 2)


def test_the_table_is_the_fakes_own():
    table = TABLE.copy()
    stage = FakeStage("fake", table)
    table[:] = 0
    assert stage.run(np.array([0]))[0].tolist() == [[0.9, 0.1]]


def test_the_fingerprint_follows_name_and_table():
    fakes = FakeStage("a", TABLE), FakeStage("b", TABLE), FakeStage("a", TABLE * 2), FakeStage("a", TABLE, version="v")
    assert len({fake.fingerprint for fake in fakes}) == 4
    assert FakeStage("a", TABLE).fingerprint == fakes[0].fingerprint


def test_a_table_of_another_shape_is_refused():
    with pytest.raises(ConfigurationError, match=r"a table of answers of shape \(N, c\), got the shape \(3,\)"):
        FakeStage("fake", [1, 2, 3])


def test_a_fake_has_the_attributes_it_is_given():
    stage = FakeStage("fake", TABLE, scores="logits", classes=["a", "b"])
    assert (stage.name, stage.scores, stage.classes) == ("fake", "logits", ("a", "b"))
    assert (stage.requires, stage.device, stage.threads()) == (None, "cpu", 1)


def test_a_fake_exit_carries_on_which_items_it_saw():
    exit0 = FakeExit("a", TABLE, requires=None)
    exit1 = FakeExit("b", TABLE, requires="a")
    _, carry = exit0.run(np.array([2, 1, 0]))
    assert exit1.run(np.array([0, 2]), exit0.take(carry, np.array([2, 0])))[0].tolist() == [[0.9, 0.1], [0.5, 0.5]]
    assert exit0.join([carry, carry]).tolist() == [2, 1, 0, 2, 1, 0]


def test_a_fake_exit_refuses_the_carry_of_other_items():
    exit1 = FakeExit("b", TABLE, requires="a")
    with pytest.raises(
        AssertionError, match=r"exit 'b' was handed the carry of the items \[1 0\] for the items \[0 1\]"
    ):
        exit1.run(np.array([0, 1]), np.array([1, 0]))


def test_a_missing_carry_stays_missing():
    exit0 = FakeExit("a", TABLE, requires=None)
    assert exit0.take(None, np.array([0])) is None
    assert exit0.join([np.array([0]), None]) is None
