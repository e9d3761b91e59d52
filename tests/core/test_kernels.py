"""Every compiled kernel against a twin in plain NumPy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cascade.core import kernels

IDENTITY = np.array([1.0, 0.0])
SHAPES = st.tuples(st.integers(1, 5), st.integers(2, 5))
LOGITS = arrays(np.float64, SHAPES, elements=st.floats(-800.0, 800.0))
SHARES = arrays(np.float32, SHAPES, elements=st.floats(0.0, 1e6, width=32))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def recalibrated(top, slope, shift):
    return 1.0 / (1.0 + np.exp(-slope * np.log(top / (1.0 - top)) - shift))


def log_probs(rng, n, k, c):
    return np.log(softmax(2.0 * rng.normal(size=(n, k, c)))).astype(np.float32)


def said(rng, n, k, m):
    """Labels in 0..m-1 with two functions of their confidence."""
    features = np.stack([rng.integers(0, m, (n, k)), rng.normal(size=(n, k)), rng.normal(size=(n, k))], axis=2)
    return features.astype(np.float32)


def stacked_scores(features, members, tables, bias):
    z = np.tile(bias, (len(features), 1))
    for j, table in zip(members, tables, strict=True):
        rows = table[features[:, j, 0].astype(int)]
        z += rows[:, 0] + features[:, j, 1:2] * rows[:, 1] + features[:, j, 2:3] * rows[:, 2]
    return z


def slopes(function, point, step=1e-5):
    """Central differences of a function of a flat array, one row for each parameter."""
    moves = step * np.eye(point.size)
    return np.array([(np.asarray(function(point + m)) - function(point - m)) / (2.0 * step) for m in moves])


@settings(max_examples=40)
@given(LOGITS)
def test_encoded_logits_are_log_probabilities(scores):
    out = np.empty(scores.shape, np.float32)
    assert kernels.encode_logits(scores, out)
    shifted = scores - scores.max(axis=1, keepdims=True)
    wanted = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    assert out == pytest.approx(np.maximum(wanted, kernels.LOG_FLOOR), rel=1e-5, abs=1e-6)


def test_logits_of_minus_infinity_rule_a_class_out_but_not_all():
    out = np.empty((1, 2), np.float32)
    assert kernels.encode_logits(np.array([[-np.inf, 3.0]], np.float32), out)
    assert out[0].tolist() == pytest.approx([kernels.LOG_FLOOR, 0.0])
    assert not kernels.encode_logits(np.full((1, 2), -np.inf), out)


@settings(max_examples=40)
@given(SHARES)
def test_encoded_probabilities_are_logarithms_of_shares(scores):
    out = np.empty(scores.shape, np.float32)
    usable = bool((scores.sum(axis=1) > 0).all())
    assert kernels.encode_probs(scores, out) == usable
    if usable:
        shares = scores.astype(np.float64) / scores.astype(np.float64).sum(axis=1, keepdims=True)
        assert out == pytest.approx(np.log(np.maximum(shares, 1e-12)), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_that_are_not_finite_are_not_encoded(bad, dtype):
    scores = np.ones((2, 3), dtype)
    scores[1, 1] = bad
    out = np.empty((2, 3), np.float32)
    assert not kernels.encode_logits(scores, out)
    assert not kernels.encode_probs(scores, out)


@pytest.mark.parametrize("row", [[-0.1, 1.1], [0.0, 0.0], [1e308, 1e308]])
def test_rows_that_are_no_shares_are_not_encoded(row):
    assert not kernels.encode_probs(np.array([row]), np.empty((1, 2), np.float32))


@given(st.floats(1e-6, 1.0 - 1e-6), st.floats(0.05, 5.0), st.floats(-5.0, 5.0))
def test_recalibration_is_a_logistic_curve_on_the_log_odds(top, slope, shift):
    assert kernels.recalibrate(top, slope, shift) == pytest.approx(recalibrated(top, slope, shift), abs=1e-9)


@pytest.mark.parametrize("top", [0.0, 0.3, 1.0])
def test_recalibration_stays_within_the_unit_interval_and_may_do_nothing(top):
    assert 0.0 <= kernels.recalibrate(top, 2.0, -1.0) <= 1.0
    assert kernels.recalibrate(top, 1.0, 0.0) == top


def test_loglinear_pooling_is_a_softmax_of_weighted_sums(rng):
    features, weights, bias, floors = log_probs(rng, 7, 3, 4), rng.random(3), rng.normal(size=4), np.full(3, -2.0)
    probs, trust = np.empty((7, 4)), np.empty(7)
    kernels.pool_loglinear(features, np.array([0, 2]), floors, weights, bias, np.array([0.8, 0.1]), probs, trust)
    clipped = np.maximum(features, -2.0)
    wanted = softmax(bias + weights[0] * clipped[:, 0] + weights[2] * clipped[:, 2])
    assert probs == pytest.approx(wanted, abs=1e-6)
    assert trust == pytest.approx(recalibrated(wanted.max(axis=1), 0.8, 0.1), abs=1e-6)


def test_stacked_pooling_adds_the_rows_of_the_labels_said(rng):
    features, tables, bias = said(rng, 6, 3, 3), rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    probs, trust = np.empty((6, 4)), np.empty(6)
    kernels.pool_stacked(features, np.array([0, 2]), tables, bias, np.array([0.8, 0.1]), probs, trust)
    wanted = softmax(stacked_scores(features, [0, 2], tables[[0, 2]], bias))
    assert probs == pytest.approx(wanted, abs=1e-6)
    assert trust == pytest.approx(recalibrated(wanted.max(axis=1), 0.8, 0.1), abs=1e-6)


def test_a_label_beyond_the_table_says_nothing(rng):
    features, tables, bias = said(rng, 2, 1, 3), rng.normal(size=(1, 3, 3, 3)), rng.normal(size=3)
    features[:, 0, 0] = 3
    probs, trust = np.empty((2, 3)), np.empty(2)
    kernels.pool_stacked(features, np.array([0]), tables, bias, IDENTITY, probs, trust)
    assert probs == pytest.approx(np.tile(softmax(bias), (2, 1)))


@pytest.mark.parametrize("as_logits", [True, False])
def test_absorbing_one_item_is_encoding_and_pooling_it(rng, as_logits):
    weights, floors, bias = rng.random(2), np.full(2, -5.0), rng.normal(size=4)
    features, twin = log_probs(rng, 1, 2, 4), np.empty((1, 4), np.float32)
    scores = rng.random((1, 4))
    (kernels.encode_logits if as_logits else kernels.encode_probs)(scores, twin)
    wanted = softmax(bias + weights @ np.maximum(np.stack([features[0, 0], twin[0]]), -5.0))
    probs, trust, members = np.empty((1, 4)), np.empty(1), np.array([0, 1])
    top = kernels.absorb_scores(scores, as_logits, 1, features, members, floors, weights, bias, IDENTITY, probs, trust)
    assert features[0, 1].tolist() == twin[0].tolist()
    assert probs[0] == pytest.approx(wanted, abs=1e-6)
    assert (top, trust[0]) == (wanted.argmax(), pytest.approx(wanted.max(), abs=1e-6))


def test_absorbing_scores_that_are_not_usable_gives_no_class(rng):
    features, probs, trust = log_probs(rng, 1, 1, 2), np.empty((1, 2)), np.empty(1)
    scores, one = np.array([[np.nan, 1.0]]), np.ones(1)
    for as_logits in (True, False):
        top = kernels.absorb_scores(
            scores, as_logits, 0, features, np.array([0]), -one, one, np.zeros(2), IDENTITY, probs, trust
        )
        assert top == -1


def loglinear_loss(params, features, labels, members, n_bias):
    bias = params[len(members) :] if n_bias else 0.0
    z = np.einsum("k,nkc->nc", params[: len(members)], features[:, members].astype(np.float64)) + bias
    return -np.log(softmax(z)[np.arange(len(labels)), labels])


@pytest.mark.parametrize("n_bias", [0, 3])
def test_moments_of_pooling_are_the_loss_and_its_derivatives_in_every_fold(rng, n_bias):
    features, labels, folds, members = log_probs(rng, 40, 3, 3), rng.integers(0, 3, 40), np.arange(40) % 2, [0, 2]
    params = rng.normal(size=2 + n_bias)
    p = len(params)

    def moments(at):
        nll, gradient, hessian = np.zeros(2), np.zeros((2, p)), np.zeros((2, p, p))
        kernels.loglinear_moments(features, labels, np.array(members), at[:2], at[2:], folds, nll, gradient, hessian)
        return nll, gradient, np.tril(hessian) + np.tril(hessian, -1).transpose(0, 2, 1)

    nll, gradient, hessian = moments(params)
    for fold in range(2):
        rows = folds == fold

        def loss(at, rows=rows):
            return loglinear_loss(at, features[rows], labels[rows], members, n_bias).sum()

        assert nll[fold] == pytest.approx(loss(params))
        assert gradient[fold] == pytest.approx(slopes(loss, params), abs=1e-4)
        assert hessian[fold] == pytest.approx(slopes(lambda at, f=fold: moments(at)[1][f], params), abs=1e-4)


def test_the_gradient_of_stacking_is_that_of_its_loss(rng):
    features, labels, rows = said(rng, 30, 3, 3), rng.integers(0, 4, 30), np.arange(0, 30, 2)
    members, shape = [0, 2], (2, 3, 3, 4)
    params = 0.3 * rng.normal(size=int(np.prod(shape)) + 4)

    def loss(at):
        z = stacked_scores(features[rows], members, at[:-4].reshape(shape), at[-4:])
        return -np.log(softmax(z)[np.arange(len(rows)), labels[rows]]).sum()

    gradient = np.zeros_like(params)
    value = kernels.stacked_gradient(
        features, labels, rows, np.array(members), params[:-4].reshape(shape), params[-4:],
        gradient[:-4].reshape(shape), gradient[-4:],
    )  # fmt: skip
    assert value == pytest.approx(loss(params))
    assert gradient == pytest.approx(slopes(loss, params), abs=1e-4)


def test_joint_counts_are_a_histogram_of_pairs(rng):
    before, after, counts = rng.integers(0, 4, 100), rng.integers(0, 4, 100), np.zeros((4, 4))
    kernels.joint_counts(before, after, counts)
    twin = np.zeros((4, 4))
    np.add.at(twin, (before, after), 1.0)
    assert np.array_equal(counts, twin)


@pytest.mark.parametrize("width", [0.13, 0.8, 2.5])
def test_blurred_moves_are_shifted_along_the_diagonal(rng, width):
    counts = rng.integers(0, 3, (7, 7)).astype(np.float64)
    out, twin = np.zeros((7, 7)), np.zeros((7, 7))
    kernels.blur_moves(counts, width, out)
    reach = int(3.0 * width) + 1
    for b, after in np.ndindex(7, 7):
        for shift in range(-reach, reach + 1):
            if 0 <= b + shift < 7:
                weight = np.exp(-0.5 * (shift / width) ** 2)
                twin[b + shift, min(max(after + shift, 0), 6)] += weight * counts[b, after]
    assert out == pytest.approx(twin)


@given(arrays(np.float64, st.integers(0, 4), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_finite_arrays_are_told_from_others(values):
    assert kernels.all_finite(values) == np.isfinite(values).all()


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    real = numba.njit

    def without_cache(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", without_cache)
    assert kernels.compiled(lambda x: x + 1)(1) == 2


@pytest.mark.slow
@pytest.mark.parametrize("writable", [True, False])
def test_compiled_kernels_are_kept_on_disk_where_there_is_a_place(tmp_path, writable):
    package = tmp_path / "cascade" / "core"
    package.mkdir(parents=True)
    shutil.copy(Path(kernels.__file__), package / "kernels.py")
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    home = tmp_path / "home"
    # Files where folders should be: permissions would not stop a privileged user.
    home.mkdir() if writable else home.touch()
    (package / "__pycache__").touch()
    hidden = {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "PYTHONPATH"}
    env = {name: value for name, value in os.environ.items() if name not in hidden} | {"HOME": str(home)}
    code = "from cascade.core import kernels; print(kernels.recalibrate(0.5, 2.0, 0.0), kernels.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0.5", str(package / "kernels.py")]
    assert bool(list(tmp_path.rglob("*.nbc"))) == writable
