from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Answer, Arrived, Finished, Priority, Refuse, Run
from cascade.simulation.clients import ClosedLoop, closed_loop
from cascade.simulation.engine import run
from cascade.simulation.figures import Ending
from cascade.simulation.recorded import Recorded
from cascade.simulation.service_times import ServiceTimes, SlowDown
from cascade.simulation.workloads import gamma, poisson


def kinds(diary):
    """The diary with events as words."""
    names = {Arrived: "arrived", Finished: "finished"}
    return [(now_ms, names.get(type(what), what)) for now_ms, what in diary]


def test_batches_follow_each_other_on_a_lane_at_exact_times(fifo, workload, two_stages, exact):
    report = run(fifo(max_batch=2), workload([0, 3, 5, 6]), two_stages, exact, n_lanes=1, seed=0)
    assert report.end_ms.tolist() == [10.0, 21.0, 21.0, 31.0]
    assert report.latency_ms.tolist() == [10.0, 18.0, 16.0, 25.0]
    assert report.runs.start_ms.tolist() == [0.0, 10.0, 21.0]
    assert report.runs.took_ms.tolist() == [10.0, 11.0, 10.0]
    assert report.runs.size.tolist() == [1, 2, 1]


def test_lanes_run_beside_each_other(fifo, workload, two_stages, exact):
    report = run(fifo(n_lanes=2, max_batch=1), workload([0, 1, 2]), two_stages, exact, n_lanes=2, seed=0)
    assert report.end_ms.tolist() == [10.0, 11.0, 20.0]
    assert report.runs.lane.tolist() == [0, 1, 0]


def test_requests_of_one_instant_are_known_before_the_scheduler_is_asked(fifo, workload, two_stages, exact):
    scheduler = fifo()
    report = run(scheduler, workload([4, 4, 4]), two_stages, exact, n_lanes=1, seed=0)
    assert report.runs.size.tolist() == [3]
    assert kinds(scheduler.diary)[:4] == [(4.0, "arrived")] * 3 + [(4.0, "poll")]


def test_at_one_instant_a_batch_ends_before_a_request_arrives(fifo, workload, two_stages, exact):
    scheduler = fifo()
    run(scheduler, workload([0, 10]), two_stages, exact, n_lanes=1, seed=0)
    assert kinds(scheduler.diary)[2:5] == [(10.0, "finished"), (10.0, "arrived"), (10.0, "poll")]


def test_batches_that_end_together_end_in_the_order_of_their_lanes(scripted, workload, two_stages, exact):
    starts = [Run(1, 0, (0,), 0.0, "limit"), Run(0, 0, (1,), 0.0, "limit")]
    scheduler = scripted({0.0: starts, 10.0: [Answer(0, 1, False), Answer(1, 1, False)]})
    run(scheduler, workload([0, 0]), two_stages, exact, n_lanes=2, seed=0)
    assert [event.lane for _, event in scheduler.diary if isinstance(event, Finished)] == [0, 1]


def test_while_every_lane_is_busy_an_arrival_asks_nothing(fifo, workload, two_stages, exact):
    scheduler = fifo(max_batch=1)
    run(scheduler, workload([0, 3, 5]), two_stages, exact, n_lanes=1, seed=0)
    assert scheduler.polls() == [0.0, 10.0, 20.0, 30.0]


def test_a_scheduler_that_has_something_to_say_at_once_is_asked_while_every_lane_is_busy(
    scripted, workload, two_stages, exact
):
    class Picky(scripted):
        def handle(self, event, now_ms):
            super().handle(event, now_ms)
            if now_ms == 3.0:
                self.wakeups.append(now_ms)

    scheduler = Picky(
        {0.0: [Run(0, 0, (0,), 0.0, "limit")], 3.0: [Refuse(1, "rejected", "full")], 10.0: [Answer(0, 1, False)]}
    )
    report = run(scheduler, workload([0, 3]), two_stages, exact, n_lanes=1, seed=0)
    assert report.end_ms.tolist() == [10.0, 3.0]
    assert report.counts[Ending.REJECTED] == 1


