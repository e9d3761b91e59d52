"""The same requests through the simulator and through the threads: the scheduler says the same, at the same instants.

All durations are multiples of a power of two, so that sums of them are exact, and so small a one that no two events come at
one instant, where the simulator takes them together. The threads are real; a stage stands still until the
script has moved the clock to where its run ends, and the script goes on once every thread has done what there was to do.
"""

from math import inf
from threading import Condition, Semaphore, current_thread

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.clock import VirtualClock
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.scheduling.messages import Priority
from cascade.simulation.engine import run
from cascade.simulation.recorded import Recorded
from cascade.simulation.service_times import ServiceTimes
from cascade.simulation.workloads import Workload
from cascade.testing.fakes import FakeStage

PATIENCE_S = 60.0
NAMES = ("small", "middle", "large")
N_ITEMS = 300
GRID_MS = 2.0**-20


@pytest.fixture(scope="module")
def ladder():
    """Outcomes, and a table of what batches of 1 and of 33 take."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, N_ITEMS)
    logits = rng.normal(size=(N_ITEMS, 3, 4))
    logits[np.arange(N_ITEMS), :, labels] += [2.0, 3.0, 4.0]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    mean_ms = np.array([[1.0, 3.0], [2.0, 8.0], [5.0, 25.0]])
    exact = ServiceTable.from_costs([1.0, 2.0, 5.0], stages=NAMES)
    table = ServiceTable(
        stages=NAMES,
        batch_sizes=(1, 33),
        mean_ms=mean_ms,
        quantile_ms=np.broadcast_to(mean_ms, (exact.quantile_ms.shape[0], *mean_ms.shape)),
        costs=exact.costs,
    )
    return probs, Outcomes.from_probs(probs, labels, stages=NAMES), table


def script(seed, n, rate_per_ms, *, strict=0.0):
    """Requests at instants of the grid."""
    rng = np.random.default_rng(seed)
    steps = 1 + np.floor(rng.exponential(1.0 / (rate_per_ms * GRID_MS), n))
    budgets = rng.choice([8.0, 20.0, 60.0], n)
    budgets[rng.random(n) < 0.05] = inf
    return Workload(
        np.cumsum(steps) * GRID_MS,
        budgets,
        rng.choice(len(Priority), n, p=[0.3, 0.5, 0.2]).astype(np.int64),
        rng.integers(0, N_ITEMS, n),
        rng.random(n) < strict,
    )


def noting(scheduler):
    """Everything that a scheduler says, with the instant, as it says it."""
    said, poll = [], scheduler.poll

    def noted(now_ms):
        commands = poll(now_ms)
        said.extend((now_ms, command) for command in commands)
        return commands

    scheduler.poll = noted
    return said


class Stop:
    """Where the runs of all lanes stand still."""

    def __init__(self, clock):
        self.clock, self.changed = clock, Condition()
        self.runs = {}

    def run(self, duration_ms):
        """Return once the script lets the calling lane go on."""
        gate, lane = Semaphore(0), current_thread().name
        with self.changed:
            self.runs[lane] = (self.clock.now_ms() + duration_ms, gate)
            self.changed.notify_all()
        assert gate.acquire(timeout=PATIENCE_S)


class Timed(FakeStage):
    """A stage whose runs end when the script says so."""

    def __init__(self, name, answers, table, stop):
        super().__init__(name, answers, classes=range(4))
        self._take_ms, self._stop = lambda n: table.mean_at(NAMES.index(name), n), stop

    def run(self, batch, carry=None):
        self._stop.run(self._take_ms(len(batch)))
        return super().run(np.asarray(batch))


class Exactly:
    """No time is kept back, for finishing or for waking up."""

    value_ms = guard_ms = 0.0

    def note(self, late_ms):
        assert late_ms == 0.0

    def due_ms(self, start_ms, deadline_ms):
        return deadline_ms


class Script:
    """Drives a predictor's threads through a workload, in the order in which the simulator takes events."""

    def __init__(self, predictor, clock, stop, workload):
        self.predictor, self.clock, self.stop, self.workload = predictor, clock, stop, workload
        self.engine, self.at_work = predictor._engine, predictor._engine._at_work
        self.done, self.futures = Semaphore(0), []
        finish, tick = self.engine.finish, self.at_work.timer._call
        self.engine.finish = lambda *work: (finish(*work), self.done.release())
        self.at_work.timer._call = lambda: (tick(), self.done.release())

    def play(self):
        n_sent, arrival_ms = 0, [*self.workload.arrival_ms.tolist(), inf]
        while True:
            end_ms, lane = min(((end_ms, lane) for lane, (end_ms, _) in self.stop.runs.items()), default=(inf, ""))
            now_ms = min(arrival_ms[n_sent], end_ms, self.at_work.timer._at_ms)
            if now_ms == inf:
                return self.futures
            is_woken = self.at_work.timer._at_ms == now_ms
            self.move_to(now_ms)
            if is_woken:
                assert self.done.acquire(timeout=PATIENCE_S)
            elif end_ms == now_ms:
                self.stop.runs.pop(lane)[1].release()
                assert self.done.acquire(timeout=PATIENCE_S)
            else:
                self.send(n_sent)
                n_sent += 1
            self.settle()

    def move_to(self, now_ms):
        self.clock._now_ms = now_ms
        self.clock.wait(0.0)

    def send(self, i):
        asked = self.workload
        budget_ms = float(asked.budget_ms[i])
        future = self.predictor.submit(
            int(asked.item[i]),
            budget_ms=None if budget_ms == inf else budget_ms,
            priority=Priority(int(asked.priority[i])).name.lower(),
            strict=bool(asked.is_strict[i]),
        )
        self.futures.append(future)

    def settle(self):
        """Wait until every lane that has work stands still in it, and the timer waits for what it is to wait for."""
        timer, lending = self.at_work.timer, self.at_work.lending
        with self.stop.changed:
            assert self.stop.changed.wait_for(lambda: len(self.stop.runs) == lending._states.count(1), PATIENCE_S)
        while timer._thread is not None and not (
            timer._at_ms == inf or any(until_ms <= timer._at_ms for until_ms, _ in list(self.clock._waiting.values()))
        ):
            pass


