import numpy as np
import pytest
from scipy.stats import binom

from cascade.calibration.bounds import betting_p_value, binomial_p_value, n_without_loss


def test_the_binomial_p_value_is_the_lower_tail():
    losses, n = np.array([0, 3, 7, 50]), np.array([20, 100, 100, 50])
    assert binomial_p_value(losses, n, 0.1) == pytest.approx(binom.cdf(losses, n, 0.1))


def test_nothing_is_proved_by_no_items():
    assert binomial_p_value(0, 0, 0.1) == 1.0
    assert betting_p_value(np.zeros(0), 0.1, 0.05) == 1.0


@pytest.mark.parametrize(("limit", "delta", "n"), [(0.01, 0.05, 299), (0.05, 0.1, 45), (0.001, 0.01, 4603)])
def test_the_number_of_items_without_a_loss_is_the_least_that_proves_it(limit, delta, n):
    assert n_without_loss(limit, delta) == n
    assert binomial_p_value(0, n, limit) <= delta < binomial_p_value(0, n - 1, limit)


@pytest.mark.slow
@pytest.mark.parametrize(("better", "worse"), [(0.02, 0.01), (0.1, 0.06), (0.05, 0.0)])
def test_bets_prove_something_false_no_more_often_than_stated(better, worse):
    # 2000 samples at the edge of the claim; with 10 % allowed, 12.1 % is three standard errors above.
    rng, delta = np.random.default_rng(0), 0.1
    limit = 0.5 * (1.0 + better - worse)
    draws = rng.choice([1.0, -1.0, 0.0], p=[better, worse, 1.0 - better - worse], size=(2000, 400))
    false = np.mean([betting_p_value(0.5 * (1.0 + row), limit, delta) <= delta for row in draws])
    assert false <= 0.121


def test_bets_prove_what_is_well_within_the_limit():
    losses = np.random.default_rng(0).random(2000) < 0.02
    assert betting_p_value(losses.astype(float), 0.05, 0.05) < 1e-3


def test_bets_come_close_to_the_exact_bound_where_both_apply():
    # Without a loss the exact bound needs 299 items; betting may waste some, not twice as many.
    assert betting_p_value(np.zeros(450), 0.01, 0.05) <= 0.05
