from functools import partial

import numpy as np
import pytest

from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Arrived, Borrowed, Cancelled, Faulted, Finished, Priority, Returned
from cascade.simulation.baselines.chains import Chain
from cascade.simulation.baselines.gear_plan import Gear, GearPlan
from cascade.simulation.baselines.model_switching import ModelSwitching
from cascade.simulation.baselines.single_model import SingleModel
from cascade.simulation.baselines.slack_fit import SlackFit
from cascade.simulation.baselines.static_cascade import StaticCascade
from cascade.simulation.engine import run
from cascade.simulation.recorded import Recorded
from cascade.simulation.service_times import ServiceTimes
from cascade.simulation.workloads import gamma

BOTH = Chain((0, 1), (0.8,))
RULES = {
    "largest": partial(SingleModel, stage=1),
    "switching": partial(ModelSwitching, accuracy=[0.7, 0.9]),
    "slackfit": partial(SlackFit, accuracy=[0.7, 0.9]),
    "static": partial(StaticCascade, chain=BOTH),
    "gears": partial(GearPlan, gears=[Gear(100.0, BOTH), Gear(200.0, Chain((0,), ()))]),
}


@pytest.fixture
def rule(table):
    return SingleModel(table, 0, max_batch=4)


def test_a_request_that_would_be_late_even_alone_is_dropped_before_it_runs(rule, arrive, said):
    arrive(rule, [2.9, 3.0])
    assert said(rule.poll(0.0)) == [("expired", 0), ("run", 0, (1,))]


def test_what_arrives_while_the_lane_is_busy_waits(rule, arrive, said):
    arrive(rule, [50.0])
    rule.poll(0.0)
    arrive(rule, [50.0], now_ms=1.0, first=1)
    assert rule.poll(1.0) == []
    rule.handle(Finished(0, (0.5,), 3.0), 3.0)
    assert said(rule.poll(3.0)) == [("answer", 0, 0b1), ("run", 0, (1,))]


def test_every_idle_lane_gets_a_batch(table, arrive):
    rule = SingleModel(table, 0, n_lanes=2, max_batch=2)
    arrive(rule, [50.0] * 3)
    assert [(command.lane, command.requests) for command in rule.poll(0.0)] == [(0, (0, 1)), (1, (2,))]


def test_a_higher_class_goes_first_whatever_its_deadline(rule, said):
    rule.handle(Arrived(0, 20.0, Priority.BACKGROUND), 0.0)
    rule.handle(Arrived(1, 90.0, Priority.INTERACTIVE), 0.0)
    assert said(rule.poll(0.0)) == [("run", 0, (1, 0))]


@pytest.mark.parametrize(
    ("deadlines_ms", "why"), [([50.0], "nobody else"), ([50.0] * 5, "limit"), ([4.5] * 3, "deadline")]
)
def test_a_run_says_why_its_batch_is_no_larger(rule, arrive, deadlines_ms, why):
    arrive(rule, deadlines_ms)
    assert rule.poll(0.0)[0].closed_by == why


def test_cancelled_requests_do_not_run_and_are_not_answered(table, arrive, said):
    rule = SingleModel(table, 0, max_batch=1)
    arrive(rule, [50.0, 60.0, 70.0])
    rule.poll(0.0)
    rule.handle(Cancelled(0), 1.0)
    rule.handle(Cancelled(1), 1.0)
    rule.handle(Finished(0, (0.5,), 3.0), 3.0)
    assert said(rule.poll(3.0)) == [("run", 0, (2,))]


def test_a_fault_ends_the_requests_of_its_batch(rule, arrive, said):
    arrive(rule, [50.0, 50.0])
    rule.poll(0.0)
    rule.handle(Faulted(0), 1.0)
    assert said(rule.poll(1.0)) == [("failed", 0), ("failed", 1)]


def test_a_borrowed_lane_is_left_alone_until_it_is_returned(rule, arrive, said):
    rule.handle(Borrowed(0, 5.0), 0.0)
    arrive(rule, [50.0])
    assert rule.poll(0.0) == []
    rule.handle(Returned(0), 5.0)
    assert said(rule.poll(5.0)) == [("run", 0, (0,))]


def test_heads_that_force_small_batches_are_dropped_where_that_is_the_rule(table, arrive, said):
    deadlines_ms = [4.0, *[40.0] * 8]
    for drop, commands in {
        "late": [("run", 0, (0, 1))],
        "small batches": [("shed", 0), ("run", 0, (1, 2, 3, 4, 5, 6, 7, 8))],
    }.items():
        rule = SingleModel(table, 0, max_batch=8, drop=drop)
        arrive(rule, deadlines_ms)
        assert said(rule.poll(0.0)) == commands


def test_evidence_from_an_earlier_answer_is_refused(rule):
    with pytest.raises(ConfigurationError, match="expected a request without evidence.* got the set 1"):
        rule.handle(Arrived(0, 50.0, evidence_set=1, confidence=0.7), 0.0)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"n_lanes": 0}, "n_lanes and max_batch of at least 1, got 0 and 32"),
        ({"max_batch": 0}, "n_lanes and max_batch of at least 1, got 1 and 0"),
        ({"drop": "never"}, "expected drop=.* got 'never'"),
        ({"level": 0.999}, "the highest profiled, got 0.999"),
    ],
)
def test_a_frame_out_of_range_is_refused(table, frame, message):
    with pytest.raises(ConfigurationError, match=message):
        SingleModel(table, 0, **frame)


@pytest.mark.parametrize("drop", ["late", "small batches"])
@pytest.mark.parametrize("name", RULES)
def test_every_request_gets_one_outcome_and_nobody_admitted_is_late_without_chance(table, name, drop):
    rng = np.random.default_rng(0)
    recorded = Recorded(rng.random((50, 4)), rng.random((50, 4)) < 0.8)
    for rate_rps in (40.0, 150.0, 600.0):
        workload = gamma(rate_rps, 3000.0, n_items=50, budget_ms={15.0: 0.5, 60.0: 0.5}, seed=1)
        rule = RULES[name](table, n_lanes=2, max_batch=8, drop=drop)
        report = run(rule, workload, recorded, ServiceTimes(table, jitter=0.0), n_lanes=2, seed=0)
        assert (report.in_time == report.is_answered).all()
