from itertools import product

import numpy as np
import pytest

from benchmarks.baselines.threshold_grid import Chain, best_chains, run_chain

COSTS = np.array([1.0, 3.0, 4.0])


@pytest.fixture
def items():
    """Whether three models are right about 120 items, and confidences with ties that tell a little about it."""
    rng = np.random.default_rng(0)
    correct = rng.random((120, 3)) < [0.6, 0.7, 0.9]
    confidence = np.round(np.clip(0.3 * correct + 0.7 * rng.random((120, 3)), 0.0, 1.0), 1)
    return correct, confidence


def test_a_chain_whose_thresholds_are_zero_is_its_first_model(items):
    correct, confidence = items
    accuracy, cost = run_chain(Chain((1, 0, 2), (0.0, 0.0)), correct, confidence, COSTS)
    assert accuracy == pytest.approx(correct[:, 1].mean())
    assert cost == pytest.approx(COSTS[1])


def test_a_chain_whose_thresholds_nothing_reaches_is_its_last_model_at_the_cost_of_all(items):
    correct, confidence = items
    accuracy, cost = run_chain(Chain((1, 0, 2), (1.1, 1.1)), correct, confidence, COSTS)
    assert accuracy == pytest.approx(correct[:, 2].mean())
    assert cost == pytest.approx(COSTS.sum())


def test_an_item_at_the_threshold_is_answered():
    correct, confidence = np.array([[True, False]]), np.array([[0.5, 0.5]])
    assert run_chain(Chain((0, 1), (0.5,)), correct, confidence, np.array([1.0, 2.0])) == (1.0, 1.0)


@pytest.mark.parametrize("limit", [1.0, 2.0, 3.5, 5.0, 8.0])
def test_the_chain_found_is_as_accurate_as_the_best_that_trying_all_of_them_finds(items, limit):
    correct, confidence = items
    (chain,) = best_chains(correct, confidence, COSTS, [limit], n_levels=200)
    levels = np.unique(confidence)
    orders = [(0,), (1,), (2,), *product(range(3), repeat=2), *product(range(3), repeat=3)]
    every = (
        run_chain(Chain(order, thresholds), correct, confidence, COSTS)
        for order in orders
        if len(set(order)) == len(order)
        for thresholds in product(levels, repeat=len(order) - 1)
    )
    accuracy, cost = run_chain(chain, correct, confidence, COSTS)
    assert cost <= limit + 1e-9
    assert accuracy == pytest.approx(max(found for found, spent in every if spent <= limit + 1e-9))


def test_no_chain_is_found_below_the_cost_of_the_cheapest_model(items):
    correct, confidence = items
    assert best_chains(correct, confidence, COSTS, [0.5, 1.0])[0] is None


def test_more_cost_never_finds_a_less_accurate_chain(items):
    correct, confidence = items
    chains = best_chains(correct, confidence, COSTS, [1.0, 2.0, 4.0, 8.0])
    accuracies = [run_chain(chain, correct, confidence, COSTS)[0] for chain in chains]
    assert accuracies == sorted(accuracies)
