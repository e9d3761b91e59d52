"""Equality by value."""

from __future__ import annotations

import numpy as np

from cascade.core.equality import equal_by_value
from cascade.core.induction import Statistics
from cascade.core.service import ServiceTable


def statistics(edge=0.5):
    return Statistics((-1,), np.full((2, 1), edge), np.zeros((2, 2)), np.zeros((2, 1, 2, 2), np.float32))


def test_records_of_arrays_are_compared_entry_by_entry():
    assert equal_by_value(statistics(), statistics())
    assert not equal_by_value(statistics(), statistics(edge=0.6))


def test_records_with_an_equality_of_their_own_are_asked():
    assert equal_by_value(ServiceTable.from_costs([1.0]), ServiceTable.from_costs([1.0]))
    assert not equal_by_value(ServiceTable.from_costs([1.0]), ServiceTable.from_costs([2.0]))


def test_types_and_dtypes_count():
    assert not equal_by_value(1, 1.0)
    assert not equal_by_value(np.zeros(2), np.zeros(2, np.float32))
    assert not equal_by_value(np.zeros(2), np.zeros(3))
    assert not equal_by_value(None, statistics())
