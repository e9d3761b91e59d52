"""The grid of plain thresholds: equal to walking every item through every chain, whatever the shape of the grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.calibration.threshold_grid import threshold_grid
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, PolicyMismatch

SERVICE = ServiceTable.from_costs([1.0, 3.1, 7.7], time_ms=[0.3, 2.0, 9.1], stages=["a", "b", "c"])


def outcomes_of(n=200, k=3, seed=0, digits=2, stages=("a", "b", "c")):
    """Stages that say a label and a confidence with many ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    right = rng.random((n, k)) < np.linspace(0.5, 0.9, k)
    said = np.where(right, labels[:, None], (labels[:, None] + 1) % 3)
    trust = np.round(np.clip(0.3 * right + 0.7 * rng.random((n, k)), 0.0, 1.0), digits)
    return Outcomes.from_predictions(said, trust, labels, stages=stages[:k] if k <= 3 else None)


def walked(outcomes, service, names, thresholds):
    """One setting, item by item: accuracy, mean cost, mean time."""
    at = [outcomes.stages.index(name) for name in names]
    n_right, n_asked = 0, np.zeros(len(at), np.int64)
    for i in range(outcomes.n_items):
        for step, (stage, threshold) in enumerate(zip(at, (*thresholds, -np.inf), strict=True)):
            n_asked[step] += 1
            if outcomes.confidence[i, stage] >= threshold:
                n_right += int(outcomes.correct[i, stage])
                break
    cost, time_ms = 0.0, 0.0
    for asked, stage in zip(n_asked, at, strict=True):
        cost, time_ms = cost + asked * service.costs[stage], time_ms + asked * service.mean_at(stage, 1)
    n = outcomes.n_items
    return n_right / n, cost / n, time_ms / n


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "a"), ("b", "c", "a"), ("b",)])
def test_every_setting_is_exactly_what_walking_the_items_gives(names):
    outcomes = outcomes_of(n=60)
    grid = threshold_grid(outcomes, SERVICE, n_thresholds=4, order=names)
    assert grid.order == names
    assert len(grid.accuracy) == 4 ** (len(names) - 1)
    for index, setting in enumerate(grid.settings):
        found = grid.accuracy[index], grid.mean_cost[index], grid.mean_ms[index]
        assert found == walked(outcomes, SERVICE, names, setting)
        assert grid.setting(index) == tuple(setting)


@pytest.mark.slow
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 5),
    levels=st.lists(st.floats(-0.1, 1.1), min_size=1, max_size=6),
    digits=st.integers(1, 3),
)
def test_random_grids_are_exact_on_random_settings(seed, k, levels, digits):
    outcomes = outcomes_of(n=30, k=k, seed=seed, digits=digits)
    rng = np.random.default_rng(seed)
    service = ServiceTable.from_costs(rng.random(k), stages=outcomes.stages)
    grid = threshold_grid(outcomes, service, levels)
    for index in rng.integers(0, len(grid.accuracy), 3):
        found = grid.accuracy[index], grid.mean_cost[index], grid.mean_ms[index]
        assert found == walked(outcomes, service, outcomes.stages, grid.setting(int(index)))


def test_a_chain_with_these_thresholds_replays_the_same():
    outcomes = outcomes_of(n=500)
    grid = threshold_grid(outcomes, SERVICE, [[0.405, 0.615, 0.905], [0.355, 0.755, 0.995]])
    for index in range(9):
        done = Policy.from_thresholds(grid.setting(index), SERVICE).replay(outcomes)
        assert (done.accuracy, done.mean_cost, done.mean_ms) == pytest.approx(
            (grid.accuracy[index], grid.mean_cost[index], grid.mean_ms[index])
        )


def test_by_default_thresholds_are_confidences_that_occur_from_the_lowest_to_the_highest():
    outcomes = outcomes_of()
    grid = threshold_grid(outcomes, SERVICE, n_thresholds=7)
    assert grid.thresholds.shape == (2, 7)
    for j in range(2):
        assert set(grid.thresholds[j]) <= set(outcomes.confidence[:, j])
        assert grid.thresholds[j, [0, -1]].tolist() == [
            outcomes.confidence[:, j].min(),
            outcomes.confidence[:, j].max(),
        ]


