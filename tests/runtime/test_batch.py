import numpy as np
import pytest

from cascade.errors import BudgetTooSmall, StageError
from cascade.runtime.batch import WAVE_ROWS, BatchRunner, wave_rows
from cascade.runtime.lane import Lane
from cascade.runtime.ready import INFINITE, ReadyPolicy
from cascade.runtime.single import Terms
from cascade.runtime.thread_counts import ThreadCounts
from cascade.telemetry.counters import Counters
from cascade.testing.faults import FailingStage

X = np.arange(100)


def runner(parts, stages, clock, infeasible="fastest"):
    lane = Lane(stages, clock, ThreadCounts(stages, 1), Counters())
    return BatchRunner(ReadyPolicy(parts.policy, stages), lane, clock, Terms(infeasible, 0.0))


def test_every_row_is_answered_and_no_stage_runs_twice_for_a_row(parts, stages, clock):
    rows = runner(parts, stages, clock).run(X, INFINITE)
    assert (rows.last_stage >= 0).all()
    assert all(sum(stage.batch_sizes) <= len(X) for stage in stages)
    assert not rows.degraded.any()


def test_a_batch_keeps_its_deadline(parts, stages, clock):
    rows = runner(parts, stages, clock).run(X, 300.0)
    assert clock.now_ms() <= 300.0
    assert (rows.last_stage >= 0).all()


def test_more_time_is_spent_on_more_rows(parts, stages, clock):
    runner(parts, stages, clock).run(X, 120.0)
    few = sum(stages[1].batch_sizes)
    runner(parts, stages, clock).run(X, clock.now_ms() + 400.0)
    assert sum(stages[1].batch_sizes) - few > few


@pytest.mark.parametrize(("infeasible", "last"), [("fastest", 0), ("prior", -1)])
def test_rows_without_time_get_what_the_terms_say(parts, stages, clock, infeasible, last):
    rows = runner(parts, stages, clock, infeasible).run(X, 0.5)
    assert set(rows.last_stage) == {last}


def test_rows_without_time_raise_where_the_terms_say_so(parts, stages, clock):
    with pytest.raises(BudgetTooSmall):
        runner(parts, stages, clock, "raise").run(X, 0.5)


@pytest.mark.parametrize("broken", [0, 1])
def test_rows_of_a_failed_stage_are_answered_by_another(parts, stages, clock, broken):
    stages[broken] = FailingStage(stages[broken])
    rows = runner(parts, stages, clock).run(X, INFINITE)
    assert set(rows.last_stage) == {1 - broken}


def test_an_error_ends_the_batch_when_every_stage_fails(parts, stages, clock):
    with pytest.raises(StageError, match="no stage could answer 100 rows"):
        runner(parts, [FailingStage(stage) for stage in stages], clock).run(X, INFINITE)


def test_waves_are_bounded_in_rows_and_in_bytes():
    assert wave_rows(np.zeros((5000, 2))) == WAVE_ROWS
    assert wave_rows(np.broadcast_to(0.0, (5000, 1 << 20))) == 32
