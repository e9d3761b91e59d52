"""A small cascade on fake stages: a weak fast one, a strong slow one, answers from one table."""

from types import SimpleNamespace

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.clock import VirtualClock
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeStage

NAMES = ("weak", "strong")


def make_parts(seed=0, n=600, c=3):
    """Answers (n, 2, c), true labels, outcomes, service table of 1 and 10 ms, fitted policy."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    logits = rng.normal(size=(n, 2, c))
    logits[np.arange(n), :, labels] += [1.5, 4.0]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    outcomes = Outcomes.from_probs(probs, labels, stages=NAMES)
    service = ServiceTable.from_costs([1.0, 10.0], stages=NAMES)
    return SimpleNamespace(
        probs=probs, labels=labels, outcomes=outcomes, service=service, policy=fit_policy(outcomes, service)
    )


PARTS = make_parts()


@pytest.fixture
def parts():
    return PARTS


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def stages(parts, clock):
    return [FakeStage(name, parts.probs[:, j], 1.0 + 9.0 * j, clock) for j, name in enumerate(NAMES)]


@pytest.fixture
def predictor(parts, stages, clock):
    with Predictor(stages, parts.policy, parts.service, clock=clock) as predictor:
        yield predictor
