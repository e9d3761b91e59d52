"""The scheduler told one event after the other: the small stage takes 1 + n ms, the large one 2 + 4 n, at most 1.5 times that.

Below a confidence of 0.8 the chain asks the large stage.
"""

from math import inf

import pytest

from cascade.core.policy import Policy
from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Answer, Arrived, Priority, Refuse, Run
from cascade.scheduling.scheduler import Scheduler

SMALL, LARGE = 0, 1
UNSURE, SURE = 0.3, 0.95
BOTH = 0b11


@pytest.fixture
def driven(drive, pair):
    """A scheduler of the chain, with batches of up to eight."""

    def made(policy=pair.chain, **keywords):
        return drive(policy, **{"max_batch": 8} | keywords)

    return made


@pytest.fixture
def asking(driven):
    """Request 0 is unsure and runs the large stage from 2 on, until 8 as expected and 11 at the latest."""
    one = driven()
    one.arrives(0.0, 0)
    assert one.ends(2.0, UNSURE) == [("run", LARGE, (0,))]
    return one


def test_a_lone_request_runs_at_once_and_is_answered_when_it_is_sure(driven):
    one = driven()
    assert one.arrives(0.0, 0) == [("run", SMALL, (0,))]
    assert one.said == [Run(0, SMALL, (0,), 0.0, "nobody else")]
    assert one.ends(2.0, SURE) == [("answer", 0, 0b01)]
    assert one.scheduler.n_waiting == 0


def test_an_unsure_request_runs_the_next_stage(asking):
    assert asking.ends(8.0, 0.5) == [("answer", 0, BOTH)]


def test_requests_that_come_while_the_lane_is_busy_run_together(driven):
    one = driven()
    one.arrives(0.0, 0)
    assert one.arrives(0.5, [1, 2]) == one.arrives(1.0, 3) == []
    assert one.scheduler.n_waiting == 3
    assert one.ends(2.0, SURE) == [("answer", 0, 0b01), ("run", SMALL, (1, 2, 3))]
    assert one.scheduler.n_waiting == 0


def test_only_the_unsure_rows_of_a_batch_go_on(driven):
    one = driven()
    one.arrives(0.0, [0, 1, 2, 3])
    assert one.ends(5.0, UNSURE, SURE, UNSURE, SURE) == [
        ("answer", 1, 0b01),
        ("answer", 3, 0b01),
        ("run", LARGE, (0, 2)),
    ]
    assert one.ends(15.0, 0.9, 0.1) == [("answer", 0, BOTH), ("answer", 2, BOTH)]


def test_unsure_rows_of_several_batches_run_together(driven):
    one = driven(n_lanes=2)
    one.arrives(0.0, [0, 1])
    assert one.arrives(1.0, [2, 3], deadline_ms=900.0) == [("run", SMALL, (2, 3))]
    one.arrives(1.0, 4, deadline_ms=50.0)
    assert one.ends(3.0, UNSURE, SURE, lane=0) == [("answer", 1, 0b01), ("run", SMALL, (4,))]
    assert one.ends(4.0, SURE, UNSURE, lane=1) == [("answer", 2, 0b01), ("run", LARGE, (3, 0))]


def test_a_batch_is_closed_by_its_limit(driven):
    one = driven(max_batch=2)
    one.borrows(0.0, until_ms=1.0)
    one.arrives(0.0, [0, 1, 2])
    assert one.returns(1.0) == [("run", SMALL, (0, 1))]
    assert one.said[0].closed_by == "limit"


def test_a_batch_is_closed_by_the_deadline_of_one_of_it(driven):
    one = driven()
    one.borrows(0.0, until_ms=1.0)
    one.arrives(0.0, 0, deadline_ms=7.0)
    one.arrives(0.0, [1, 2, 3])
    assert one.returns(1.0) == [("run", SMALL, (0, 1, 2))]
    assert one.said[0].closed_by == "deadline"


