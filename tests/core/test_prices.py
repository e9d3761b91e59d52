"""The grid of prices, the audit of expectations, and the price without load."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cascade.core.prices import audited, price_grid, unloaded
from cascade.core.service import ServiceTable
from cascade.core.times import stage_times


def times_of(time_ms):
    return stage_times(ServiceTable.from_costs(np.ones(len(time_ms)), time_ms=time_ms), 1, 0.99, 0.0)


def test_the_grid_spans_from_a_free_longest_stage_to_a_shortest_one_that_never_pays():
    grid = price_grid(times_of([2.0, 50.0]))
    assert grid[0] * 50.0 == pytest.approx(1e-5)
    assert grid[-1] * 2.0 == pytest.approx(2.0)
    assert np.all(np.diff(grid) > 0.0)


def test_stages_that_take_no_time_have_a_grid_all_the_same():
    assert np.all(np.isfinite(price_grid(times_of([0.0, 0.0]))))
    assert price_grid(times_of([0.0, 4.0]))[-1] == pytest.approx(0.5)


def test_an_audit_reads_between_what_was_shown_and_keeps_the_gap_beyond():
    audit = np.array([[0.8, 0.9], [0.79, 0.87]])
    assert audited(audit, np.array([0.8, 0.85, 0.9])) == pytest.approx([0.79, 0.83, 0.87])
    assert audited(audit, np.array([0.7, 0.95])) == pytest.approx([0.69, 0.92])
    assert audited(audit, 1.5) == 1.0


def test_without_an_audit_the_expectation_stands():
    assert audited(np.zeros((2, 0)), 0.8) == 0.8


def test_the_unloaded_price_is_the_largest_that_loses_no_more_than_allowed():
    accuracy = np.array([[0.90], [0.899], [0.89], [0.7]])
    assert [unloaded(accuracy, drop).rows[0] for drop in (0.0, 0.001, 0.005, 0.02, 1.0)] == [0, 1, 1, 2, 3]


def test_more_time_never_costs_what_was_reached_with_less():
    accuracy = np.array([[0.80, 0.90], [0.80, 0.895], [0.80, 0.79]])
    assert unloaded(accuracy, 0.2).rows.tolist() == [2, 1]


@given(
    accuracy=arrays.arrays(float, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(0.0, 1.0)),
    drop=st.floats(0.0, 1.0),
)
def test_what_is_reached_never_falls_with_time(accuracy, drop):
    reached = unloaded(accuracy, drop)
    assert np.all(np.diff(reached.accuracy) >= 0.0)
    chosen = accuracy[reached.rows, np.arange(accuracy.shape[1])]
    assert np.all(chosen >= accuracy.max(axis=0) - drop - 1e-9)
