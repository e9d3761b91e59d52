import numpy as np
import pytest
from harness.price_path import N_PRICES, Pooled, most_accurate_within, neighbours_at, price_paths

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable

COST = np.array([8.0, 5.0, 4.0, 1.0])
ACCURACY = np.array([0.90, 0.91, 0.80, 0.60])


def test_the_point_picked_within_a_cost_is_the_most_accurate_one_and_not_the_dearest():
    assert most_accurate_within(COST, ACCURACY, 9.0) == 1


def test_nothing_is_picked_below_the_cheapest_point():
    assert most_accurate_within(COST, ACCURACY, 0.5) is None
    assert neighbours_at(COST, ACCURACY, 0.5) is None


def test_two_neighbours_are_mixed_so_that_the_cost_is_kept_exactly():
    low, high, share = neighbours_at(COST, ACCURACY, 2.0)
    assert (low, high) == (3, 2)
    assert (1 - share) * COST[low] + share * COST[high] == pytest.approx(2.0)


def test_above_the_dearest_point_the_most_accurate_one_takes_all_items():
    assert neighbours_at(COST, ACCURACY, 20.0) == (1, 1, 0.0)


def test_of_several_pairs_around_a_cost_the_more_accurate_is_mixed():
    cost, accuracy = np.array([1.0, 3.0, 1.0]), np.array([0.5, 0.9, 0.7])
    assert neighbours_at(cost, accuracy, 2.0) == (2, 1, 0.5)


@pytest.fixture(scope="module")
def fitted():
    """A policy over two models, and what it was fitted on."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    logits = rng.standard_normal((600, 2, 3))
    logits[np.arange(600), :, labels] += [1.0, 3.0]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    outcomes = Outcomes.from_probs(probs, labels)
    return fit_policy(outcomes, ServiceTable.from_costs(COSTS)), outcomes


COSTS = np.array([1.0, 4.0])


@pytest.mark.slow
def test_the_path_runs_from_every_model_to_the_cheapest_one_in_small_steps(fitted):
    policy, outcomes = fitted
    path, again = price_paths(policy, outcomes, outcomes, COSTS)
    assert path.mean_cost[-1] == pytest.approx(1.0)
    assert path.mean_cost[0] > 3.0
    assert len(path.mean_cost) > N_PRICES
    assert np.array_equal(path.correct, again.correct)


@pytest.mark.slow
@pytest.mark.parametrize("price", [1e-4, 0.02, 0.1, 3.0])
def test_what_was_pooled_once_gives_what_replay_gives(fitted, price):
    policy, outcomes = fitted
    replay = policy.replay(outcomes, price=price)
    correct, cost = Pooled.over(policy, outcomes, COSTS).under(policy.table(price=price))
    assert np.array_equal(correct, replay.correct)
    assert cost == pytest.approx(replay.cost)
