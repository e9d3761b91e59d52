"""Small files of the kinds that the commands read."""

import numpy as np
import pytest

STAGES = ("small", "middle", "big")


@pytest.fixture
def arrays(tmp_path):
    """An npz file of three models of rising accuracy on 600 items of four classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 600)
    strength = np.array([1.0, 1.8, 2.8])[None, :, None]
    logits = rng.normal(size=(600, 3, 4)) + strength * np.eye(4)[labels][:, None, :]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    path = tmp_path / "arrays.npz"
    np.savez(path, labels=labels, probs=probs, stages=np.array(STAGES))
    return path
