import numpy as np
import pytest

from cascade.clock import VirtualClock
from cascade.core.records import StageOutput
from cascade.testing.contract import check_stage
from cascade.testing.fakes import FakeExit, FakeStage
from cascade.testing.faults import FailingStage, NanStage, SlowStage

X = np.arange(3)


def fake():
    return FakeStage("fake", np.eye(3), classes="abc")


def test_a_failing_stage_raises_on_the_calls_named():
    stage = FailingStage(fake(), on_calls={2})
    stage.run(X)
    with pytest.raises(RuntimeError, match="injected fault of stage 'fake'"):
        stage.run(X)
    assert stage.run(X)[0].tolist() == np.eye(3).tolist()


def test_a_failing_stage_raises_always_where_no_calls_are_named():
    stage = FailingStage(fake(), error=KeyError("mine"))
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            stage.run(X)


def test_an_error_that_is_raised_often_keeps_the_frames_of_the_last_time_only():
    stage, lengths = FailingStage(fake()), []
    for _ in range(3):
        with pytest.raises(RuntimeError) as caught:
            stage.run(X)
        lengths.append(len(caught.traceback))
    assert len(set(lengths)) == 1


def test_a_stage_returns_nan_of_the_same_shape():
    stage = NanStage(fake(), on_calls=[1])
    assert np.isnan(stage.run(X)[0]).all()
    assert stage.run(X)[0].tolist() == np.eye(3).tolist()


def test_a_stage_that_answers_returns_nan_as_its_confidence():
    stage = NanStage(FakeStage("fake", lambda batch: StageOutput(batch, np.ones(len(batch)))))
    output, _ = stage.run(X)
    assert output.outputs.tolist() == [0, 1, 2]
    assert np.isnan(output.confidence).all()


def test_a_slow_stage_takes_longer_on_the_calls_named():
    clock = VirtualClock()
    stage = SlowStage(FakeStage("fake", np.eye(3), 1.0, clock), 10.0, clock, on_calls=range(2, 9))
    stage.run(X)
    assert clock.now_ms() == 3.0
    stage.run(X)
    assert clock.now_ms() == 16.0


@pytest.mark.parametrize(
    "stage", [FailingStage(fake(), on_calls=()), NanStage(fake(), on_calls=()), SlowStage(fake(), 1.0, VirtualClock())]
)
def test_between_its_faults_a_stage_is_the_one_inside(stage):
    check_stage(stage, X, n_classes=3)
    assert (stage.name, stage.classes, stage.fingerprint) == ("fake", ("a", "b", "c"), fake().fingerprint)


def test_carries_pass_through_a_fault():
    first = SlowStage(FakeExit("a", np.eye(3), requires=None), 1.0, VirtualClock())
    second = NanStage(FakeExit("b", np.eye(3), requires="a"), on_calls=())
    check_stage(second, X, predecessor=first)
