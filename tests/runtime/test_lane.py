from threading import Event, Thread

import numpy as np
import pytest

from cascade.errors import StageError
from cascade.runtime.lane import LEAVE_THREADS, Lane
from cascade.telemetry.counters import Counters
from cascade.testing.fakes import FakeStage
from cascade.testing.faults import FailingStage

X = np.arange(2)


def lane_of(*stages, clock, n_threads=1):
    return Lane(stages, clock, n_threads, Counters())


def test_the_error_of_a_model_is_the_cause(clock):
    lane = lane_of(FailingStage(FakeStage("a", np.eye(2))), clock=clock)
    with lane, pytest.raises(StageError, match="stage 'a' raised RuntimeError") as caught:
        lane.run(0, X)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_three_rejections_are_counted_and_fence_a_stage_and_time_frees_it(clock):
    lane = lane_of(FakeStage("a", np.eye(2)), clock=clock)
    for _ in range(3):
        lane.reject(0)
    assert lane.counters.snapshot().n_faults == {"a": 3}
    assert lane.is_fenced(0)
    clock.wait(1000.0)
    assert not lane.is_fenced(0)


@pytest.mark.parametrize(("n_threads", "expected"), [(3, 3), (LEAVE_THREADS, 1)])
def test_threads_are_limited_while_the_lane_is_in_use_and_given_back(clock, n_threads, expected):
    stage = FakeStage("a", np.eye(2))
    lane = lane_of(stage, clock=clock, n_threads=n_threads)
    with lane:
        assert stage.threads() == expected
    lane.close()
    assert stage.threads() == 1


def test_the_lane_is_free_again_after_an_error(clock):
    lane = lane_of(FailingStage(FakeStage("a", np.eye(2)), on_calls=[1]), clock=clock)
    with pytest.raises(StageError), lane:
        lane.run(0, X)
    with lane:
        assert lane.run(0, X)[0].tolist() == np.eye(2).tolist()


def test_a_lane_that_is_free_but_waited_for_is_left_to_who_waits(clock):
    lane, got, gate = lane_of(FakeStage("a", np.eye(2)), clock=clock), [], Event()

    def wait_for_it():
        got.append(lane.acquire())
        gate.wait()
        lane.release()

    lane.acquire()
    assert not lane.acquire_if_free()
    waiting = Thread(target=wait_for_it)
    waiting.start()
    while not lane.is_wanted:
        pass
    lane.release()
    assert not lane.acquire_if_free()
    gate.set()
    waiting.join()
    assert got == [0.0]
    assert lane.acquire_if_free()
