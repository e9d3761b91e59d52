import pytest

from cascade.core.records import Prediction, Status
from cascade.telemetry.counters import Counters


def answered(path=("a",), status=Status.ANSWERED, *, in_time=True, latency_ms=2.0, wait_ms=0.0):
    return Prediction(0, None, 0.9, path, status, 5.0, latency_ms, wait_ms, in_time)


def test_before_the_first_answer_everything_is_zero_and_in_time():
    stats = Counters().snapshot()
    assert (stats.n_requests, stats.mean_latency_ms, stats.in_time_share) == (0, 0.0, 1.0)


def test_answers_are_counted_by_path_and_status():
    counters = Counters()
    counters.count_answer(answered(wait_ms=0.5))
    counters.count_answer(answered(("a", "b"), Status.DEGRADED, in_time=False, latency_ms=4.0, wait_ms=1.5))
    stats = counters.snapshot()
    assert dict(stats.path_counts) == {("a",): 1, ("a", "b"): 1}
    assert dict(stats.n_by_status) == {"answered": 1, "degraded": 1}
    assert (stats.n_in_time, stats.in_time_share) == (1, 0.5)
    assert (stats.mean_latency_ms, stats.max_latency_ms, stats.mean_queue_wait_ms) == (3.0, 4.0, 1.0)


def test_batches_count_their_rows_and_leave_the_latency_of_single_items_alone():
    counters = Counters()
    counters.count_answer(answered())
    counters.count_batch({("a",): 3, ("a", "b"): 1}, {"answered": 4}, 4)
    stats = counters.snapshot()
    assert (stats.n_requests, stats.n_in_time, stats.path_counts["a",]) == (5, 5, 4)
    assert dict(stats.n_by_status) == {"answered": 5}
    assert stats.mean_latency_ms == 2.0


def test_faults_are_counted_by_stage():
    counters = Counters()
    counters.count_fault("a")
    counters.count_fault("a")
    assert dict(counters.snapshot().n_faults) == {"a": 2}


def test_a_snapshot_does_not_change_afterwards():
    counters = Counters()
    before = counters.snapshot()
    counters.count_fault("a")
    assert not before.n_faults
    with pytest.raises(TypeError):
        before.n_faults["a"] = 1
