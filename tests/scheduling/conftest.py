"""Policies with gains from batching, one fitted and some made by hand, and what drives a scheduler by hand or in virtual time."""

from math import inf
from types import SimpleNamespace

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.core.induction import Statistics
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import LEVELS, ServiceTable
from cascade.scheduling.messages import Answer, Arrived, Borrowed, Cancelled, Faulted, Finished, Refuse, Returned, Run
from cascade.scheduling.outlook import Outlook
from cascade.scheduling.scheduler import Scheduler
from cascade.scheduling.service_times import Times
from cascade.scheduling.waiting import Item
from cascade.simulation.engine import run
from cascade.simulation.recorded import Recorded
from cascade.simulation.service_times import ServiceTimes

NAMES = ("small", "medium", "large")
FIXED_MS, EACH_MS = np.array([1.0, 2.0, 4.0]), np.array([0.5, 1.0, 2.0])
SIZES = (1, 2, 4, 8, 16, 32)


def make_outcomes(n=900, c=4, seed=0):
    """Outcomes that get more accurate from stage to stage."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    logits = rng.normal(size=(n, 3, c))
    logits[np.arange(n), :, labels] += np.array([1.2, 2.0, 3.0]) + rng.normal(size=(n, 1))
    probs = np.exp(logits)
    return Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels, stages=NAMES)


def make_parts(seed=0):
    """A policy of these outcomes; every run takes its mean time, 1.2 times that is its upper bound."""
    outcomes = make_outcomes(seed=seed)
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

    def serve(
        workload, *, policy=parts.policy, recorded=parts.recorded, n_lanes=1, jitter=0.0, slowdowns=(), **keywords
    ):
        recording = Recording(Scheduler(policy, n_lanes=n_lanes, **keywords))
        times = ServiceTimes(parts.service, jitter=jitter, slowdowns=slowdowns)
        return recording, run(recording, workload, recorded, times, n_lanes=n_lanes, seed=0)

    return serve


def linear_service(lines_ms, names, tail=1.5):
    """Every run of n rows takes a + b n, and ``tail`` times that is its upper bound."""
    sizes = np.array([1, 2, 4, 8])
    mean_ms = np.array([a + b * sizes for a, b in lines_ms])
    return ServiceTable(
        stages=names,
        batch_sizes=tuple(sizes),
        mean_ms=mean_ms,
        quantile_ms=np.broadcast_to(tail * mean_ms, (len(LEVELS), *mean_ms.shape)),
        costs=np.ones(len(names)),
    )


@pytest.fixture(scope="session")
def linear():
    return linear_service


@pytest.fixture(scope="session")
def fresh_outcomes():
    """Outcomes as those of the fitted policy, which has not seen them."""
    return make_outcomes(n=2000, seed=1)


def make_pair():
    """Two stages whose decisions can be told by hand: the small one takes 1 + n, the large one 2 + 4 n, at most 1.5 times that.

    The chain asks the large stage below a confidence of 0.8. The fitted policy begins with the small stage; half of the requests are
    unsure then (a confidence below 0.8, right half the time) and the large stage makes 0.9 of that, which is worth its 6 ms up to
    a price of 0.4 / 6; the others are right. The large stage alone is right 0.9 of the time.
    """
    names = ("small", "large")
    service = linear_service([(1.0, 1.0), (2.0, 4.0)], names)
    accuracy = np.array([[0.5, 0.5], [0.5, 1.0], [0.9, 0.9], [0.9, 1.0]])
    transitions = np.zeros((4, 2, 2, 2), np.float32)
    transitions[0, :, 0] = 0.5
    transitions[1, 1] = np.eye(2)
    transitions[2, 0, :, 0] = 1.0
    statistics = Statistics((-1, -1), np.full((4, 1), 0.8), accuracy, transitions)
    fitted = Policy(names, ("no", "yes"), service, None, statistics, (-1, -1))
    chain = Policy.from_thresholds([0.8], service).for_classes(("no", "yes"))
    return SimpleNamespace(service=service, fitted=fitted, chain=chain, times=Times(service, 0.99, 8))


@pytest.fixture(scope="session")
def pair():
    return make_pair()


@pytest.fixture(scope="session")
def item(pair):
    """Makes requests that wait; of the chain of two unless another outlook is given."""
    outlook = Outlook(pair.chain, 8)

    def made(request, deadline_ms, *, arrived_ms=0.0, number=None, of=outlook, evidence=None, **event):
        arrived = Arrived(request, deadline_ms, **event)
        new = Item(arrived, deadline_ms, arrived_ms, request if number is None else number, of)
        if evidence is not None:
            new.learn(*evidence)
        return new

    return made


class Driven:
    """A scheduler told one thing after the other; every method polls once and gives the commands in short.

    ("run", stage, requests), ("answer" or "degraded", request, evidence), (reason, request); in full they are in ``said``.
    """

    def __init__(self, policy, **keywords):
        self.scheduler, self.service = Scheduler(policy, **keywords), policy.service
        self.on_lane, self.said = {}, []

    def tell(self, at, *events):
        for event in events:
            self.scheduler.handle(event, at)
        self.said = self.scheduler.poll(at)
        self.on_lane.update({command.lane: command for command in self.said if isinstance(command, Run)})
        return [in_short(command) for command in self.said]

    def arrives(self, at, requests, deadline_ms=inf, **event):
        """One request or several at once."""
        several = [requests] if isinstance(requests, int) else requests
        return self.tell(at, *(Arrived(request, deadline_ms, **event) for request in several))

    def ends(self, at, *confidences, lane=0, service_ms=None):
        """The run on a lane, after what was profiled for it; one confidence stands for all."""
        run = self.on_lane.pop(lane)
        n = len(run.requests)
        took_ms = self.service.mean_at(run.stage, n) if service_ms is None else service_ms
        return self.tell(at, Finished(lane, confidences if len(confidences) == n else confidences * n, took_ms))

    def fails(self, at, lane=0):
        del self.on_lane[lane]
        return self.tell(at, Faulted(lane))

    def cancels(self, at, request):
        return self.tell(at, Cancelled(request))

    def borrows(self, at, until_ms, lane=0):
        return self.tell(at, Borrowed(lane, until_ms))

    def returns(self, at, lane=0):
        return self.tell(at, Returned(lane))

    def wakes(self):
        """At the instant that it asked for; the instant, and what it says."""
        at = self.scheduler.next_wakeup_ms()
        return at, self.tell(at)


def in_short(command):
    match command:
        case Run(_, stage, requests):
            return "run", stage, requests
        case Answer(request, evidence_set, is_degraded):
            return "degraded" if is_degraded else "answer", request, evidence_set
        case Refuse(request, reason):
            return reason, request


@pytest.fixture(scope="session")
def drive():
    return Driven