def test_a_wakeup_comes_at_its_instant_and_only_then(scripted, workload, two_stages, exact):
    scheduler = scripted({7.5: [Refuse(0, "expired", "late")]}, wakeups=[7.5])
    report = run(scheduler, workload([0]), two_stages, exact, n_lanes=1, seed=0)
    assert scheduler.polls() == [0.0, 7.5]
    assert report.end_ms.tolist() == [7.5]


def test_a_wakeup_that_stays_in_the_past_does_not_hang(fifo, workload, two_stages, exact):
    scheduler = fifo()
    scheduler.wakeup_ms = -inf
    assert run(scheduler, workload([0, 1]), two_stages, exact, n_lanes=1, seed=0).slo_attainment == 1.0


def test_arrivals_say_deadline_class_and_strictness(fifo, workload, two_stages, exact):
    scheduler = fifo()
    asked = workload([2, 5], budget_ms=[30.0, inf], priority=[0, 2], is_strict=True)
    run(scheduler, asked, two_stages, exact, n_lanes=1, seed=0)
    arrived = [event for _, event in scheduler.diary if isinstance(event, Arrived)]
    assert arrived[0] == Arrived(0, 32.0, Priority.INTERACTIVE, 0, 0.0, True)
    assert arrived[1] == Arrived(1, inf, Priority.BACKGROUND, 0, 0.0, True)
    assert arrived[1].priority is Priority.BACKGROUND


def test_a_stage_that_ends_says_the_confidence_of_all_evidence_so_far_of_the_item_asked_for(
    fifo, workload, two_stages, exact
):
    scheduler = fifo(stages=(0, 1))
    report = run(scheduler, workload([0, 0], item=[3, 5]), two_stages, exact, n_lanes=1, seed=0)
    said = [event for _, event in scheduler.diary if isinstance(event, Finished)]
    assert said[0].confidences == pytest.approx((0.31, 0.51))
    assert said[1].confidences == pytest.approx((0.33, 0.53))
    assert [event.service_ms for event in said] == [11.0, 21.0]
    assert report.evidence_set.tolist() == [3, 3]
    assert report.correct.tolist() == [True, True]


def test_an_answer_may_rest_on_fewer_stages_than_ran(scripted, workload, two_stages, exact):
    scheduler = scripted(
        {
            0.0: [Run(0, 0, (0,), 0.5, "limit")],
            10.0: [Run(0, 1, (0,), 0.125, "limit")],
            30.0: [Answer(0, 1, True)],
        }
    )
    report = run(scheduler, workload([0]), two_stages, exact, n_lanes=1, seed=0)
    assert report.evidence_set.tolist() == [1]
    assert report.correct.tolist() == [False]
    assert report.counts[Ending.DEGRADED] == 1
    assert report.price.tolist() == [0.125]


def test_a_strict_answer_comes_while_its_stage_runs_on(scripted, workload, two_stages, exact):
    scheduler = scripted(
        {
            0.0: [Run(0, 0, (0, 1), 0.0, "limit")],
            11.0: [Run(0, 1, (0, 1), 0.0, "limit")],
            25.0: [Answer(0, 1, True)],
            32.0: [Answer(1, 3, False)],
        },
        wakeups=[25.0],
    )
    report = run(scheduler, workload([0, 0], budget_ms=[25, 100], is_strict=True), two_stages, exact, n_lanes=1, seed=0)
    assert report.end_ms.tolist() == [25.0, 32.0]
    assert report.in_time.all()
    last = [event for _, event in scheduler.diary if isinstance(event, Finished)][-1]
    assert len(last.confidences) == 2


