import numpy as np
import pytest
from baselines.single_models import best_mixture, best_single

COSTS = np.array([1.0, 2.0, 5.0])


def test_the_best_single_model_is_the_most_accurate_within_the_cost():
    assert best_single(np.array([0.6, 0.5, 0.9]), COSTS, 4.0) == 0


def test_there_is_no_single_model_below_the_cheapest():
    assert best_single(np.array([0.6, 0.7, 0.9]), COSTS, 0.9) is None
    assert best_mixture(np.array([0.6, 0.7, 0.9]), COSTS, 0.9) is None


def test_a_mixture_lies_on_the_line_between_two_models_and_spends_the_whole_cost():
    accuracy = np.array([0.6, 0.61, 0.8])
    shares = best_mixture(accuracy, COSTS, 3.0)
    assert shares.tolist() == [0.5, 0.0, 0.5]
    assert shares @ COSTS == pytest.approx(3.0)
    assert shares @ accuracy == pytest.approx(0.7)


def test_a_mixture_is_a_single_model_where_no_dearer_one_is_better():
    assert best_mixture(np.array([0.6, 0.9, 0.8]), COSTS, 4.0).tolist() == [0.0, 1.0, 0.0]