def test_within_a_class_the_earliest_deadline_goes_first(driven):
    one = driven(max_batch=1)
    one.borrows(0.0, until_ms=1.0)
    for request, deadline_ms in enumerate([300.0, 100.0, inf, 200.0]):
        one.arrives(0.0, request, deadline_ms)
    order = [one.returns(1.0)]
    order += [one.ends(3.0 + 2.0 * k, SURE)[-1:] for k in range(3)]
    assert order == [[("run", SMALL, (request,))] for request in (1, 3, 0, 2)]


def test_interactive_requests_go_before_normal_ones_and_these_before_the_background(driven):
    one = driven(max_batch=1, background_share=0.0)
    one.borrows(0.0, until_ms=1.0)
    for request, priority in enumerate([Priority.BACKGROUND, Priority.NORMAL, Priority.INTERACTIVE]):
        one.arrives(0.0, request, deadline_ms=100.0 + request, priority=priority)
    assert one.returns(1.0) == [("run", SMALL, (2,))]
    assert one.ends(3.0, UNSURE) == [("run", LARGE, (2,))]
    assert one.ends(9.0, UNSURE)[1:] == [("run", SMALL, (1,))]
    assert one.ends(11.0, SURE)[1:] == [("run", SMALL, (0,))]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_the_background_class_gets_the_share_that_was_stated(driven, share):
    one = driven(max_batch=1, background_share=share)
    one.borrows(0.0, until_ms=1.0)
    one.arrives(0.0, range(160), deadline_ms=1e6, priority=Priority.BACKGROUND)
    one.arrives(0.0, range(160, 320), deadline_ms=1e5, priority=Priority.NORMAL)
    commands, n_background = one.returns(1.0), 0
    for k in range(140):
        n_background += commands[-1][2][0] < 160
        commands = one.ends(3.0 + 2.0 * k, SURE)
    assert n_background == pytest.approx(140 * share, abs=1)


def test_a_strict_request_is_answered_by_its_deadline_while_a_stage_runs_and_what_that_says_is_dropped(driven):
    one = driven(guard_ms=1.0)
    one.arrives(0.0, 0, deadline_ms=12.0, is_strict=True)
    assert one.ends(2.0, UNSURE) == [("run", LARGE, (0,))]
    assert one.wakes() == (11.0, [("degraded", 0, 0b01)])
    assert one.ends(14.0, SURE, service_ms=12.0) == []
    assert one.scheduler.next_wakeup_ms() == inf


def test_a_strict_request_of_which_nothing_is_known_expires_at_its_deadline(driven):
    one = driven()
    one.arrives(0.0, 0, deadline_ms=5.0, is_strict=True)
    one.arrives(0.0, 1)
    assert one.wakes() == (5.0, [("expired", 0)])
    assert one.ends(9.0, SURE, service_ms=9.0) == [("run", SMALL, (1,))]


def test_the_guard_time_of_strict_requests_counts_on_arrival_too(driven):
    assert driven(guard_ms=1.0).arrives(0.0, 0, deadline_ms=3.9, is_strict=True) == [("rejected", 0)]
    assert driven(guard_ms=1.0).arrives(0.0, 0, deadline_ms=4.0, is_strict=True) == [("run", SMALL, (0,))]
    assert driven(guard_ms=1.0).arrives(0.0, 0, deadline_ms=3.9) == [("run", SMALL, (0,))]


def test_others_wait_for_the_stage_that_runs_for_them(asking):
    assert asking.scheduler.next_wakeup_ms() == inf
    assert asking.tell(2000.0) == []
    assert asking.ends(2001.0, SURE) == [("answer", 0, BOTH)]


def test_a_strict_request_that_is_done_early_is_answered_early(driven):
    one = driven()
    one.arrives(0.0, 0, deadline_ms=50.0, is_strict=True)
    assert one.ends(2.0, SURE) == [("answer", 0, 0b01)]
    assert one.scheduler.next_wakeup_ms() == inf


