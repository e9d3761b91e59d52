"""Models shared by the tests of the adapters: tiny, fixed, and made once."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn


@pytest.fixture(scope="session", name="X")
def inputs():
    return np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


@pytest.fixture(scope="session")
def y(X):
    return np.digitize(X[:, 0] + 0.3 * X[:, 1], [-0.5, 0.5])


@pytest.fixture(scope="session")
def logistic(X, y):
    return LogisticRegression().fit(X, y)


@pytest.fixture
def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
