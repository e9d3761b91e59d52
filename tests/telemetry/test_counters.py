import pytest

from cascade.core.records import Prediction, Status
from cascade.telemetry.counters import Counters
from cascade.telemetry.stats import LoadNow


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


def test_requests_without_an_answer_are_counted_by_why():
    counters = Counters()
    for n, reason in enumerate(("rejected", "expired", "shed", "cancelled", "failed"), start=1):
        for _ in range(n):
            counters.count_unanswered(reason)
    stats = counters.snapshot()
    assert (stats.n_rejected, stats.n_expired, stats.n_shed, stats.n_cancelled, stats.n_failed) == (1, 2, 3, 4, 5)


def test_attainment_counts_every_request_but_those_that_nobody_wanted():
    counters = Counters()
    counters.count_answer(answered())
    counters.count_answer(answered(in_time=False))
    counters.count_unanswered("rejected")
    counters.count_unanswered("failed")
    counters.count_unanswered("cancelled")
    assert counters.snapshot().slo_attainment == 0.25
    assert Counters().snapshot().slo_attainment == 1.0


def test_strict_answers_that_come_late_are_missed():
    counters = Counters()
    for in_time in (True, True, False, True):
        counters.count_strict(in_time=in_time)
    assert counters.snapshot().strict_miss_rate == 0.25
    assert Counters().snapshot().strict_miss_rate == 0.0


def test_counters_are_added_up():
    parts = [Counters(), Counters()]
    for counters, latency_ms in zip(parts, (2.0, 6.0), strict=True):
        counters.count_answer(answered(latency_ms=latency_ms, wait_ms=1.0))
        counters.count_batch({("a",): 3}, {"degraded": 3}, 1)
        counters.count_fault("a")
        counters.count_unanswered("shed")
        counters.count_certified(1)
    stats = Counters.total(parts).snapshot()
    assert (stats.n_requests, stats.n_in_time, stats.n_shed, stats.n_certified) == (8, 4, 2, 2)
    assert (stats.mean_latency_ms, stats.max_latency_ms, stats.mean_queue_wait_ms) == (4.0, 6.0, 1.0)
    assert (dict(stats.path_counts), dict(stats.n_faults)) == ({("a",): 8}, {"a": 2})
    assert dict(stats.n_by_status) == {"answered": 2, "degraded": 6}
    # The parts are what they were.
    assert parts[0].snapshot().n_requests == 4


def test_how_things_stand_is_part_of_the_snapshot():
    load = LoadNow(3, 0.25, {"a": (1.5, 1.0)}, 0.4)
    stats = Counters().snapshot(load)
    assert (stats.n_waiting, stats.price, dict(stats.slowdown), stats.wake_late_ms) == (3, 0.25, {"a": (1.5, 1.0)}, 0.4)


def test_a_renewed_lock_is_free():
    counters = Counters()
    counters.lock.acquire()
    counters.renew()
    assert counters.lock.acquire(False)