def test_a_request_that_cannot_start_in_time_any_more_expires(asking):
    assert asking.arrives(3.0, 1, deadline_ms=14.5) == []
    at, commands = asking.wakes()
    assert at == pytest.approx(12.5, abs=1e-5)
    assert commands == [("expired", 1)]
    assert asking.ends(20.0, SURE) == [("answer", 0, BOTH)]


def test_a_request_is_refused_at_once_if_even_the_fastest_stage_may_be_late(driven, asking):
    # The lane is free at 11 at the latest, and the small stage takes at most 3.
    assert asking.arrives(3.0, 1, deadline_ms=13.9) == [("rejected", 1)]
    assert asking.said == [Refuse(1, "rejected", "not even the fastest stage can answer by its deadline")]
    assert asking.arrives(3.0, 2, deadline_ms=14.0) == []
    assert driven().arrives(5.0, 0, deadline_ms=7.9) == [("rejected", 0)]
    assert driven().arrives(5.0, 0, deadline_ms=8.0) == [("run", SMALL, (0,))]


def test_a_full_queue_refuses_whoever_comes_next(driven):
    one = driven(max_waiting=2)
    one.arrives(0.0, 0)
    assert one.arrives(0.0, [1, 2, 3]) == [("rejected", 3)]
    assert one.said[0].why == "2 requests wait already"
    one.ends(2.0, SURE)
    assert one.arrives(2.0, 4) == []


def test_a_cancelled_request_that_waits_never_runs(driven):
    one = driven()
    one.arrives(0.0, 0)
    one.arrives(0.0, [1, 2])
    assert one.cancels(1.0, 1) == []
    assert one.scheduler.n_waiting == 1
    assert one.ends(2.0, SURE) == [("answer", 0, 0b01), ("run", SMALL, (2,))]


def test_what_was_running_for_a_cancelled_request_is_dropped(driven):
    one = driven()
    one.arrives(0.0, [0, 1])
    assert one.cancels(1.0, 0) == []
    assert one.ends(3.0, UNSURE, SURE) == [("answer", 1, 0b01)]
    assert one.scheduler.n_waiting == 0


def test_a_cancelled_strict_request_is_not_waited_for(driven):
    one = driven()
    one.arrives(0.0, 0, deadline_ms=50.0, is_strict=True)
    one.cancels(1.0, 0)
    assert one.scheduler.next_wakeup_ms() == inf
    assert one.tell(60.0) == []


def test_cancelling_what_has_ended_or_never_came_changes_nothing(driven):
    one = driven()
    one.arrives(0.0, 0)
    one.ends(2.0, SURE)
    assert one.cancels(3.0, 0) == one.cancels(3.0, 77) == []


def test_where_the_first_stage_fails_another_answers_and_that_is_less_than_was_planned(driven, pair):
    one = driven(pair.fitted)
    one.arrives(0.0, [0, 1])
    assert one.fails(3.0) == [("run", LARGE, (0, 1))]
    assert one.ends(13.0, SURE) == [("degraded", 0, 0b10), ("degraded", 1, 0b10)]


def test_a_request_for_which_every_stage_has_failed_is_given_up(driven, pair):
    one = driven(pair.fitted)
    one.arrives(0.0, 0)
    assert one.fails(2.0) == [("run", LARGE, (0,))]
    assert one.fails(8.0) == [("failed", 0)]
    assert one.said[0].why == "every stage that it could start with failed"


def test_the_second_exit_cannot_run_where_the_first_has_failed(driven):
    one = driven()
    one.arrives(0.0, 0)
    assert one.fails(2.0) == [("failed", 0)]


def test_where_a_later_stage_fails_the_evidence_there_is_answers(asking):
    assert asking.fails(8.0) == [("degraded", 0, 0b01)]


def test_a_stage_that_failed_for_one_request_runs_for_the_next(driven, pair):
    one = driven(pair.fitted, max_batch=1)
    one.arrives(0.0, [0, 1])
    assert one.fails(2.0) == [("run", LARGE, (0,))]
    assert one.ends(8.0, SURE) == [("degraded", 0, 0b10), ("run", SMALL, (1,))]


