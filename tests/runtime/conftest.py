"""A small cascade on fake stages: a weak fast one, a strong slow one, answers from one table."""

from threading import Event, Semaphore, current_thread
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
PATIENCE_S = 30.0


def make_parts(seed=0, n=600, c=3, lead=(1.5, 4.0), drop=None):
    """Answers (n, 2, c), true labels, outcomes, service table of 1 and 10 ms, fitted policy."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    logits = rng.normal(size=(n, 2, c))
    logits[np.arange(n), :, labels] += lead
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    outcomes = Outcomes.from_probs(probs, labels, stages=NAMES)
    service = ServiceTable.from_costs([1.0, 10.0], stages=NAMES)
    return SimpleNamespace(
        probs=probs, labels=labels, outcomes=outcomes, service=service, policy=fit_policy(outcomes, service, drop)
    )


PARTS = make_parts()
GRADUAL = make_parts(n=400, lead=(3.0, 4.0), drop=0.03)


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


class HeldStage(FakeStage):
    """A stage that can be made to stand still in the middle of a run, whichever thread that is on."""

    def __init__(self, *args, **keywords):
        super().__init__(*args, **keywords)
        self._open, self._entered = Event(), Semaphore(0)
        self._open.set()
        self.threads_seen = []

    def hold(self):
        self._open.clear()

    def let_go(self):
        self._open.set()

    def wait_for_run(self):
        assert self._entered.acquire(timeout=PATIENCE_S)

    def run(self, batch, carry=None):
        self.threads_seen.append(current_thread().name)
        is_held = not self._open.is_set()
        if is_held:
            self._entered.release()
            assert self._open.wait(PATIENCE_S)
        return super().run(batch, carry)


@pytest.fixture
def gradual():
    """Parts under whose policy most rows stop at the weak stage, and some go on."""
    return GRADUAL


@pytest.fixture
def held(gradual, clock):
    stages = [HeldStage(name, gradual.probs[:, j], 1.0 + 9.0 * j, clock) for j, name in enumerate(NAMES)]
    yield stages
    for stage in stages:
        stage.let_go()


@pytest.fixture
def serve(gradual, held, clock):
    """Makes predictors on the held stages, under the gradual policy, and closes them in the end."""
    made = []

    def serve(**keywords):
        stages = keywords.pop("stages", held)
        made.append(Predictor(stages, gradual.policy, gradual.service, clock=clock, **keywords))
        return made[-1]

    yield serve
    for stage in held:
        stage.let_go()
    for predictor in made:
        predictor.close()