@pytest.mark.parametrize("reason", ["rejected", "expired", "shed", "failed"])
def test_every_reason_of_a_refusal_is_an_ending(reason, scripted, workload, two_stages, exact):
    scheduler = scripted({1.0: [Refuse(0, reason, "because")]})
    report = run(scheduler, workload([1]), two_stages, exact, n_lanes=1, seed=0)
    assert report.counts[Ending[reason.upper()]] == 1
    assert report.evidence_set.tolist() == [0]
    assert not report.correct.any()


FIRST = Run(0, 0, (0,), 0.0, "limit")


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ({}, "request 0 has none"),
        ({0.0: [FIRST]}, "request 0 has none"),
        ({0.0: [Refuse(0, "shed", ""), Refuse(0, "shed", "")]}, "another one, shed, for request 0"),
        ({0.0: [FIRST], 10.0: [Answer(0, 1, False), Answer(0, 1, False)]}, "another one, answered, for request 0"),
        ({0.0: [Refuse(1, "shed", "")]}, "another one, shed, for request 1"),
        ({0.0: [Answer(0, 1, False)]}, r"the stages that have run for it, \[\], got \[0\]"),
        ({0.0: [FIRST], 10.0: [Answer(0, 2, False)]}, r"the stages that have run for it, \[0\], got \[1\]"),
        ({0.0: [FIRST], 10.0: [Answer(0, 0, False)]}, r"the stages that have run for it, \[0\], got \[\]"),
        ({0.0: [FIRST, Run(0, 1, (0,), 0.0, "limit")]}, "an idle lane of 1, got lane 0"),
        ({0.0: [Run(1, 0, (0,), 0.0, "limit")]}, "an idle lane of 1, got lane 1"),
        ({0.0: [Run(0, 0, (), 0.0, "limit")]}, "at least one request"),
        ({0.0: [Run(0, 0, (0, 0), 0.0, "limit")]}, "request 0 runs already"),
        ({0.0: [Run(0, 0, (0, 1), 0.0, "limit")]}, "request 1 has not arrived"),
        ({0.0: [FIRST], 10.0: [FIRST]}, r"request 0 has run the stages \[0\], so that stage 0 cannot run"),
        ({0.0: [Refuse(0, "shed", ""), FIRST]}, r"request 0 has ended \(shed\)"),
        ({0.0: ["stop"]}, "expected Run, Answer or Refuse, got 'stop'"),
    ],
)
def test_a_scheduler_that_breaks_its_word_is_an_error(commands, message, scripted, workload, two_stages, exact):
    with pytest.raises(ConfigurationError, match=message):
        run(scripted(commands), workload([0, 50]), two_stages, exact, n_lanes=1, seed=0)


def test_a_stage_does_not_run_before_the_one_it_goes_on_from(scripted, workload, two_stages, exact):
    exits = Recorded(two_stages.confidence, two_stages.correct, requires=(-1, 0))
    scheduler = scripted({0.0: [Run(0, 1, (0,), 0.0, "limit")]})
    with pytest.raises(ConfigurationError, match="stage 1 cannot run for it"):
        run(scheduler, workload([0]), exits, exact, n_lanes=1, seed=0)


def test_parts_that_do_not_fit_together_are_an_error(fifo, workload, two_stages, exact):
    with pytest.raises(ConfigurationError, match="n_lanes of at least 1, got 0"):
        run(fifo(), workload([0]), two_stages, exact, n_lanes=0, seed=0)
    with pytest.raises(ConfigurationError, match="2 recorded stages, got 1"):
        run(fifo(), workload([0]), two_stages, ServiceTimes(ServiceTable.from_costs([1.0])), n_lanes=1, seed=0)
    with pytest.raises(ConfigurationError, match="draw it with n_items=8"):
        run(fifo(), workload([0], item=[8]), two_stages, exact, n_lanes=1, seed=0)


