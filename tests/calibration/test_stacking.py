"""Stacked pooling: with many rows the short way to all fits leads where the long one does."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.calibration import stacking
from cascade.calibration.stacking import StackedFitter
from cascade.core.evidence import label_features


def votes(n, k=2, c=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    right = rng.random((n, k)) < np.linspace(0.6, 0.85, k)
    said = np.where(right, labels[:, None], (labels[:, None] + rng.integers(1, c, (n, k))) % c)
    trust = np.clip(0.5 + 0.2 * right + 0.15 * rng.normal(size=(n, k)), 0.01, 0.99)
    return label_features(said, trust), labels


def fitted(n=6000, sets=(1, 2, 3)):
    features, labels = votes(n)
    folds = np.random.default_rng(1).permutation(n) % 5
    fitter = StackedFitter(features, labels, folds, 5, n_labels=3, n_classes=3)
    return [fitter.fit(s) for s in sets], fitter.tables(sets[-1])


@pytest.fixture
def short_way(monkeypatch):
    """Any number of rows counts as many, and a third of them as the sample."""
    monkeypatch.setattr(stacking, "_MANY_ROWS", 0)
    monkeypatch.setattr(stacking, "_SAMPLE", 2000)


@pytest.mark.slow
def test_many_rows_are_fitted_and_held_out_as_few_are(monkeypatch):
    exact, exact_tables = fitted()
    monkeypatch.setattr(stacking, "_MANY_ROWS", 0)
    monkeypatch.setattr(stacking, "_SAMPLE", 2000)
    short, short_tables = fitted()
    for long_way, quick in zip(exact, short, strict=True):
        # What a fold's absence changes is itself of the order of one in a hundred.
        assert np.abs(quick.probs - long_way.probs).mean() < 0.003
        assert quick.nll.mean() == pytest.approx(long_way.nll.mean(), abs=0.002)
    assert np.abs(short_tables - exact_tables).mean() < 0.1


@pytest.mark.usefixtures("short_way")
def test_held_out_rows_of_many_are_unseen():
    # Noise: labels and answers have nothing in common, so that whatever the fit sees in its rows is chance.
    rng = np.random.default_rng(0)
    n = 4000
    features = label_features(rng.integers(0, 3, (n, 2)), rng.random((n, 2)))
    labels = rng.integers(0, 3, n)
    fitter = StackedFitter(features, labels, np.arange(n) % 5, 5, n_labels=3, n_classes=3)
    pooled = fitter.fit(3)
    assert pooled.nll.mean() > np.log(3.0)
    assert fitter.fit(3).nll.mean() == pooled.nll.mean()


def test_the_long_way_is_taken_where_rows_are_few_or_parameters_many(monkeypatch):
    def refuse(*_):
        raise AssertionError("the short way was taken")

    monkeypatch.setattr(StackedFitter, "_fit_all_parts", refuse)
    fitted(n=400, sets=(1, 3))
    monkeypatch.setattr(stacking, "_MANY_ROWS", 0)
    fitted(n=400, sets=(1, 3))
    with pytest.raises(AssertionError, match="the short way was taken"):
        fitted(n=3000, sets=(1,))
    monkeypatch.setattr(stacking, "_MOST_PARAMETERS", 10)
    fitted(n=3000, sets=(1,))
