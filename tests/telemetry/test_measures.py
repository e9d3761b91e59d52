import numpy as np
import pytest

from cascade.telemetry.measures import Measures, size_class


def test_runs_are_kept_by_stage_and_class_of_sizes():
    measures = Measures()
    for n in (1, 3, 4, 5, 1024):
        measures.note_service("a", n, 2.0)
    measures.note_service("b", 1, 3.0)
    assert {key: took.n for key, took in measures.frozen_service().items()} == {
        ("a", 1): 1,
        ("a", 4): 2,
        ("a", 8): 1,
        ("a", 1024): 1,
        ("b", 1): 1,
    }


@pytest.mark.parametrize("n", [1, 2, 3, 31, 32, 33])
def test_a_class_holds_sizes_up_to_twice_its_smallest(n):
    assert size_class(n) / 2 < n <= size_class(n)


def test_batches_are_counted_by_why_they_are_no_larger():
    measures = Measures()
    for closed_by in ("limit", "limit", "deadline"):
        measures.note_batch("a", 4, closed_by)
    assert measures.batches == {("a", 4, "limit"): 2, ("a", 4, "deadline"): 1}


def test_lanes_add_up():
    lanes = [Measures(), Measures()]
    for lane in lanes:
        lane.latency.note(1.0)
        lane.queue_wait.note(2.0)
        lane.note_service("a", 1, 3.0)
        lane.note_batch("a", 1, "limit")
    lanes[1].note_service("b", 1, 3.0)
    whole = Measures()
    for lane in lanes:
        whole.add(lane)
    assert (whole.latency.snapshot().n, whole.queue_wait.snapshot().n) == (2, 2)
    assert [took.n for took in whole.frozen_service().values()] == [2, 1]
    assert whole.batches == {("a", 1, "limit"): 2}
    assert np.array(lanes[0].latency.counts).sum() == 1
