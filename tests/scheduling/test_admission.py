"""Who is promised an answer: the small stage, the fastest, takes at most 3, 4.5, 6, 7.5, ... for 1, 2, 3, 4, ... requests."""

from types import SimpleNamespace

import pytest

from cascade.scheduling.admission import Admission
from cascade.scheduling.messages import Priority
from cascade.scheduling.slowdown import SlowDown
from cascade.scheduling.waiting import Waiting


class Asked:
    """An admission with its queue; requests get the numbers 0, 1, 2, ..."""

    def __init__(self, times, item):
        self.waiting, self.slowdown, self.item, self.n = Waiting(), SlowDown(times, 1), item, 0
        self.admission = Admission(SimpleNamespace(times=times, sheds=False), 0, self.waiting, self.slowdown)

    def comes(self, *deadlines_ms, is_admitted=False, **given):
        for deadline_ms in deadlines_ms:
            one = self.item(self.n, deadline_ms, **given)
            one.is_admitted = is_admitted
            self.waiting.add(one)
            self.admission.arrived(deadline_ms)
            self.n += 1
        return one

    def refused(self, *free_ms, rate_per_ms=0.0, utilisation=0.0):
        return [one.request for one in self.admission.refused(free_ms or (0.0,), rate_per_ms, utilisation)]


@pytest.fixture
def asked(pair, item):
    return Asked(pair.times, item)


def test_the_least_time_to_start_with_is_what_the_fastest_stage_takes_in_the_mean_now(asked):
    assert asked.admission.least_ms == 2.0
    for _ in range(30):
        asked.slowdown.note(0, 0, 1, 6.0)
    asked.admission.refresh()
    assert asked.admission.least_ms == pytest.approx(6.0, rel=0.05)


@pytest.mark.parametrize(
    ("free_ms", "deadline_ms", "is_possible"),
    [([0.0], 3.0, True), ([0.0], 2.9, False), ([9.0, 1.0], 4.0, True), ([9.0, 1.0], 3.9, False)],
)
def test_a_request_can_be_served_if_the_first_lane_to_be_free_may_take_its_longest(
    asked, item, free_ms, deadline_ms, is_possible
):
    assert asked.admission.is_possible(item(0, deadline_ms), free_ms) is is_possible


def test_nobody_is_refused_whom_one_batch_serves(asked):
    asked.comes(6.0, 6.0, 6.0)
    assert asked.refused() == []


def test_whoever_more_than_can_be_served_came_with_is_refused(asked):
    asked.comes(5.0, 5.0, 5.0)
    assert asked.refused() == [2]


@pytest.mark.parametrize(("free_ms", "refused"), [((0.0, 0.0), [4]), ((0.0, 1.0), [3, 4]), ((0.0, 2.1), [2, 3, 4])])
def test_lanes_share_the_work_from_when_they_are_free(asked, free_ms, refused):
    asked.comes(5.0, 5.0, 5.0, 5.0, 5.0)
    assert asked.refused(*free_ms) == refused


def test_batches_hold_no_more_than_their_limit(asked):
    # Eight take at most 13.5, and another batch is at its earliest done at 16.5.
    asked.comes(*[16.5] * 9)
    assert asked.refused() == []
    asked.comes(16.5)
    assert asked.refused() == [9]


def test_an_urgent_request_that_forces_a_small_batch_is_refused_if_more_can_be_served_then(asked):
    # It would run alone until 3, and six of the others until 13.5; without it all eight are done by then.
    asked.comes(3.5, *[14.0] * 8)
    assert asked.refused() == [0]


@pytest.mark.parametrize(
    ("rate_per_ms", "utilisation", "refused"), [(1.0, 1.0, [0]), (1.0, 0.65, []), (0.8, 1.0, []), (0.0, 1.0, [])]
)
def test_time_has_a_worth_only_where_lanes_are_busy_and_more_comes_than_can_be_served(
    asked, rate_per_ms, utilisation, refused
):
    # Three can be served in two runs of 7.5 ms, or two in one of 4.5; eight in the mean of 9 ms are what can be served at best.
    asked.comes(3.5, 40.0, 40.0)
    for _ in range(64):
        asked.admission.arrived(24.0)
    assert asked.refused(rate_per_ms=rate_per_ms, utilisation=utilisation) == refused


def test_whoever_was_admitted_is_not_refused(asked):
    asked.comes(5.0, 5.0, is_admitted=True)
    asked.comes(5.5)
    assert asked.refused() == [2]
    asked.comes(5.0, 5.0, is_admitted=True)
    assert not {0, 1, 3, 4} & set(asked.refused())


def test_whoever_would_make_an_admitted_request_late_is_refused_though_it_is_more_urgent(asked):
    asked.comes(5.0, 5.0, is_admitted=True)
    asked.comes(4.9)
    assert asked.refused() == [2]


def test_a_promise_to_a_lower_class_does_not_keep_a_higher_one_out(asked):
    asked.comes(5.0, 5.0, priority=Priority.BACKGROUND, is_admitted=True)
    asked.comes(4.9, priority=Priority.INTERACTIVE)
    assert asked.refused() == []


def test_requests_with_evidence_need_no_promise(asked):
    asked.comes(1.0, 1.0, evidence=(0b01, 0.3))
    asked.comes(3.0)
    assert asked.refused() == []


def test_higher_classes_are_served_first(asked):
    asked.comes(5.0, 5.0, priority=Priority.BACKGROUND)
    asked.comes(5.0, priority=Priority.INTERACTIVE)
    assert asked.refused() == [1]


@pytest.mark.parametrize(("deadline_ms", "is_admitted"), [(5.9, True), (6.1, False)])
def test_a_request_is_promised_an_answer_once_the_next_question_comes_after_half_of_its_time(
    asked, deadline_ms, is_admitted
):
    one = asked.comes(deadline_ms)
    assert asked.refused() == []
    assert one.is_admitted is is_admitted


def test_a_request_that_was_left_open_may_be_refused_when_more_have_come(asked):
    asked.comes(16.4)
    assert asked.refused() == []
    asked.comes(*[16.3] * 8)
    assert asked.refused() == [0]


@pytest.mark.parametrize(("free_ms", "stays"), [([0.0], True), ([0.1], False), ([0.1, 3.0], True), ([0.1, 3.1], False)])
def test_fresh_requests_stay_served_if_lanes_are_free_early_enough(asked, free_ms, stays):
    # One batch of three takes 6, or one of two 4.5 and one of one, on another lane, 3.
    asked.comes(6.0, 6.0, 6.0)
    assert asked.admission.stays_served(Priority.BACKGROUND, free_ms) is stays


def test_of_lower_classes_nothing_needs_to_stay_served(asked):
    asked.comes(5.0, priority=Priority.BACKGROUND)
    asked.comes(20.0, priority=Priority.INTERACTIVE)
    assert asked.admission.stays_served(Priority.NORMAL, [9.0])
    assert not asked.admission.stays_served(Priority.BACKGROUND, [9.0])


def test_where_nothing_is_fresh_everything_stays_served(asked):
    assert asked.admission.stays_served(Priority.BACKGROUND, [99.0])
    asked.comes(5.0, evidence=(0b01, 0.3))
    assert asked.admission.stays_served(Priority.BACKGROUND, [99.0])
