"""Service times by batch size, as lists and as straight lines."""

import numpy as np
import pytest

from cascade.core.service import ServiceTable
from cascade.scheduling.service_times import Times


@pytest.fixture(scope="module")
def times(linear):
    """The small stage takes 1 + n, the large one 2 + 4 n, at most 1.5 times that; batches up to 6, which was not profiled."""
    return Times(linear([(1.0, 1.0), (2.0, 4.0)], ("small", "large")), 0.99, 6)


def test_lists_are_read_by_stage_and_number_of_rows_none_of_which_take_no_time(times):
    assert times.n_stages == 2
    assert times.mean_ms == [[0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.0, 6.0, 10.0, 14.0, 18.0, 22.0, 26.0]]
    assert times.upper_ms == [[0.0, 3.0, 4.5, 6.0, 7.5, 9.0, 10.5], [0.0, 9.0, 15.0, 21.0, 27.0, 33.0, 39.0]]


def test_arrays_hold_the_same(times):
    assert times.means.tolist() == times.mean_ms
    assert times.uppers.tolist() == times.upper_ms


def test_straight_lines_give_what_a_run_takes_and_what_a_row_adds(times):
    assert times.fixed_ms == pytest.approx([1.0, 2.0])
    assert times.each_ms == pytest.approx([1.0, 4.0])


def test_a_line_never_begins_below_nothing():
    mean_ms = np.array([[1.0, 10.0]])
    table = ServiceTable(
        stages=None, batch_sizes=(1, 4), mean_ms=mean_ms, quantile_ms=mean_ms[None], levels=(0.99,), costs=[1.0]
    )
    times = Times(table, 0.99, 4)
    assert times.each_ms == pytest.approx([3.0])
    assert times.fixed_ms.tolist() == [0.0]


def test_with_batches_of_one_a_run_costs_what_its_row_does(linear):
    times = Times(linear([(1.0, 1.0)], ("small",)), 0.99, 1)
    assert (times.fixed_ms.tolist(), times.each_ms.tolist()) == ([0.0], [2.0])


@pytest.mark.parametrize(("n", "mean_ms", "upper_ms"), [(1, 6.0, 9.0), (6, 26.0, 39.0), (12, 52.0, 78.0)])
def test_beyond_the_limit_time_grows_in_proportion(times, n, mean_ms, upper_ms):
    assert times.mean_of(1, n) == pytest.approx(mean_ms)
    assert times.upper_of(1, n) == pytest.approx(upper_ms)


def test_the_upper_quantile_is_read_at_the_level_asked_for():
    table = ServiceTable(
        stages=None,
        batch_sizes=(1,),
        mean_ms=[[2.0]],
        quantile_ms=[[[1.0]], [[9.0]]],
        levels=(0.5, 0.99),
        costs=[1.0],
    )
    assert Times(table, 0.5, 1).upper_ms == [[0.0, 1.0]]
    assert Times(table, 0.99, 1).upper_ms == [[0.0, 9.0]]
