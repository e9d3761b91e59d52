import numpy as np
import pytest
from harness.resnet_service import quietest
from harness.serving_cells import LOADS, Cell, all_cells, capacity_rps, few_cells, workload

from cascade.core.service import ServiceTable

SERVICE = ServiceTable.from_costs([1.0, 4.0])
TRACE_MS = np.cumsum(np.random.default_rng(0).exponential(180.0, 20_000))


@pytest.mark.parametrize("traffic", ["poisson", "mmpp", "azure"])
@pytest.mark.parametrize("load", [LOADS[0], LOADS[-1]])
def test_requests_arrive_at_the_load_times_what_the_largest_model_carries(traffic, load):
    offered = workload(Cell("50", traffic, load, False), SERVICE, 10, 0, TRACE_MS)
    assert offered.mean_rate_rps == pytest.approx(load * capacity_rps(SERVICE), rel=0.25)
    assert offered.n_requests >= 1800


def test_other_seeds_get_other_parts_of_the_trace():
    parts = [workload(Cell("50", "azure", 1.0, False), SERVICE, 10, seed, TRACE_MS) for seed in (0, 0, 1)]
    assert np.array_equal(parts[0].arrival_ms, parts[1].arrival_ms)
    assert not np.array_equal(parts[0].arrival_ms, parts[2].arrival_ms)


def test_mixed_requests_have_one_of_three_budgets_each():
    offered = workload(Cell("mixed", "poisson", 1.0, False), SERVICE, 10, 0, TRACE_MS)
    budgets, counts = np.unique(offered.budget_ms, return_counts=True)
    assert budgets.tolist() == [15.0, 50.0, 200.0]
    assert counts.min() > 0.28 * counts.sum()


def test_the_few_cells_are_some_of_all():
    assert set(few_cells()) <= set(all_cells())
    assert len(set(all_cells())) == len(all_cells()) == 252


def test_of_several_measurements_the_quietest_counts_and_no_name_of_the_machine_is_kept():
    def table(means):
        return ServiceTable(
            stages=None,
            batch_sizes=(1, 2),
            mean_ms=[means],
            quantile_ms=[[means]],
            levels=(0.99,),
            costs=means[:1],
            stamp={"node": "somewhere", "machine": "x86_64"},
        )

    found = quietest([table([1.0, 9.0]), table([2.0, 3.0])])
    assert found.mean_ms.tolist() == [[1.0, 3.0]]
    assert found.quantile_ms.tolist() == [[[1.0, 3.0]]]
    assert found.stamp == {"machine": "x86_64", "n_passes": 2}