def test_a_fault_after_a_request_has_ended_says_nothing_about_it(driven):
    one = driven()
    one.arrives(0.0, [0, 1])
    one.cancels(1.0, 0)
    assert one.fails(3.0) == [("failed", 1)]


def test_a_borrowed_lane_is_given_no_work_until_it_is_back(driven):
    one = driven()
    one.borrows(0.0, until_ms=5.0)
    assert one.arrives(0.0, 0, deadline_ms=7.9) == [("rejected", 0)]
    assert one.arrives(0.0, 1, deadline_ms=8.0) == []
    assert one.returns(4.0) == [("run", SMALL, (1,))]


def test_a_borrowed_lane_leaves_the_others_at_work(driven):
    one = driven(n_lanes=2)
    one.borrows(0.0, until_ms=5.0, lane=0)
    assert one.arrives(0.0, 0) == [("run", SMALL, (0,))]
    assert one.said[0].lane == 1


def test_every_idle_lane_gets_a_run_and_the_first_one_goes_first(driven):
    one = driven(n_lanes=2, max_batch=2)
    assert one.arrives(0.0, [0, 1, 2, 3, 4]) == [("run", SMALL, (0, 1)), ("run", SMALL, (2, 3))]
    assert [run.lane for run in one.said] == [0, 1]
    assert one.ends(3.0, SURE, lane=1) == [("answer", 2, 1), ("answer", 3, 1), ("run", SMALL, (4,))]
    assert one.said[-1].lane == 1


def test_later_arrivals_are_decided_under_the_new_policy_and_those_in_progress_under_theirs(driven, pair):
    one = driven()
    one.borrows(0.0, until_ms=1.0)
    one.arrives(0.0, 0)
    one.scheduler.follow(Policy.from_thresholds([0.2], pair.service).for_classes(("no", "yes")))
    one.arrives(0.5, 1)
    assert one.returns(1.0) == [("run", SMALL, (0, 1))]
    assert one.ends(4.0, UNSURE) == [("answer", 1, 0b01), ("run", LARGE, (0,))]


@pytest.mark.parametrize(("confidence", "said"), [(SURE, ("answer", 0, 0b01)), (UNSURE, ("run", LARGE, (0,)))])
def test_evidence_that_a_request_comes_with_is_used(driven, confidence, said):
    assert driven().arrives(0.0, 0, evidence_set=0b01, confidence=confidence) == [said]


def test_a_request_with_evidence_is_answered_from_it_at_once_if_the_next_stage_cannot_be_in_time(driven, asking):
    assert driven().arrives(0.0, 0, deadline_ms=8.9, evidence_set=0b01, confidence=UNSURE) == [("answer", 0, 0b01)]
    # The lane is expected to be free at 8, and the large stage takes at most 9.
    late = {"evidence_set": 0b01, "confidence": UNSURE}
    assert asking.arrives(3.0, 1, deadline_ms=17.1, **late) == []
    assert asking.arrives(3.0, 2, deadline_ms=16.9, **late) == [("degraded", 2, 0b01)]


def test_an_answer_is_degraded_only_if_waiting_cost_it_something(driven):
    # Of 10.9 ms the small stage leaves 8.9 however early it runs; of 12 it leaves 10, unless the request waits for it.
    short = driven()
    short.arrives(0.0, 0, deadline_ms=10.9)
    assert short.ends(2.0, UNSURE) == [("answer", 0, 0b01)]
    waited = driven()
    waited.borrows(0.0, until_ms=2.0)
    waited.arrives(0.0, 0, deadline_ms=12.0)
    waited.returns(2.0)
    assert waited.ends(4.0, UNSURE) == [("degraded", 0, 0b01)]


