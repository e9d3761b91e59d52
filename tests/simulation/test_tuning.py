import numpy as np
import pytest

from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.simulation.clients import closed_loop
from cascade.simulation.settings import Setting
from cascade.simulation.simulate import simulate
from cascade.simulation.tuning import tune_serving
from cascade.simulation.workloads import poisson


def ladder(n=200):
    """A quick model that is right three times of four and unsure where it is wrong, and a slow one that is always right."""
    labels = np.arange(n) % 2
    right = np.arange(n) % 4 != 0
    small = np.where(right, labels, 1 - labels)
    sure = np.where(right, 0.9, 0.6)
    outcomes = Outcomes.from_predictions(
        np.stack([small, labels], axis=1), np.stack([sure, np.full(n, 0.95)], axis=1), labels, stages=["small", "big"]
    )
    sizes, mean_ms = (1, 64), np.array([[1.0, 10.0], [5.0, 40.0]])
    service = ServiceTable(
        stages=("small", "big"),
        batch_sizes=sizes,
        mean_ms=mean_ms,
        quantile_ms=np.broadcast_to(mean_ms * 1.1, (1, 2, 2)),
        levels=(0.99,),
        costs=[1.0, 5.0],
    )
    return Policy.from_thresholds([0.8], service), outcomes


def tuned(rate_rps, **options):
    policy, outcomes = ladder()
    workload = poisson(rate_rps, 600.0, n_items=200, budget_ms=40.0, seed=2)
    knobs = {"lanes": (1, 2), "max_batches": (1, 16), "headrooms": (0.8,), "progress": False, **options}
    return tune_serving(policy, outcomes, workload, **knobs)


@pytest.mark.slow
def test_under_little_load_one_lane_is_enough():
    tuning = tuned(200.0)
    # All are right and in time: one lane is enough, and joined batches wait less.
    assert tuning.chosen == Setting(1, 16, 0.8)
    assert tuning.attains
    assert len(tuning.tried) == 4


@pytest.mark.slow
def test_under_much_load_it_takes_lanes_and_batches():
    tuning = tuned(3000.0)
    assert (tuning.n_lanes, tuning.max_batch) == (2, 16)
    assert next(row for row in tuning.tried if row.setting == Setting(1, 1, 0.8)).behind > 0.1


def test_another_lane_is_taken_where_it_gains_more_than_chance():
    tuning = tuned(500.0, max_batches=(1,), n_repeats=1)
    assert [row.attains for row in tuning.tried] == [True, True]
    assert tuning.tried[1].behind > tuning.tried[1].behind_error > 0.0
    assert tuning.n_lanes == 2


def test_what_is_shown_of_a_setting_is_what_its_simulations_give():
    policy, outcomes = ladder()
    workload = poisson(300.0, 1000.0, n_items=200, budget_ms=40.0, seed=2)
    knobs = {"n_lanes": 1, "max_batch": 4, "headroom": 0.9, "jitter": 0.3}
    tuning = tune_serving(
        policy, outcomes, workload, lanes=[1], max_batches=[4], headrooms=[0.9], jitter=0.3, seed=5, progress=False
    )
    reports = [simulate(policy, outcomes, workload, **knobs, seed=seed, progress=False) for seed in (5, 6)]
    (row,) = tuning.tried
    assert row.effective_accuracy == np.mean([report.effective_accuracy for report in reports])
    assert row.slo_attainment == np.mean([report.slo_attainment for report in reports])
    assert row.p99_ms == max(report.latency_quantile_ms(0.99) for report in reports)
    assert (row.behind, row.behind_error) == (0.0, 0.0)


@pytest.mark.slow
def test_where_no_setting_attains_enough_the_one_that_attains_most_is_chosen():
    tuning = tuned(9000.0, min_attainment=1.0, lanes=(1,), max_batches=(1, 16), n_repeats=1)
    assert not tuning.attains
    assert tuning.chosen.max_batch == 16
    assert max(row.slo_attainment for row in tuning.tried) == tuning.tried[0].slo_attainment


def test_a_given_slo_replaces_the_budgets_of_the_workload():
    tight = tuned(100.0, slo_ms=0.5, lanes=(1,), max_batches=(1,), n_repeats=1)
    assert tight.tried[0].slo_attainment == 0.0
    assert tuned(100.0, slo_ms=60.0, lanes=(1,), max_batches=(1,), n_repeats=1).tried[0].slo_attainment > 0.9


def test_clients_can_be_tuned_for():
    policy, outcomes = ladder()
    clients = closed_loop(4, 10.0, 100, n_items=200, budget_ms=60.0)
    tuning = tune_serving(
        policy, outcomes, clients, lanes=[1], max_batches=[8], headrooms=[0.7, 0.9], n_repeats=1, progress=False
    )
    assert {row.setting.headroom for row in tuning.tried} == {0.7, 0.9}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_attainment": 1.5}, "min_attainment in"),
        ({"slo_ms": 0.0}, "slo_ms above 0"),
        ({"n_repeats": 0}, "n_repeats of at least 1"),
        ({"headrooms": ()}, "at least one value each"),
    ],
)
def test_numbers_outside_their_range_are_errors(options, message):
    with pytest.raises(ConfigurationError, match=message):
        tuned(10.0, **options)
