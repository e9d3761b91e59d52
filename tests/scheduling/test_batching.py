"""Which requests run together: as many as let every one be in time."""

import pytest

from cascade.scheduling.batching import closed_batch
from cascade.scheduling.messages import Priority

UPPER_MS = [0.0, 3.0, 4.5, 6.0, 7.5]


@pytest.fixture
def closed(item):
    """The batch of requests 0, 1, 2, ... with these deadlines, in this order, at an instant."""

    def of(deadlines_ms, limit=4, now_ms=0.0):
        items = [item(i, deadline_ms) for i, deadline_ms in enumerate(deadlines_ms)]
        batch, closed_by = closed_batch(items, UPPER_MS, limit, now_ms)
        return [one.request for one in batch], closed_by

    return of


def test_a_lone_request_runs_alone(closed):
    assert closed([100.0]) == ([0], "nobody else")


def test_all_run_together_if_all_are_in_time(closed):
    assert closed([7.5, 8.0, 8.0, 9.0]) == ([0, 1, 2, 3], "nobody else")


def test_no_more_run_together_than_the_limit(closed):
    assert closed([100.0, 100.0, 100.0], limit=2) == ([0, 1], "limit")
    assert closed([100.0, 100.0], limit=2) == ([0, 1], "nobody else")
    assert closed([100.0, 100.0], limit=1) == ([0], "limit")


def test_the_deadline_of_the_first_closes_the_batch(closed):
    assert closed([5.0, 100.0, 100.0]) == ([0, 1], "deadline")
    assert closed([4.5, 100.0, 100.0]) == ([0, 1], "deadline")
    assert closed([4.4, 100.0, 100.0]) == ([0], "deadline")


def test_deadlines_count_from_now(closed):
    assert closed([14.5, 100.0, 100.0], now_ms=10.0) == ([0, 1], "deadline")
    assert closed([14.4, 100.0, 100.0], now_ms=10.0) == ([0], "deadline")


def test_one_that_the_batch_would_make_late_stays_out_and_another_takes_its_place(closed):
    # A lower class goes later in spite of its deadline, so one with time may come behind one without.
    assert closed([100.0, 4.0, 100.0]) == ([0, 2], "deadline")


def test_one_of_a_lower_class_that_joined_is_not_made_late_by_the_next(closed):
    assert closed([100.0, 5.0, 100.0]) == ([0, 1], "deadline")


def test_the_first_runs_even_if_it_is_going_to_be_late(closed):
    assert closed([2.5, 2.6]) == ([0], "deadline")


def test_the_order_of_the_batch_is_that_of_service(item):
    items = [item(7, 50.0, priority=Priority.BACKGROUND), item(3, 40.0), item(5, 60.0)]
    batch, _ = closed_batch(items, UPPER_MS, 4, 0.0)
    assert [one.request for one in batch] == [7, 3, 5]