def test_accuracy_for_one_does_not_make_another_late_that_was_admitted(driven):
    one = driven()
    one.arrives(0.0, 0, deadline_ms=13.0)
    one.arrives(1.0, 1, deadline_ms=13.5)
    # The large stage for the first may take until 11, and the small one for the second until 14.
    assert one.ends(2.0, UNSURE) == [("run", SMALL, (1,))]
    assert one.ends(4.0, SURE) == [("answer", 1, 0b01), ("run", LARGE, (0,))]


def test_where_both_are_in_time_the_more_urgent_one_gets_its_accuracy_first(driven):
    one = driven()
    one.arrives(0.0, 0, deadline_ms=13.0)
    one.arrives(1.0, 1, deadline_ms=14.0)
    assert one.ends(2.0, UNSURE) == [("run", LARGE, (0,))]


def test_a_lower_class_does_not_keep_a_higher_one_from_its_accuracy(driven):
    one = driven()
    one.arrives(0.0, 0, deadline_ms=13.0)
    one.arrives(1.0, 1, deadline_ms=13.5, priority=Priority.BACKGROUND)
    assert one.ends(2.0, UNSURE) == [("run", LARGE, (0,))]


def test_the_log_holds_every_command_with_its_instant(driven):
    one = driven()
    one.arrives(0.0, 0)
    one.arrives(1.0, 1, deadline_ms=2.0)
    one.ends(2.0, SURE)
    assert one.scheduler.decisions() == (
        (0.0, Run(0, SMALL, (0,), 0.0, "nobody else")),
        (1.0, Refuse(1, "rejected", "not even the fastest stage can answer by its deadline")),
        (2.0, Answer(0, 0b01, False)),
    )


def test_the_log_forgets_what_is_old(driven):
    one = driven()
    for request in range(400):
        one.arrives(4.0 * request, request, deadline_ms=inf)
        one.ends(4.0 * request + 2.0, SURE)
    log = one.scheduler.decisions()
    assert len(log) < 400
    assert log[-1] == (1598.0, Answer(399, 0b01, False))


def test_a_scheduler_with_nothing_to_do_does_not_wake_up(driven, asking):
    assert driven().scheduler.next_wakeup_ms() == inf
    assert driven().tell(5.0) == []
    asking.arrives(3.0, 1, deadline_ms=inf)
    assert asking.scheduler.next_wakeup_ms() == inf


def test_a_refusal_on_arrival_is_said_without_delay(pair):
    scheduler = Scheduler(pair.chain, max_batch=8)
    scheduler.handle(Arrived(0, 1.0), 0.0)
    assert scheduler.next_wakeup_ms() <= 0.0
    assert [command.request for command in scheduler.poll(0.0)] == [0]
    assert scheduler.next_wakeup_ms() == inf


def test_where_a_later_stage_is_the_fastest_no_wakeup_lies_in_the_past(drive, linear):
    """One that has been due already would keep the owner's thread spinning until a lane is free."""
    exits = Policy.from_thresholds([0.8], linear([(5.0, 1.0), (0.5, 0.5)], ("slow", "quick"))).for_classes((0, 1))
    one = drive(exits, max_batch=1)
    one.arrives(0.0, [0, 1], deadline_ms=40.0)
    one.arrives(0.0, 2, deadline_ms=30.0)
    assert one.ends(6.0, UNSURE) == [("run", 0, (2,))]
    now_ms, commands = 6.0, []
    while one.scheduler.n_waiting:
        wakeup_ms = one.scheduler.next_wakeup_ms()
        assert now_ms < wakeup_ms <= 40.0
        now_ms = wakeup_ms
        commands += one.tell(now_ms)
    # The lane has been due since 12. Request 1 can start until 34, request 0 go on until 38.5.
    assert commands == [("expired", 1), ("degraded", 0, 0b01)]


@pytest.mark.parametrize(
    ("given", "message"),
    [({"n_lanes": 0}, "n_lanes"), ({"headroom": 2.0}, "headroom"), ({"on_overload": "wait"}, "on_overload")],
)
def test_a_scheduler_that_cannot_work_is_not_made(pair, given, message):
    with pytest.raises(ConfigurationError, match=message):
        Scheduler(pair.chain, **given)
