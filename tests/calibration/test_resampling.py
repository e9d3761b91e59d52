"""Bootstrap intervals: equal to the plain computation, as wide as they should be, wider where items belong together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from cascade.calibration.resampling import bootstrap_intervals


def rows_of(n=400, m=5, seed=0):
    """Truth values that change a little from row to row, shape (m, n)."""
    rng = np.random.default_rng(seed)
    first = rng.random(n) < 0.7
    return np.stack([np.where(rng.random(n) < 0.1, ~first, first) for _ in range(m)])


def intervals(rows, units=None, n_bootstrap=300, confidence=0.9, seed=1):
    packed = [np.packbits(row) for row in rows]
    units = np.arange(rows.shape[1]) if units is None else units
    rng = np.random.default_rng(seed)
    return bootstrap_intervals(packed, units, rng, n_bootstrap=n_bootstrap, confidence=confidence)


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_are_those_of_drawing_the_items_themselves(grouped):
    rows = rows_of()
    units = np.random.default_rng(5).permutation(np.repeat(np.arange(80), [2, 8] * 40)) if grouped else np.arange(400)
    members = [np.flatnonzero(units == unit) for unit in range(units.max() + 1)]
    rng = np.random.default_rng(1)
    shares = np.empty((300, len(rows)))
    for b in range(300):
        drawn = np.concatenate([members[unit] for unit in rng.integers(0, len(members), len(members))])
        shares[b] = rows[:, drawn].mean(axis=1)
    assert np.allclose(intervals(rows, units), np.quantile(shares, [0.05, 0.95], axis=0), atol=1e-12)


def test_an_interval_is_as_wide_as_the_binomial_one():
    right = np.arange(2000) < 1400
    low, high = intervals(right[None], n_bootstrap=4000, confidence=0.95)
    exact = binom.ppf([0.025, 0.975], 2000, 0.7) / 2000
    # Quantiles at 2.5 % of 4000 draws have a standard error of 0.07 points.
    assert np.allclose([low[0], high[0]], exact, atol=0.003)


def test_copies_that_are_drawn_together_tell_no_more_than_one():
    rows = rows_of(n=300)
    copied, units = np.repeat(rows, 4, axis=1), np.repeat(np.arange(300), 4)
    assert np.allclose(intervals(copied, units), intervals(rows))
    alone = np.diff(intervals(copied), axis=0)
    assert np.all(alone < 0.65 * np.diff(intervals(rows), axis=0))


def test_what_is_always_right_stays_within_one():
    low, high = intervals(np.ones((3, 50), bool))
    assert (low.tolist(), high.tolist()) == ([1.0] * 3, [1.0] * 3)
