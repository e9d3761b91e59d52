import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.interval import wilson_interval


def test_the_interval_is_that_of_the_textbook():
    # The examples of Newcombe (1998), "Two-sided confidence intervals for the single proportion".
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(n=st.integers(1, 5000), share=st.floats(0.0, 1.0))
def test_the_interval_holds_the_share_and_stays_within_nought_and_one(n, share):
    n_right = round(share * n)
    low, high = wilson_interval(n_right, n)
    assert 0.0 <= low <= n_right / n
    assert n_right / n <= high <= 1.0


@given(n=st.integers(1, 2000), share=st.floats(0.0, 1.0))
def test_wrong_answers_have_the_mirrored_interval(n, share):
    n_right = round(share * n)
    low, high = wilson_interval(n_right, n)
    assert wilson_interval(n - n_right, n) == pytest.approx((1.0 - high, 1.0 - low))
