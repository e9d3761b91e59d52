"""The examples as modules, and a predictor that stands still while a test wants it to."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeStage

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENCE_S = 30.0


@pytest.fixture
def load_example():
    """The module of an example, made anew."""

    def load(name):
        spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def held():
    """A predictor of one stage that does not end before ``let_go`` is called on it; ``running`` says whether it has begun."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    logits = 2.0 * np.eye(2)[labels] + rng.normal(size=(400, 2))
    probs = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[:, None]
    service = ServiceTable.from_costs([1.0], stages=["only"])
    policy = fit_policy(Outcomes.from_probs(probs, labels, stages=["only"]), service)
    running, free = Event(), Event()

    def stand_still(batch):
        running.set()
        assert free.wait(PATIENCE_S)
        return np.tile([0.9, 0.1], (len(batch), 1))

    stage = FakeStage("only", stand_still)
    predictor = Predictor([stage], policy, service, infeasible="raise", max_waiting=1)
    predictor.stage, predictor.running, predictor.let_go = stage, running, free.set
    yield predictor
    free.set()
    predictor.close()
