"""Every compiled kernel of fitting against differences or counts in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core.fit_kernels import blur_moves, failing_counts, loglinear_moments, stacked_curvature, stacked_gradient

RNG = np.random.default_rng(0)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_derivatives_of_pooling_are_those_of_differences():
    features = np.log(softmax(RNG.normal(size=(40, 2, 3)))).astype(np.float32)
    labels, members, folds = RNG.integers(0, 3, 40), np.array([0, 1]), np.zeros(40, int)

    def moments(params):
        nll, gradient, hessian = np.zeros(1), np.zeros((1, 5)), np.zeros((1, 5, 5))
        loglinear_moments(features, labels, members, params[:2], params[2:], folds, nll, gradient, hessian)
        return nll[0], gradient[0], np.tril(hessian[0]) + np.tril(hessian[0], -1).T

    params = RNG.normal(size=5)
    _, gradient, hessian = moments(params)
    for i in range(5):
        step = np.zeros(5)
        step[i] = 1e-5
        above, below = moments(params + step), moments(params - step)
        assert gradient[i] == pytest.approx((above[0] - below[0]) / 2e-5, abs=1e-4)
        assert hessian[i] == pytest.approx((above[1] - below[1]) / 2e-5, abs=1e-3)


def test_the_gradient_of_stacking_is_that_of_differences():
    features = np.stack([RNG.integers(0, 3, (30, 1)), RNG.normal(size=(30, 1)), RNG.normal(size=(30, 1))], axis=2)
    features = features.astype(np.float32)
    labels, rows, members = RNG.integers(0, 3, 30), np.arange(30), np.array([0])

    def loss(tables, bias):
        g, h = np.zeros_like(tables), np.zeros_like(bias)
        return stacked_gradient(features, labels, rows, members, tables, bias, g, h), g

    tables, bias = RNG.normal(size=(1, 3, 3, 3)), RNG.normal(size=3)
    _, gradient = loss(tables, bias)
    for where in np.ndindex(tables.shape):
        step = np.zeros_like(tables)
        step[where] = 1e-5
        slope = (loss(tables + step, bias)[0] - loss(tables - step, bias)[0]) / 2e-5
        assert gradient[where] == pytest.approx(slope, abs=1e-4)


def test_blurred_moves_keep_their_length():
    counts = np.zeros((9, 9))
    counts[4, 6] = 1.0
    out = np.zeros((9, 9))
    blur_moves(counts, 0.8, out)
    rows, columns = np.nonzero(out)
    assert set((columns - rows).tolist()) == {2} or columns.max() == 8
    assert out[4, 6] == 1.0


def test_failing_counts_are_those_of_comparing_every_item_with_every_setting():
    rng = np.random.default_rng(3)
    levels, gains = rng.integers(0, 6, (70, 3)), rng.integers(-1, 2, 70)
    reached, gained = np.full(5**3, 9), np.full(5**3, 9)
    failing_counts(levels, gains, 5, reached, gained)
    for cell, setting in enumerate(np.ndindex(5, 5, 5)):
        fails = (levels <= setting).all(axis=1)
        assert (reached[cell], gained[cell]) == (fails.sum(), gains[fails].sum())


@pytest.mark.slow
def test_the_curvature_of_stacking_is_the_slope_of_its_gradient():
    rng = np.random.default_rng(4)
    n, m, c = 40, 2, 3
    features = np.stack([rng.integers(0, m, (n, 3)), rng.normal(size=(n, 3)), rng.normal(size=(n, 3))], axis=2).astype(
        np.float32
    )
    labels, rows, members = rng.integers(0, c, n), np.arange(0, n, 2), np.array([0, 2])
    params = rng.normal(size=2 * m * 3 * c + c)

    def gradient(at):
        found = np.zeros_like(at)
        tables, slopes = at[:-c].reshape(2, m, 3, c), found[:-c].reshape(2, m, 3, c)
        stacked_gradient(features, labels, rows, members, tables, at[-c:], slopes, found[-c:])
        return found

    n_inputs = len(params) // c
    blocks = np.zeros((n_inputs, n_inputs, c * (c + 1) // 2))
    stacked_curvature(features, rows, members, params[:-c].reshape(2, m, 3, c), params[-c:], blocks)
    step = 1e-5
    for d, e in zip(*np.tril_indices(n_inputs), strict=True):
        for k in range(c):
            for other in range(k + 1):
                aside = step * (np.arange(len(params)) == e * c + other)
                slope = (gradient(params + aside) - gradient(params - aside))[d * c + k] / (2 * step)
                assert blocks[d, e, k * (k + 1) // 2 + other] == pytest.approx(slope, abs=1e-6)
