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


class CutNet(nn.Module):
    """Three segments with an exit behind each."""

    def __init__(self):
        super().__init__()
        self.segments = nn.ModuleList([nn.Sequential(nn.Linear(4, 8), nn.Tanh())])
        self.segments.extend(nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(0.5)) for _ in range(2))
        self.exits = nn.ModuleList([nn.Linear(8, 3) for _ in range(3)])


class YieldingNet(nn.Module):
    """The same, as a generator; the blocks go by other names."""

    n_exits = 3

    def __init__(self, cut):
        super().__init__()
        self.blocks = cut.segments
        self.heads = cut.exits

    def forward_exits(self, x):
        for block, head in zip(self.blocks, self.heads, strict=True):
            x = block(x)
            keep = yield head(x)
            if keep is not None:
                x = x[keep]


@pytest.fixture
def cut_net():
    torch.manual_seed(0)
    return CutNet()


@pytest.fixture
def yielding_net(cut_net):
    return YieldingNet(cut_net)


@pytest.fixture(params=["segments", "generator"])
def exit_net(request, cut_net):
    """A network with three exits in both forms; its segments are ``blocks_of(net)``."""
    return cut_net if request.param == "segments" else YieldingNet(cut_net)
