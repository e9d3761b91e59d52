from itertools import permutations, product

import numpy as np
import pytest
from baselines.chains import Steps, best_within, chains_of_models, every_setting, points_of, run
from baselines.operating_points import Items
from baselines.uncertainty import own_score

COSTS = np.array([1.0, 3.0, 4.0])


@pytest.fixture
def items():
    """What three models say about 120 items, with confidences that have ties and tell a little about who is right."""
    rng = np.random.default_rng(0)
    correct = rng.random((120, 3)) < [0.6, 0.7, 0.9]
    confidence = np.round(np.clip(0.3 * correct + 0.7 * rng.random((120, 3)), 0.0, 1.0), 1)
    return Items(np.ones(120, int), correct.astype(int), confidence, None, None, 2)


def chains(items):
    return chains_of_models(items, own_score(items.confidence), COSTS)


def plain(items, order):
    return Steps(
        [items.correct[:, i] for i in order], [items.confidence[:, i] for i in order[:-1]], [COSTS[i] for i in order]
    )


def test_a_chain_whose_thresholds_are_zero_is_its_first_model(items):
    accuracy, cost = run(plain(items, (1, 0, 2)), (0.0, 0.0))
    assert accuracy == pytest.approx(items.correct[:, 1].mean())
    assert cost == pytest.approx(COSTS[1])


def test_a_chain_whose_thresholds_nothing_reaches_is_its_last_model_at_the_cost_of_all(items):
    accuracy, cost = run(plain(items, (1, 0, 2)), (1.1, 1.1))
    assert accuracy == pytest.approx(items.correct[:, 2].mean())
    assert cost == pytest.approx(COSTS.sum())


def test_an_item_at_the_threshold_is_answered():
    assert run(Steps([np.array([True]), np.array([False])], [np.array([0.5])], [1.0, 2.0]), (0.5,)) == (1.0, 1.0)


def test_every_setting_is_what_running_the_chain_with_it_gives(items):
    steps = plain(items, (2, 0, 1))
    settings = every_setting(steps)
    for flat in range(0, settings.accuracy.size, 7):
        ran = run(steps, settings.thresholds(flat))
        assert (settings.accuracy.flat[flat], settings.cost.flat[flat]) == pytest.approx(ran)


@pytest.mark.parametrize("limit", [1.0, 2.0, 3.5, 5.0, 8.0])
def test_the_chain_found_is_as_accurate_as_the_best_that_trying_all_of_them_finds(items, limit):
    searched = chains(items)
    (chain,) = best_within(searched, [limit])
    every = (
        run(plain(items, order), thresholds)
        for length in (1, 2, 3)
        for order in permutations(range(3), length)
        for thresholds in product(np.unique(items.confidence), repeat=length - 1)
    )
    accuracy, cost = run(searched[chain.number], chain.thresholds)
    assert cost <= limit + 1e-9
    assert accuracy == pytest.approx(max(found for found, spent in every if spent <= limit + 1e-9))


def test_no_chain_is_found_below_the_cost_of_the_cheapest_model(items):
    assert best_within(chains(items), [0.5, 1.0])[0] is None


def test_the_points_kept_lie_on_no_line_below_another_chain(items):
    points = points_of(chains(items), chains(items))
    assert points.cost == pytest.approx(points.seen_cost)
    assert points.accuracy == pytest.approx(points.seen_accuracy)
    for steps in chains(items):
        settings = every_setting(steps)
        above = np.interp(settings.cost, points.cost, points.accuracy) + 1e-9
        assert np.all(settings.accuracy <= above)
