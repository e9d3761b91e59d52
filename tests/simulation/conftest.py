"""A tiny scheduler whose every decision is plain, and recorded answers that are easy to tell apart."""

from math import inf

import numpy as np
import pytest

from cascade.core.service import ServiceTable
from cascade.scheduling.messages import Answer, Arrived, Finished, Run
from cascade.simulation.recorded import Recorded
from cascade.simulation.service_times import ServiceTimes
from cascade.simulation.workloads import Workload


class Fifo:
    """Runs every stage of a list for every request, first come first served, then answers; keeps a diary."""

    def __init__(self, n_lanes=1, max_batch=8, stages=(0,)):
        self.n_lanes, self.max_batch, self.stages = n_lanes, max_batch, stages
        self.queues = {stage: [] for stage in stages}
        self.on_lane, self.answers, self.wakeup_ms = {}, [], inf
        self.diary = []

    def handle(self, event, now_ms):
        self.diary.append((now_ms, event))
        match event:
            case Arrived(request):
                self.queues[self.stages[0]].append(request)
            case Finished(lane):
                stage, batch = self.on_lane.pop(lane)
                later = self.stages[self.stages.index(stage) + 1 :]
                if later:
                    self.queues[later[0]] += batch
                else:
                    evidence = sum(1 << j for j in self.stages)
                    self.answers += [Answer(request, evidence, False) for request in batch]

    def poll(self, now_ms):
        self.diary.append((now_ms, "poll"))
        commands, self.answers = self.answers, []
        for lane in range(self.n_lanes):
            stage = next((j for j in reversed(self.stages) if self.queues[j]), None)
            if stage is not None and lane not in self.on_lane:
                queue = self.queues[stage]
                batch = tuple(queue[: self.max_batch])
                del queue[: self.max_batch]
                self.on_lane[lane] = stage, batch
                commands.append(Run(lane, stage, batch, 0.25, "limit"))
        return commands

    def next_wakeup_ms(self):
        return self.wakeup_ms

    def polls(self):
        return [now_ms for now_ms, what in self.diary if what == "poll"]


class Scripted:
    """Says at each poll what was written down for that instant; keeps a diary."""

    def __init__(self, commands, wakeups=()):
        self.commands, self.wakeups = dict(commands), list(wakeups)
        self.diary = []

    def handle(self, event, now_ms):
        self.diary.append((now_ms, event))

    def poll(self, now_ms):
        self.diary.append((now_ms, "poll"))
        self.wakeups = [wakeup_ms for wakeup_ms in self.wakeups if wakeup_ms > now_ms]
        return self.commands.pop(now_ms, [])

    def next_wakeup_ms(self):
        return min(self.wakeups, default=inf)

    def polls(self):
        return [now_ms for now_ms, what in self.diary if what == "poll"]


@pytest.fixture(scope="session")
def fifo():
    return Fifo


@pytest.fixture(scope="session")
def scripted():
    return Scripted


@pytest.fixture(scope="session")
def workload():
    """Requests at given instants; request i asks for item i."""

    def make(arrival_ms, budget_ms=100.0, priority=1, is_strict=False, item=None):
        n = len(arrival_ms)
        return Workload(
            np.array(arrival_ms, float),
            np.broadcast_to(np.array(budget_ms, float), n).copy(),
            np.broadcast_to(np.array(priority), n).copy(),
            np.arange(n) if item is None else np.array(item),
            np.full(n, is_strict),
        )

    return make


@pytest.fixture(scope="session")
def two_stages():
    """Eight items, two stages: confidence of item i from set s is i / 10 + s / 100.

    Answers from stage 1 are right, those from stage 0 alone wrong, and that of the empty set, which nobody may ask for, right.
    """
    items, sets = np.arange(8)[:, None], np.arange(4)[None, :]
    return Recorded(items / 10 + sets / 100, np.broadcast_to(sets != 1, (8, 4)).copy())


@pytest.fixture(scope="session")
def exact():
    """Times without chance: a stage takes 10 (or 20) ms for one row and 1 ms more for each other."""
    sizes = (1, 8)
    mean_ms = np.array([[10.0, 17.0], [20.0, 27.0]])
    table = ServiceTable(
        stages=None, batch_sizes=sizes, mean_ms=mean_ms, quantile_ms=mean_ms[None], levels=(0.99,), costs=[1.0, 2.0]
    )
    return ServiceTimes(table, jitter=0.0)
