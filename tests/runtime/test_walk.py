import numpy as np
import pytest

from cascade.errors import StageError
from cascade.runtime.lane import Lane
from cascade.runtime.ready import INFINITE, ReadyPolicy
from cascade.runtime.thread_counts import ThreadCounts
from cascade.runtime.walk import INFEASIBLE, STOP, Walk
from cascade.telemetry.counters import Counters
from cascade.testing.faults import FailingStage


def started(parts, stages, clock, budget_ms=INFINITE):
    lane = Lane(stages, clock, ThreadCounts(stages, 1), Counters())
    return Walk(ReadyPolicy(parts.policy, stages), np.array([0]), budget_ms), lane


def test_nothing_fits_into_too_little_time(parts, stages, clock):
    walk, lane = started(parts, stages, clock, 0.5)
    assert walk.next_stage(0.5, lane) == INFEASIBLE
    assert walk.fallback(lane) == 0


def test_after_every_stage_there_is_nothing_but_to_stop(parts, stages, clock):
    walk, lane = started(parts, stages, clock)
    assert walk.run(0, lane)
    assert walk.run(1, lane)
    assert walk.next_stage(INFINITE, lane) == STOP
    assert (walk.path, walk.evidence_set) == (("weak", "strong"), 0b11)
    assert 0.0 <= walk.confidence <= 1.0


def test_a_failed_stage_leaves_no_evidence_and_another_takes_its_place(parts, stages, clock):
    stages[0] = FailingStage(stages[0])
    walk, lane = started(parts, stages, clock)
    assert not walk.run(0, lane)
    assert (walk.evidence_set, walk.path, walk.is_degraded) == (0, (), True)
    assert walk.next_stage(INFINITE, lane) == 1


def test_a_walk_without_a_stage_left_ends_in_an_error_with_its_cause(parts, stages, clock):
    walk, lane = started(parts, [FailingStage(stage) for stage in stages], clock)
    walk.run(0, lane)
    walk.run(1, lane)
    with pytest.raises(StageError, match="no stage could answer"):
        walk.next_stage(INFINITE, lane)


def test_less_than_was_planned_is_degraded(parts, stages, clock):
    walk, lane = started(parts, stages, clock)
    unsure = int(np.argmin(parts.probs[:, 0].max(axis=1)))
    walk.batch = np.array([unsure])
    walk.run(0, lane)
    assert walk.next_stage(2.0, lane) == STOP
    assert walk.is_degraded
