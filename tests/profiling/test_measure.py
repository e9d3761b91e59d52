"""Batches drawn from sample rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.clock import VirtualClock
from cascade.errors import StageError
from cascade.profiling.measure import Rows, cells_of, in_company
from cascade.testing.fakes import FakeStage
from cascade.testing.faults import FailingStage


@given(st.integers(1, 12), st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 9))
def test_rows_take_turns_whatever_the_batch_sizes(n, batch_sizes, seed):
    rows = Rows(np.arange(n), seed)
    batches = [rows.batch(size) for size in batch_sizes]
    assert [len(batch) for batch in batches] == batch_sizes
    counts = np.bincount(np.concatenate(batches), minlength=n)
    assert counts.max() - counts.min() <= 1


def stages_of(names, service_ms=1.0, clock=None, requires=None):
    stages = [FakeStage(name, np.eye(4), service_ms, clock) for name in names]
    for stage in stages:
        stage.requires = (requires or {}).get(stage.name)
    return stages


def companies(*took_ms, requires=None):
    found = in_company(cells_of(stages_of("abc"[: len(took_ms)], requires=requires), (1, 2)), took_ms)
    assert all(cell.company is per_stage[0].company for per_stage in found for cell in per_stage)
    return ["" if per_stage[0].company is None else per_stage[0].company.name for per_stage in found]


def test_a_stage_is_measured_in_the_company_of_the_slowest_other_that_is_no_slower():
    assert companies(2.0, 3.0, 5.0) == ["", "a", "b"]


def test_where_a_stage_takes_little_its_company_may_take_longer():
    assert companies(0.01, 0.9, 5.0) == ["b", "a", "b"]


def test_an_exit_that_continues_from_another_is_no_company():
    assert companies(0.5, 0.9, requires={"b": "a"}) == ["", "a"]


def test_company_runs_before_each_run_and_is_not_timed():
    clock = VirtualClock()
    stages = stages_of("ab", service_ms=2.0, clock=clock)
    _, cells = in_company(cells_of(stages, (3,)), (1.0, 1.0))
    assert cells[0].run(Rows(np.arange(4), 0), clock) == 6.0
    assert (clock.now_ms(), stages[0].batch_sizes, stages[1].batch_sizes) == (8.0, [1], [3])


def test_company_that_raises_is_named():
    stages = [FailingStage(FakeStage("broken", np.eye(4))), FakeStage("sound", np.eye(4))]
    _, cells = in_company(cells_of(stages, (1,)), (1.0, 1.0))
    with pytest.raises(StageError, match="'broken' raised RuntimeError"):
        cells[0].run(Rows(np.arange(4), 0), VirtualClock())
