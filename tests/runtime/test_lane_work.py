import gc
from weakref import ref

import numpy as np
import pytest

from cascade.core.records import StageOutput
from cascade.errors import StageError, StageOutputError
from cascade.runtime.lane import Lane
from cascade.runtime.lane_work import LaneWork, work_for
from cascade.runtime.pending import Pending, Refused
from cascade.runtime.ready import INFINITE, ReadyPolicy
from cascade.runtime.receivers import Sleeper
from cascade.runtime.single import Request, Terms
from cascade.runtime.thread_counts import ThreadCounts
from cascade.runtime.walk import Walk
from cascade.scheduling.messages import Priority
from cascade.telemetry.counters import Counters
from cascade.testing.fakes import FakeExit, FakeStage
from cascade.testing.faults import FailingStage


class Bench:
    """A lane without an engine, and requests for it."""

    def __init__(self, parts, stages, clock):
        self.ready, self.clock = ReadyPolicy(parts.policy, stages), clock
        self.lane = Lane(stages, clock, ThreadCounts(stages, 1), Counters())
        self.doing = LaneWork(self.lane, clock, 8)

    def ask(self, *rows):
        request = Request(0.0, INFINITE, INFINITE, Terms("fastest", 0.0))
        return [
            Pending(self.ready, np.array([row]), request, priority=Priority.NORMAL, due_ms=INFINITE, receiver=Sleeper())
            for row in rows
        ]

    def run(self, stage, members):
        work = work_for(stage, members)
        self.doing.run(work)
        for i, member in enumerate(members):
            if i not in work.faults and member.outcome is None:
                member.commit(stage)
        return work


@pytest.fixture
def bench(parts, stages, clock):
    return Bench(parts, stages, clock)


def test_a_batch_says_about_each_request_what_it_would_hear_alone(bench, stages):
    members = bench.ask(4, 8, 15, 16, 23, 42)
    bench.run(0, members)
    bench.run(1, members[::2])
    assert [stage.batch_sizes for stage in stages] == [[6], [3]]
    for i, member in enumerate(members):
        alone = Walk(bench.ready, member.batch, INFINITE)
        for stage in (0, 1) if i % 2 == 0 else (0,):
            alone.run(stage, bench.lane)
        assert (member.confidence, member.evidence_set, member.path) == (
            alone.confidence,
            alone.evidence_set,
            alone.path,
        )
        np.testing.assert_array_equal(bench.ready.pooled(member.state)[1], bench.ready.pooled(alone.state)[1])


def test_requests_of_different_evidence_run_together(bench):
    fresh, known = bench.ask(1, 2)
    bench.run(1, [known])
    bench.run(0, [fresh, known])
    assert (fresh.evidence_set, known.evidence_set, known.path) == (0b01, 0b11, ("strong", "weak"))


def test_the_time_of_the_stage_is_measured(bench):
    assert bench.run(1, bench.ask(1, 2, 3)).service_ms == 30.0


def test_a_stage_that_raises_says_nothing_about_anybody(parts, stages, clock):
    stages[0] = FailingStage(stages[0])
    bench = Bench(parts, stages, clock)
    members = bench.ask(1, 2)
    work = bench.run(0, members)
    assert work.has_failed
    assert isinstance(work.faults[1].__cause__, RuntimeError)
    assert [member.evidence_set for member in members] == [0, 0]
    assert bench.lane.counters.snapshot().n_faults == {"weak": 1}


def test_inputs_of_a_batch_that_failed_go_without_waiting_for_the_garbage_collector(parts, stages, clock):
    bench = Bench(parts, [FakeStage("weak", lambda batch: batch / "none"), stages[1]], clock)
    gc.disable()
    try:
        members = bench.ask(1, 2)
        inputs = [ref(member.batch) for member in members]
        work = bench.run(0, members)
        assert work.has_failed
        work.let_go()
        del members, work
        assert [kept() for kept in inputs] == [None, None]
    finally:
        gc.enable()


def test_a_row_that_cannot_be_used_leaves_the_others_their_answers(parts, stages, clock):
    def poisoned(batch):
        scores = parts.probs[batch.astype(int), 0].copy()
        scores[batch == 13] = np.nan
        return scores

    bench = Bench(parts, [FakeStage("weak", poisoned), stages[1]], clock)
    members = bench.ask(12, 13, 14)
    work = bench.run(0, members)
    assert not work.has_failed
    assert list(work.faults) == [1]
    assert isinstance(work.faults[1], StageOutputError)
    assert [member.evidence_set for member in members] == [1, 0, 1]
    # One client's input must not fence a stage that works for all others.
    for _ in range(3):
        bench.run(0, bench.ask(12, 13))
    assert not bench.lane.is_fenced(0)


def test_too_few_rows_are_a_fault(parts, stages, clock):
    bench = Bench(parts, [FakeStage("weak", lambda batch: parts.probs[:1, 0]), stages[1]], clock)
    assert "returned 1 rows for a batch of 2" in str(bench.run(0, bench.ask(1, 2)).faults[0])


def test_a_fenced_stage_is_not_called(parts, stages, clock):
    stages[0] = FailingStage(stages[0])
    bench = Bench(parts, stages, clock)
    for _ in range(3):
        bench.run(0, bench.ask(1))
    work = bench.run(0, bench.ask(1, 2))
    assert "left alone for a while" in str(work.faults[0])
    assert bench.lane.counters.snapshot().n_faults == {"weak": 3}


def test_labels_with_confidences_are_read_row_by_row(parts, stages, clock):
    said = FakeStage("weak", lambda batch: StageOutput(np.zeros(len(batch), int), 0.5 + batch / 100.0))
    bench = Bench(parts, [said, stages[1]], clock)
    members = bench.ask(1, 40)
    bench.run(0, members)
    assert members[0].confidence < members[1].confidence


def test_exits_continue_from_what_was_computed_in_other_batches(parts, clock):
    exits = [FakeExit("weak", parts.probs[:, 0], requires=None), FakeExit("strong", parts.probs[:, 1], requires="weak")]
    bench = Bench(parts, exits, clock)
    first, second = bench.ask(1, 2, 3), bench.ask(7, 8)
    bench.run(0, first)
    bench.run(0, second)
    # The fake exit raises if it is handed another row's carry.
    work = bench.run(1, [second[1], first[0], first[2], second[0]])
    assert work.faults == {}


def test_inputs_of_different_shapes_are_run_apart(parts, clock):
    stages = [
        FakeStage(name, lambda batch, j=j: parts.probs[np.asarray(batch).reshape(len(batch), -1)[:, 0].astype(int), j])
        for j, name in enumerate(("weak", "strong"))
    ]
    bench = Bench(parts, stages, clock)
    members = bench.ask(1, 2, 3)
    members[1].batch = np.array([[2.0, 0.0]])
    bench.run(0, members)
    assert stages[0].batch_sizes == [2, 1]
    assert [member.evidence_set for member in members] == [1, 1, 1]


def test_nothing_is_read_for_a_request_that_is_over(bench):
    members = bench.ask(1, 2)
    members[0].outcome = Refused("cancelled", "")
    work = bench.run(0, members)
    assert work.faults == {}
    assert (members[0].evidence_set, members[1].evidence_set) == (0, 1)


def test_a_fault_of_the_stage_is_not_one_of_the_package(parts, stages, clock):
    bench = Bench(parts, [FailingStage(stages[0], error=StageError("mine")), stages[1]], clock)
    assert str(bench.run(0, bench.ask(1)).faults[0]) == "mine"
