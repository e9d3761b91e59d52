import numpy as np
import pytest
from baselines.logistic import learned
from sklearn.linear_model import LogisticRegression


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 5)) * [1.0, 5.0, 0.1, 1.0, 1.0]
    return x, rng.random((400, 2)) < 1.0 / (
        1.0 + np.exp(-np.stack([x[:, 0] + 0.4 * x[:, 1], 4.0 - 3.0 * x[:, 3]], axis=1))
    )


def test_probabilities_of_other_items_are_those_of_a_ridge_at_its_optimum(rows):
    x, y = rows
    _, served = learned(x[:300], y[:300], x[300:], ridge=2.0)
    mean, scale = x[:300].mean(axis=0), x[:300].std(axis=0)
    reference = LogisticRegression(C=0.5, max_iter=10_000, tol=1e-8).fit((x[:300] - mean) / scale, y[:300, 0])
    assert served[:, 0] == pytest.approx(reference.predict_proba((x[300:] - mean) / scale)[:, 1], abs=2e-3)


def test_a_small_group_that_is_often_wrong_does_not_lead_the_steps_astray():
    rng = np.random.default_rng(1)
    doubtful = rng.random(3000) < 0.04
    y = rng.random(3000) < np.where(doubtful, 0.5, 0.999)
    # A whole Newton step from the mean would send the group to a probability below .001.
    _, served = learned(doubtful[:, None].astype(float), y[:, None], np.array([[0.0], [1.0]]), ridge=0.1)
    assert served[0, 0] == pytest.approx(y[~doubtful].mean(), abs=2e-3)
    assert served[1, 0] == pytest.approx(y[doubtful].mean(), abs=2e-2)


def test_an_item_does_not_see_its_own_target():
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((120, 60))
    y = rng.random((120, 1)) < 0.5
    own, fitted = learned(noise, y, noise, ridge=1e-2)
    assert ((fitted > 0.5) == y).mean() > 0.85
    assert ((own > 0.5) == y).mean() < 0.65
