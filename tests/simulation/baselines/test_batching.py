import pytest

from cascade.scheduling.messages import Arrived, Priority
from cascade.simulation.baselines.batching import Queued, largest_batch, n_forcing_small

UPPER_MS = [0.0, 3.0, 4.0, 5.0, 6.0]


def waiting(*deadlines_ms):
    return [Queued(Arrived(i, deadline_ms), i) for i, deadline_ms in enumerate(deadlines_ms)]


@pytest.mark.parametrize(("left_ms", "n"), [(3.0, 1), (4.9, 2), (5.0, 3), (60.0, 4)])
def test_a_batch_is_as_large_as_the_most_urgent_request_has_time_for(left_ms, n):
    assert largest_batch(waiting(100.0 + left_ms, *[500.0] * 6), UPPER_MS, 100.0) == n


def test_a_batch_is_no_larger_than_there_are_requests():
    assert largest_batch(waiting(50.0, 50.0), UPPER_MS, 0.0) == 2


def test_a_request_of_a_lower_class_bounds_the_batch_by_its_own_deadline():
    assert largest_batch(waiting(50.0, 50.0, 4.5, 50.0), UPPER_MS, 0.0) == 2


def test_heads_go_that_force_a_batch_smaller_than_wanted():
    assert n_forcing_small(waiting(3.5, 4.5, 20.0, 20.0, 20.0, 20.0), UPPER_MS, 4, 0.0) == 2
    assert n_forcing_small(waiting(3.5, 4.5, 20.0, 20.0, 20.0, 20.0), UPPER_MS, 2, 0.0) == 1


def test_a_batch_of_all_who_are_left_is_large_enough():
    assert n_forcing_small(waiting(3.5, 4.5, 4.5), UPPER_MS, 4, 0.0) == 1


def test_no_head_goes_that_has_time_for_all_who_wait():
    assert n_forcing_small(waiting(4.5, 4.5), UPPER_MS, 4, 0.0) == 0


def test_requests_stand_in_the_order_of_class_then_deadline_then_arrival():
    late = Queued(Arrived(0, 9.0, Priority.INTERACTIVE), 1)
    soon = Queued(Arrived(1, 5.0, Priority.NORMAL), 2)
    sooner = Queued(Arrived(2, 5.0, Priority.INTERACTIVE), 3)
    again = Queued(Arrived(3, 5.0, Priority.INTERACTIVE), 4)
    assert [item.request for item in sorted([soon, again, late, sooner])] == [2, 3, 0, 1]
