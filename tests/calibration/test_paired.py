import numpy as np
import pytest
from scipy import stats

from cascade.calibration.paired import paired_accuracy, paired_mean


@pytest.mark.parametrize(
    ("n", "up", "down"), [(60, 0.02, 0.02), (200, 0.05, 0.02), (1000, 0.01, 0.004), (200, 0.15, 0.1)]
)
def test_the_interval_of_an_accuracy_misses_no_more_often_than_stated(n, up, down):
    """4,000 draws at delta 10 %; three standard errors are 1.4 points."""
    rng = np.random.default_rng(0)
    outcome = rng.choice(3, (4000, n), p=[1 - up - down, up, down])
    missed = 0
    for row in outcome:
        new, old = row != 2, row != 1
        found = paired_accuracy(new, old, 0.1)
        missed += not found.ci_low <= up - down <= found.ci_high
    assert missed / 4000 <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 4000)


def test_the_mean_is_new_minus_old():
    new, old = np.array([True, True, False, True]), np.array([True, False, False, False])
    assert paired_accuracy(new, old, 0.05).mean == 0.5
    assert paired_mean(np.array([2.0, 4.0]), np.array([1.0, 1.0]), 0.05).mean == 2.0


def test_no_disagreement_is_no_certainty_and_shares_stay_shares():
    right = np.ones(50, bool)
    same, better = paired_accuracy(right, right, 0.05), paired_accuracy(right, ~right, 0.05)
    assert same.ci_low < 0.0 < same.ci_high
    assert better.ci_high <= 1.0
    assert better.ci_low > 0.8


def test_the_interval_of_a_mean_is_that_of_the_paired_t_test():
    rng = np.random.default_rng(1)
    new, old = rng.exponential(size=40), rng.exponential(size=40)
    found, expected = paired_mean(new, old, 0.1), stats.ttest_rel(new, old).confidence_interval(0.9)
    assert (found.ci_low, found.ci_high) == pytest.approx((expected.low, expected.high))
