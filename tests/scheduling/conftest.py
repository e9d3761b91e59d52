"""A fitted policy of three stages with gains from batching, and what drives a scheduler by hand or in virtual time."""

from types import SimpleNamespace

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.service import LEVELS, ServiceTable
from cascade.scheduling.messages import Finished, Run
from cascade.scheduling.scheduler import Scheduler
from cascade.simulation.engine import run
from cascade.simulation.recorded import Recorded
from cascade.simulation.service_times import ServiceTimes

NAMES = ("small", "medium", "large")
FIXED_MS, EACH_MS = np.array([1.0, 2.0, 4.0]), np.array([0.5, 1.0, 2.0])
SIZES = (1, 2, 4, 8, 16, 32)


def make_parts(n=900, c=4, seed=0):
    """Outcomes that get more accurate from stage to stage; every run takes its mean time, 1.2 times that is its upper bound."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    logits = rng.normal(size=(n, 3, c))
    logits[np.arange(n), :, labels] += np.array([1.2, 2.0, 3.0]) + rng.normal(size=(n, 1))
    probs = np.exp(logits)
    outcomes = Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels, stages=NAMES)
    mean_ms = FIXED_MS[:, None] + EACH_MS[:, None] * np.array(SIZES)
    service = ServiceTable(
        stages=NAMES,
        batch_sizes=SIZES,
        mean_ms=mean_ms,
        quantile_ms=np.broadcast_to(1.2 * mean_ms, (len(LEVELS), 3, len(SIZES))),
        costs=EACH_MS,
    )
    policy = fit_policy(outcomes, service, seed=0)
    return SimpleNamespace(
        policy=policy,
        service=service,
        outcomes=outcomes,
        recorded=Recorded.from_policy(policy, outcomes),
        mean_ms=FIXED_MS[:, None] + EACH_MS[:, None] * np.arange(33),
        upper_ms=1.2 * (FIXED_MS[:, None] + EACH_MS[:, None] * np.arange(33)),
    )


class Recording:
    """A scheduler between whose lines everything is written down."""

    def __init__(self, scheduler):
        self.inner, self.events, self.commands = scheduler, [], []

    def handle(self, event, now_ms):
        self.events.append((now_ms, event))
        self.inner.handle(event, now_ms)

    def poll(self, now_ms):
        commands = self.inner.poll(now_ms)
        self.commands.extend((now_ms, command) for command in commands)
        return commands

    def next_wakeup_ms(self):
        return self.inner.next_wakeup_ms()

    def runs(self):
        return [(now_ms, command) for now_ms, command in self.commands if isinstance(command, Run)]


@pytest.fixture(scope="session")
def parts():
    return make_parts()


@pytest.fixture(scope="session")
def new(parts):
    """Makes a scheduler of the policy."""

    def made(**keywords):
        return Scheduler(parts.policy, **keywords)

    return made


@pytest.fixture(scope="session")
def served(parts):
    """Serves a workload in virtual time with exact service times; gives the recording and the report."""

    def serve(workload, *, jitter=0.0, n_lanes=1, spike_share=0.0, slowdowns=(), **keywords):
        recording = Recording(Scheduler(parts.policy, n_lanes=n_lanes, **keywords))
        times = ServiceTimes(parts.service, jitter=jitter, spike_share=spike_share, slowdowns=slowdowns)
        return recording, run(recording, workload, parts.recorded, times, n_lanes=n_lanes, seed=0)

    return serve


def finished(command, confidence, service_ms=1.0):
    """The event that ends a run, with one confidence for all."""
    return Finished(command.lane, (confidence,) * len(command.requests), service_ms)
