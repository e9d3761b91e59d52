import pytest
from harness.live_ladder import Ran, as_measured

from cascade.core.service import ServiceTable

SERVICE = ServiceTable.from_costs([1.0, 4.0])


def test_times_are_stretched_by_what_batches_took_over_what_was_profiled():
    ran = [Ran(0, 2, 0.0, 3.0), Ran(1, 1, 100.0, 106.0)]
    table, differs = as_measured(SERVICE, ran)
    assert differs == {"measured_over_profiled": 1.5, "between_ms": 0.0}
    assert table.mean_at(1, 2) == pytest.approx(12.0)
    assert table.quantile_at(1, 2, 0.99) == pytest.approx(12.0)


def test_the_time_between_batches_that_follow_at_once_is_added_to_each():
    ran = [Ran(0, 4, 0.0, 4.0), Ran(0, 4, 4.5, 8.5), Ran(0, 4, 9.0, 13.0), Ran(0, 4, 63.0, 67.0)]
    table, differs = as_measured(SERVICE, ran)
    assert differs["between_ms"] == 0.5
    assert table.mean_at(0, 1) == pytest.approx(1.5)
