import numpy as np
import pytest

from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, PolicyMismatch
from cascade.scheduling.messages import Priority
from cascade.simulation.clients import closed_loop
from cascade.simulation.service_times import SlowDown
from cascade.simulation.simulate import simulate
from cascade.simulation.workloads import poisson


def ladder(n=400):
    """A chain of a quick model, right seven times of ten, and a slow one that is always right."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    right = rng.random(n) < 0.7
    small = np.where(right, labels, 1 - labels)
    sure = np.where(right, rng.uniform(0.7, 1.0, n), rng.uniform(0.5, 0.8, n))
    outcomes = Outcomes.from_predictions(
        np.stack([small, labels], axis=1), np.stack([sure, np.full(n, 0.95)], axis=1), labels, stages=["small", "big"]
    )
    return Policy.from_thresholds([0.8], ServiceTable.from_costs([1.0, 5.0], stages=["small", "big"])), outcomes


@pytest.mark.slow
def test_without_load_every_request_takes_the_path_of_the_policy():
    policy, outcomes = ladder()
    workload = poisson(2.0, 50_000.0, n_items=400, budget_ms=1000.0, seed=1)
    report = simulate(policy, outcomes, workload, jitter=0.0, progress=False)
    replay = policy.replay(outcomes.take(workload.item))
    assert report.slo_attainment == 1.0
    assert report.effective_accuracy == replay.accuracy
    assert np.mean(report.evidence_set == 3) == replay.path_counts["small", "big"] / len(workload.item)
    alone = np.concatenate([[True], np.diff(report.arrival_ms) > 7.0])
    assert np.allclose(report.latency_ms[alone], replay.time_ms[alone])


def test_the_same_seed_gives_the_same_report_and_another_other_times():
    policy, outcomes = ladder()
    workload = poisson(150.0, 1000.0, n_items=400, budget_ms=40.0)
    one, same, other = (
        simulate(policy, outcomes, workload, jitter=0.2, seed=seed, progress=False) for seed in (1, 1, 2)
    )
    assert one.end_ms.tolist() == same.end_ms.tolist() != other.end_ms.tolist()


def test_times_of_another_machine_are_what_batches_take():
    policy, outcomes = ladder()
    workload = poisson(2.0, 20_000.0, n_items=400, budget_ms=1000.0)
    slow = ServiceTable.from_costs([3.0, 15.0], stages=["small", "big"])
    report = simulate(policy, outcomes, workload, service=slow, jitter=0.0, progress=False)
    assert set(np.round(report.runs.took_ms / report.runs.size, 9)) == {3.0, 15.0}


def test_more_lanes_answer_more_in_time():
    policy, outcomes = ladder()
    workload = poisson(800.0, 500.0, n_items=400, budget_ms=20.0)
    reports = [simulate(policy, outcomes, workload, n_lanes=n, progress=False) for n in (1, 3)]
    assert reports[0].effective_accuracy < reports[1].effective_accuracy
    assert set(reports[1].runs.lane.tolist()) == {0, 1, 2}


def test_no_batch_is_larger_than_the_limit():
    policy, outcomes = ladder()
    workload = poisson(2000.0, 300.0, n_items=400, budget_ms=50.0)
    assert simulate(policy, outcomes, workload, max_batch=3, progress=False).runs.size.max() == 3


def test_a_slow_period_shows_in_the_latencies_of_its_time():
    policy, outcomes = ladder()
    workload = poisson(50.0, 3000.0, n_items=400, budget_ms=500.0)
    hot = SlowDown(1000.0, 2000.0, 4.0)
    report = simulate(policy, outcomes, workload, slowdowns=[hot], jitter=0.0, progress=False)
    within = (report.arrival_ms >= 1000.0) & (report.arrival_ms < 1900.0)
    assert report.latency_ms[within].mean() > 3.0 * report.latency_ms[report.arrival_ms < 900.0].mean()


def test_clients_and_classes_are_served_too():
    policy, outcomes = ladder()
    mixed = {Priority.INTERACTIVE: 0.5, Priority.BACKGROUND: 0.5}
    clients = closed_loop(3, 5.0, 300, n_items=400, budget_ms=50.0, priority=mixed)
    report = simulate(policy, outcomes, clients, progress=False)
    assert report.n_requests == 300
    assert set(report.by_priority()) == set(mixed)


def test_what_does_not_fit_together_is_an_error():
    policy, outcomes = ladder()
    workload = poisson(50.0, 300.0, n_items=500, budget_ms=50.0, seed=1)
    with pytest.raises(ConfigurationError, match="draw it with n_items=400"):
        simulate(policy, outcomes, workload, progress=False)
    with pytest.raises(PolicyMismatch):
        simulate(policy, Outcomes.from_probs([[[0.5, 0.5]]], [0]), workload, progress=False)
    with pytest.raises(ConfigurationError, match="headroom"):
        simulate(policy, outcomes, workload, headroom=0.0, progress=False)
