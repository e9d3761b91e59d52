"""Service times in the form the decisions are solved for, and the classes of time left."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core.service import ServiceTable
from cascade.core.times import first_fitting_class, landing_classes, stage_times, time_classes

TABLE = ServiceTable(
    stages=("small", "big"),
    batch_sizes=(1, 8),
    mean_ms=np.array([[1.0, 4.0], [10.0, 40.0]]),
    quantile_ms=np.array([[[1.0, 4.0], [9.0, 36.0]], [[2.0, 6.0], [20.0, 60.0]]]),
    levels=(0.5, 0.99),
    costs=np.array([0.1, 0.5]),
)


def test_the_mean_is_for_one_item_and_the_rest_for_the_whole_batch():
    times = stage_times(TABLE, 8, 0.99, 0.0)
    assert times.mean_ms.tolist() == [0.5, 5.0]
    assert times.upper_ms.tolist() == [6.0, 60.0]
    assert times.atoms_ms @ times.weights == pytest.approx([4.0, 40.0])


def test_the_cheapest_comes_first_by_time_then_by_cost():
    service = ServiceTable.from_costs([3.0, 2.0, 9.0], time_ms=[2.0, 2.0, 1.0])
    assert stage_times(service, 1, 0.99, 0.0).cheapest_first == [2, 1, 0]


def test_time_left_falls_into_the_class_whose_lower_end_it_reaches():
    edges = np.array([0.0, 1.0, 2.5, np.inf])
    left = [-3.0, 0.0, 0.5, 1.0, 1.0 - 1e-12, 2.4, 2.5, 1e9, np.inf]
    assert time_classes(edges, np.array(left)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3]


def test_a_sum_that_rounds_down_still_reaches_its_class():
    edges = np.array([0.0, 0.1 + 0.2, np.inf])
    assert time_classes(edges, 0.3) == 1


def test_a_stage_fits_from_the_class_on_that_holds_its_upper_quantile():
    times = stage_times(TABLE, 1, 0.99, 0.0)
    assert first_fitting_class(times, np.array([0.0, 2.0, 19.9, 20.0, np.inf])).tolist() == [1, 3]
    assert first_fitting_class(times, np.array([0.0, 2.0, np.inf])).tolist() == [1, 2]


def test_after_a_stage_the_time_left_is_less_by_each_atom():
    times = stage_times(ServiceTable.from_costs([1.0, 2.0]), 1, 0.99, 0.0)
    edges = np.array([0.0, 1.0, 2.0, 3.0, np.inf])
    landing = landing_classes(times, edges)
    assert landing.shape == (2, 3, 5)
    assert landing[0, 0].tolist() == [0, 0, 1, 2, 4]
    assert landing[1, 2].tolist() == [0, 0, 0, 1, 4]
