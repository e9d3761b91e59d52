import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cascade.cli.budgets import largest_that_fits, telling_budgets
from cascade.core.service import ServiceTable

times_ms = st.lists(st.floats(0.001, 100.0), min_size=2, max_size=6)


@given(times_ms)
def test_no_budget_is_below_the_fastest_stage_and_the_last_allows_all(costs):
    budgets_ms = telling_budgets(ServiceTable.from_costs(costs))
    assert budgets_ms[0] >= min(costs)
    assert budgets_ms[-1] >= sum(costs)
    assert budgets_ms == sorted(set(budgets_ms))


def test_four_stages_apart_give_six_budgets():
    assert len(telling_budgets(ServiceTable.from_costs([0.01, 0.1, 0.2, 1.0]))) == 6


def test_the_order_of_the_stages_does_not_matter():
    costs = [0.3, 7.0, 2.0]
    assert telling_budgets(ServiceTable.from_costs(costs)) == telling_budgets(ServiceTable.from_costs(costs[::-1]))


def test_a_stage_whose_quantile_is_above_the_budget_does_not_fit():
    quantile_ms = np.array([[[1.0], [2.0]], [[1.0], [2.0]], [[1.2], [6.0]], [[1.5], [8.0]]])
    service = ServiceTable(
        stages=None, batch_sizes=(1,), mean_ms=[[1.0], [2.0]], quantile_ms=quantile_ms, costs=[1.0, 2.0]
    )
    assert largest_that_fits(service, 5.0) == 0
    assert largest_that_fits(service, 6.0) == 1