def test_thresholds_in_any_order_are_tried_in_ascending_order():
    grid = threshold_grid(outcomes_of(), SERVICE, [0.9, 0.2, 0.5])
    assert grid.thresholds.tolist() == [[0.2, 0.5, 0.9]] * 2
    assert np.all(np.diff(grid.mean_cost.reshape(3, 3), axis=0) >= 0.0)
    assert np.all(np.diff(grid.mean_cost.reshape(3, 3), axis=1) >= 0.0)


@pytest.mark.parametrize("by", ["cost", "ms"])
def test_no_setting_beats_one_of_the_front(by):
    grid = threshold_grid(outcomes_of(), SERVICE, n_thresholds=12)
    front = grid.pareto(by)
    taken = grid.mean_cost if by == "cost" else grid.mean_ms
    assert np.all(np.diff(grid.accuracy[front]) > 0.0)
    assert np.all(np.diff(taken[front]) > 0.0)
    for accuracy, amount in zip(grid.accuracy, taken, strict=True):
        assert np.any((grid.accuracy[front] >= accuracy) & (taken[front] <= amount))


@pytest.mark.parametrize(("max_cost", "max_ms"), [(3.0, np.inf), (np.inf, 4.0), (5.0, 2.0)])
def test_the_best_setting_within_limits_is_the_most_accurate_and_then_the_cheapest(max_cost, max_ms):
    grid = threshold_grid(outcomes_of(), SERVICE, n_thresholds=12)
    allowed = [
        (-accuracy, cost, ms)
        for accuracy, cost, ms in zip(grid.accuracy, grid.mean_cost, grid.mean_ms, strict=True)
        if cost <= max_cost and ms <= max_ms
    ]
    best = grid.best_within(max_cost, max_ms)
    assert (-grid.accuracy[best], grid.mean_cost[best], grid.mean_ms[best]) == min(allowed)


def test_a_limit_that_a_sum_meets_on_paper_is_met():
    outcomes = Outcomes.from_predictions([[0, 0]] * 3, [[0.5, 0.5]] * 3, [0, 0, 0])
    grid = threshold_grid(outcomes, ServiceTable.from_costs([0.1, 0.2]), [0.9])
    assert grid.best_within(max_cost=0.3) == 0


def test_within_less_than_the_first_stage_costs_there_is_no_setting():
    assert threshold_grid(outcomes_of(), SERVICE).best_within(max_cost=0.9) is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"order": ("a", "a")}, "expected order to name some of the stages"),
        ({"order": ("a", "x")}, "expected order to name some of the stages"),
        ({"order": ()}, "expected order to name some of the stages"),
        ({"thresholds": [[0.1]] * 3}, r"expected thresholds of shape (T,) or (2, T)"),
        ({"thresholds": []}, r"expected thresholds of shape (T,)"),
        ({"thresholds": [0.1, np.nan]}, "got NaN among them"),
        ({"n_thresholds": 0}, "expected n_thresholds of at least 1, got 0"),
        ({"n_thresholds": 5000}, "expected at most 20000000 settings, got 5000 thresholds for each of 2 stages"),
    ],
)
def test_a_grid_that_cannot_be_made_says_why(more, message):
    with pytest.raises(ConfigurationError) as caught:
        threshold_grid(outcomes_of(), SERVICE, **more)
    assert message in str(caught.value)


def test_an_exit_cannot_be_asked_before_the_one_it_goes_on_from():
    outcomes = outcomes_of()
    linked = Outcomes(**(outcomes._fields() | {"requires": (-1, 0, -1)}))
    assert threshold_grid(linked, SERVICE, order=("a", "b")).order == ("a", "b")
    with pytest.raises(ConfigurationError, match="expected stage 'a' before 'b', which goes on from it"):
        threshold_grid(linked, SERVICE, order=("b", "a"))


def test_service_times_of_other_stages_are_refused():
    with pytest.raises(PolicyMismatch):
        threshold_grid(outcomes_of(), ServiceTable.from_costs([1.0, 2.0]))


def test_unknown_axes_of_the_front_are_refused():
    with pytest.raises(ConfigurationError, match='expected by="cost" or by="ms", got'):
        threshold_grid(outcomes_of(), SERVICE).pareto("price")
