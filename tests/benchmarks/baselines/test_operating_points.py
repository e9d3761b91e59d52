import numpy as np
from baselines.operating_points import OperatingPoints, hull, joined


def test_the_hull_runs_from_the_cheapest_point_to_the_most_accurate_and_leaves_out_what_a_mixture_beats():
    cost, accuracy = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([0.5, 0.55, 0.9, 0.92, 0.91])
    assert hull(cost, accuracy).tolist() == [0, 2, 3]


def test_of_points_of_one_cost_the_hull_keeps_the_most_accurate():
    assert hull(np.array([1.0, 1.0, 2.0]), np.array([0.5, 0.6, 0.7])).tolist() == [1, 2]


def test_points_are_picked_on_the_half_seen_whatever_they_do_on_the_other():
    seen = np.array([1.0, 2.0]), np.array([0.5, 0.9])
    first = OperatingPoints(*seen, np.array([1.1, 2.1]), np.array([0.99, 0.1]))
    second = OperatingPoints(np.array([1.5]), np.array([0.6]), np.array([1.5]), np.array([1.0]))
    assert joined(first, second).accuracy.tolist() == [0.99, 0.1]
