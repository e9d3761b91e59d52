"""Every compiled kernel against a twin in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core import kernels

RNG = np.random.default_rng(0)
IDENTITY = np.array([1.0, 0.0])


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_encoded_logits_are_log_probabilities(dtype):
    scores = RNG.normal(size=(9, 5)).astype(dtype)
    out = np.empty((9, 5), np.float32)
    assert kernels.encode_logits(scores, out)
    assert out == pytest.approx(np.log(softmax(scores)), abs=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_not_encoded(bad):
    scores = np.ones((2, 3))
    scores[1, 1] = bad
    out = np.empty((2, 3), np.float32)
    assert not kernels.encode_logits(scores, out)
    assert not kernels.encode_probs(scores, out)


def test_zero_probabilities_get_a_floor():
    out = np.empty((1, 2), np.float32)
    assert kernels.encode_probs(np.array([[0.0, 1.0]]), out)
    assert out[0].tolist() == pytest.approx([kernels.LOG_FLOOR, 0.0])
    assert not kernels.encode_probs(np.array([[-0.1, 1.1]]), out)


def test_loglinear_pooling_is_a_softmax_of_weighted_sums():
    features = np.log(softmax(RNG.normal(size=(7, 3, 4)))).astype(np.float32)
    weights, bias, floors = RNG.random(3), RNG.normal(size=4), np.full(3, -2.0)
    probs, trust = np.empty((7, 4)), np.empty(7)
    kernels.pool_loglinear(features, np.array([0, 2]), floors, weights, bias, np.array([0.8, 0.1]), probs, trust)
    clipped = np.maximum(features, -2.0)
    wanted = softmax(bias + weights[0] * clipped[:, 0] + weights[2] * clipped[:, 2])
    assert probs == pytest.approx(wanted, abs=1e-6)
    odds = np.log(wanted.max(axis=1) / (1 - wanted.max(axis=1)))
    assert trust == pytest.approx(1 / (1 + np.exp(-0.8 * odds - 0.1)), abs=1e-6)


def test_stacked_pooling_adds_the_rows_of_the_labels_said():
    features = np.stack([RNG.integers(0, 3, (6, 2)), RNG.normal(size=(6, 2)), RNG.normal(size=(6, 2))], axis=2)
    features = features.astype(np.float32)
    tables, bias = RNG.normal(size=(2, 3, 3, 4)), RNG.normal(size=4)
    probs, trust = np.empty((6, 4)), np.empty(6)
    kernels.pool_stacked(features, np.array([0, 1]), tables, bias, IDENTITY, probs, trust)
    z = bias + sum(
        tables[j, features[:, j, 0].astype(int), 0]
        + features[:, j, 1:2] * tables[j, features[:, j, 0].astype(int), 1]
        + features[:, j, 2:3] * tables[j, features[:, j, 0].astype(int), 2]
        for j in range(2)
    )
    assert probs == pytest.approx(softmax(z), abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_wherever_it_is(dtype, value):
    for size in (1, 7, 33):
        for place in range(size):
            row = np.linspace(-1.0, 1.0, size).astype(dtype)
            assert kernels.all_finite(row)
            assert kernels.item_is_finite(row)
            row[place] = value
            assert not kernels.all_finite(row)
            assert not kernels.item_is_finite(row)


def test_finite_arrays_are_told_from_others():
    assert kernels.all_finite(np.array([1e300, -1e300]))
    assert not kernels.all_finite(np.array([1.0, np.nan], np.float32))
    assert not kernels.all_finite(np.array([np.inf, 1.0]))