def test_a_client_sends_again_when_its_last_request_has_ended_and_it_has_thought(fifo, workload, two_stages, exact):
    like = workload([0] * 4)
    clients = ClosedLoop(
        np.array([0.0, 1.0]), np.array([5.0, 0.0, 7.0, 0.0]), like.budget_ms, like.priority, like.item, like.is_strict
    )
    report = run(fifo(max_batch=1), clients, two_stages, exact, n_lanes=1, seed=0)
    # Request 0 ends at 10 and its client thinks until 15; request 1 ends at 20, and its client sends again at once.
    assert report.arrival_ms.tolist() == [0.0, 1.0, 15.0, 20.0]
    assert report.end_ms.tolist() == [10.0, 20.0, 30.0, 40.0]


def test_a_client_has_one_request_in_progress(fifo, two_stages, exact):
    clients = closed_loop(5, 3.0, 200, n_items=8, budget_ms=50.0, seed=3)
    report = run(fifo(), clients, two_stages, exact, n_lanes=1, seed=0)
    assert report.n_requests == 200
    begins, ends = np.sort(report.arrival_ms), np.sort(report.end_ms)
    in_progress = np.arange(1, 201) - np.searchsorted(ends, begins, side="right")
    assert in_progress.max() <= 5
    assert (np.diff(report.arrival_ms) >= 0.0).all()


def test_a_slow_period_lasts_from_its_start_to_its_end(fifo, workload, two_stages, exact):
    hot = ServiceTimes(exact.table, jitter=0.0, slowdowns=(SlowDown(30.0, 60.0, 3.0),))
    report = run(fifo(), workload([0, 30, 60]), two_stages, hot, n_lanes=1, seed=0)
    assert report.end_ms.tolist() == [10.0, 60.0, 70.0]


def test_the_same_arguments_give_the_same_report_and_another_seed_another(fifo, two_stages, exact):
    jittery = ServiceTimes(exact.table, jitter=0.2, spike_share=0.01)
    asked = gamma(200.0, 3000.0, n_items=8, budget_ms=60.0, seed=4)
    one, same, other = (run(fifo(), asked, two_stages, jittery, n_lanes=1, seed=seed) for seed in (1, 1, 2))
    assert one.end_ms.tolist() == same.end_ms.tolist()
    assert one.to_dict() == same.to_dict()
    assert one.end_ms.tolist() != other.end_ms.tolist()


def test_a_progress_bar_does_not_change_the_report(fifo, two_stages, exact, capsys):
    asked = poisson(450.0, 6000.0, n_items=8, seed=1)
    assert asked.n_requests > 2500
    quiet, shown = (
        run(fifo(), asked, two_stages, exact, n_lanes=1, seed=0, progress=progress) for progress in (False, True)
    )
    assert quiet.end_ms.tolist() == shown.end_ms.tolist()
    assert not capsys.readouterr().out


@settings(max_examples=40)
@given(
    arrival_ms=st.lists(st.integers(0, 60), min_size=1, max_size=8).map(sorted),
    n_lanes=st.integers(1, 3),
    max_batch=st.integers(1, 4),
    stages=st.sampled_from([(0,), (1,), (0, 1), (1, 0)]),
    seed=st.integers(0, 5),
)
def test_no_lane_runs_two_batches_at_once_and_every_request_ends_once(
    fifo, workload, two_stages, arrival_ms, n_lanes, max_batch, stages, seed
):
    times = ServiceTimes(ServiceTable.from_costs([3.0, 7.0]), jitter=0.3)
    scheduler = fifo(n_lanes, max_batch, stages)
    report = run(scheduler, workload(arrival_ms), two_stages, times, n_lanes=n_lanes, seed=seed)
    assert sum(report.counts.values()) == len(arrival_ms)
    assert (report.end_ms > report.arrival_ms).all()
    runs = report.runs
    assert runs.size.sum() == len(stages) * len(arrival_ms)
    for lane in range(n_lanes):
        mine = runs.lane == lane
        ends_ms = runs.start_ms[mine] + runs.took_ms[mine]
        assert (runs.start_ms[mine][1:] >= ends_ms[:-1]).all()
