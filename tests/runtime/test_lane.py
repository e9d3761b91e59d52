from threading import Event, Thread

import numpy as np
import pytest

from cascade.errors import StageError
from cascade.runtime.lane import Lane
from cascade.runtime.thread_counts import LEAVE_THREADS, ThreadCounts
from cascade.telemetry.counters import Counters
from cascade.testing.fakes import FakeStage
from cascade.testing.faults import FailingStage

X = np.arange(2)


class OnDevice(FakeStage):
    """A stage on a device, that notes which lane uses it from which thread."""

    device = "cuda:0"

    def __init__(self, *args, **keywords):
        super().__init__(*args, **keywords)
        self.lanes = []

    def use_lane(self, lane):
        self.lanes.append(lane)


def lane_of(*stages, clock, n_threads=1, number=0):
    return Lane(stages, clock, ThreadCounts(stages, n_threads), Counters(), number)


def test_the_error_of_a_model_is_the_cause(clock):
    lane = lane_of(FailingStage(FakeStage("a", np.eye(2))), clock=clock)
    with pytest.raises(StageError, match="stage 'a' raised RuntimeError") as caught:
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
def test_threads_are_limited_once_a_thread_is_prepared_and_given_back(clock, n_threads, expected):
    stage = FakeStage("a", np.eye(2))
    counts = ThreadCounts([stage], n_threads)
    lane = Lane([stage], clock, counts, Counters())
    lane.prepare()
    assert stage.threads() == expected
    counts.forget()
    assert stage.threads() == 1


def test_only_threads_that_are_prepared_need_no_more_preparation(clock):
    lane, idents = lane_of(FakeStage("a", np.eye(2)), clock=clock), []
    lane.prepare()
    thread = Thread(target=lambda: (idents.append(thread.ident), lane.prepare()))
    assert len(lane.prepared) == 1
    # Both at once, or the second could be given the number of the first.
    hold = Event()
    other = Thread(target=hold.wait)
    other.start()
    thread.start()
    thread.join()
    assert idents[0] in lane.prepared
    assert other.ident not in lane.prepared
    hold.set()
    other.join()


def test_stages_on_a_device_are_told_their_lane_at_every_preparation(clock):
    stage = OnDevice("a", np.eye(2))
    lane = lane_of(stage, FakeStage("b", np.eye(2)), clock=clock, number=2)
    for _ in range(2):
        lane.prepare()
    assert stage.lanes == [2, 2]
    assert len(lane.prepared) == 0


def test_a_renewed_lane_is_free_whoever_held_it(clock):
    lane = lane_of(FakeStage("a", np.eye(2)), clock=clock)
    lane.take()
    lane.is_claimed = True
    assert not lane.take(False)
    lane.renew()
    assert not lane.is_claimed
    assert lane.take(False)
