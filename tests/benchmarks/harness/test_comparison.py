import numpy as np
import pytest
from baselines.operating_points import OperatingPoints
from harness.comparison import FREE, LOOKING_AT_INPUTS, OURS, costs_between, items_of, matched, peers_at, split_of
from harness.datasets import digits
from harness.standing import standings, verdict


def test_methods_are_compared_at_the_cost_they_have_on_the_half_that_serves():
    points = OperatingPoints(np.array([1.0, 2.0]), np.array([0.5, 0.7]), np.array([2.0, 4.0]), np.array([0.6, 0.8]))
    assert matched(points, [1.5, 3.0, 9.0]) == pytest.approx([np.nan, 0.7, 0.8], nan_ok=True)


def test_costs_run_from_the_cheapest_model_to_the_dearest_with_the_others_among_them():
    costs = costs_between(np.array([9.0, 1.0]), [2.5])
    assert (costs[0], costs[-1]) == (1.0, 9.0)
    assert costs == sorted(costs)
    assert 2.5 in costs


def test_the_difference_is_paired_with_the_best_peer_of_the_mean():
    splits = [
        {OURS: np.array([0.80]), "a": np.array([0.70]), "b": np.array([0.78])},
        {OURS: np.array([0.90]), "a": np.array([0.89]), "b": np.array([0.86])},
    ]
    (entry,) = standings([1.0], splits)
    assert entry["best_peer"] == "b"
    assert entry["difference"] == pytest.approx(3.0)
    assert entry["error"] == pytest.approx(1.0)


def test_a_method_that_does_not_keep_the_cost_in_every_split_has_no_place_at_it():
    splits = [
        {OURS: np.array([0.8]), "a": np.array([0.7]), "b": np.array([0.9])},
        {OURS: np.array([0.8]), "a": np.array([0.7]), "b": np.array([np.nan])},
    ]
    (entry,) = standings([1.0], splits)
    assert entry["best_peer"] == "a"
    assert "b" not in entry["accuracy"]


def test_a_rule_that_reads_inputs_for_nothing_is_shown_but_no_peer():
    splits = [{OURS: np.array([0.8]), "a": np.array([0.7]), "b" + FREE: np.array([0.9])}]
    (entry,) = standings([1.0], splits)
    assert (entry["best_peer"], entry["accuracy"]["b" + FREE]) == ("a", 90.0)


@pytest.mark.slow
def test_rules_that_read_inputs_are_shown_twice_and_differ_by_what_that_costs():
    ladder = digits()
    found = peers_at(split_of(ladder, items_of(ladder), 0), ladder.costs, [1.0, 1.3, 3.0])
    for name in LOOKING_AT_INPUTS:
        assert found[name + FREE][1] > found[name][1]
    assert found["pre-routing"][0] == found["hull"][0]


@pytest.mark.parametrize(("differences", "met"), [([-0.1, 1.2], True), ([-0.3, 1.2], False), ([0.1, 0.9], False)])
def test_the_bar_asks_never_to_lose_and_somewhere_to_lead(differences, met):
    entries = [{"cost": 1.0, "best_peer": "a", "difference": d, "error": 0.1} for d in differences]
    assert verdict(entries)["met"] is met
