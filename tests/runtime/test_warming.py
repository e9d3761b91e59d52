import numpy as np

from cascade.predictor import Predictor
from cascade.runtime.lane import Lane
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.thread_counts import ThreadCounts
from cascade.runtime.warming import run_every_stage
from cascade.telemetry.counters import Counters
from cascade.testing.faults import FailingStage


def test_warming_up_goes_through_all_stages_and_leaves_out_those_that_fail(parts, stages, clock):
    stages[0] = FailingStage(stages[0])
    lane = Lane(stages, clock, ThreadCounts(stages, 1), Counters())
    walk = run_every_stage(ReadyPolicy(parts.policy, stages), lane, np.array([0]))
    assert walk.path == ("strong",)


def test_every_stage_meets_every_size_of_a_batch_before_the_first_request(parts, stages, clock):
    with Predictor(stages, parts.policy, parts.service, clock=clock, sample=np.arange(3), max_batch=5) as predictor:
        assert all({1, 2, 3, 4, 5} <= set(stage.batch_sizes) for stage in stages)
        stats = predictor.stats()
    assert (stats.n_requests, stats.n_waiting) == (0, 0)
    assert set(stats.slowdown.values()) == {(1.0,)}


def test_every_lane_is_warmed(parts, stages, clock):
    n_runs = []
    for lanes in (1, 3):
        for stage in stages:
            stage.batch_sizes.clear()
        Predictor(
            stages, parts.policy, parts.service, clock=clock, sample=np.arange(3), max_batch=7, lanes=lanes
        ).close()
        n_runs.append(stages[0].batch_sizes.count(7))
    assert n_runs[1] == n_runs[0] + 2