def through_threads(policy, ladder, workload, **settings):
    """What the scheduler said, and how each request ended."""
    probs, _, table = ladder
    clock = VirtualClock()
    stop = Stop(clock)
    stages = [Timed(name, probs[:, j], table, stop) for j, name in enumerate(NAMES)]
    predictor = Predictor(stages, policy, table, clock=clock, **settings)
    server = predictor._server
    server._finishing = server.guard = Exactly()
    # Without load a lane that is idle would answer without asking the scheduler.
    predictor._engine.is_direct = False
    said = noting(predictor._engine._at_work.scheduler)
    futures = Script(predictor, clock, stop, workload).play()
    predictor.close()
    return said, [type(future.exception(PATIENCE_S)).__name__ for future in futures], predictor


def through_simulator(policy, ladder, workload, scheduler, n_lanes):
    _, outcomes, table = ladder
    said = noting(scheduler)
    times = ServiceTimes(table, jitter=0.0)
    report = run(scheduler, workload, Recorded.from_policy(policy, outcomes), times, n_lanes=n_lanes, seed=0)
    return said, report


def policies(ladder):
    _, outcomes, table = ladder
    return {
        "fitted": fit_policy(outcomes, table, max_accuracy_drop=0.02),
        "chain": Policy.from_thresholds([0.9, 0.8], table).for_classes(outcomes.classes),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fitted", "chain"])
@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("load", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("strict", [0.0, 0.3])
def test_the_scheduler_says_the_same_in_virtual_time_and_to_threads(ladder, kind, lanes, load, strict):
    policy, workload = policies(ladder)[kind], script(int(10 * load) + lanes, 250, load, strict=strict)
    settings = {"lanes": lanes, "max_batch": 16, "max_waiting": 40}
    to_threads, endings, predictor = through_threads(policy, ladder, workload, **settings)
    said, report = through_simulator(predictor.policy, ladder, workload, predictor._engine.new_scheduler(), lanes)
    assert to_threads == said
    assert len(said) >= workload.n_requests
    n_refused = sum(ending != "NoneType" for ending in endings)
    assert n_refused == sum(type(command).__name__ == "Refuse" for _, command in said)
    assert predictor.stats().n_requests == int(report.is_answered.sum()) == workload.n_requests - n_refused
