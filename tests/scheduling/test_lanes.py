"""What lanes do, and when they are free."""

from math import inf

import pytest

from cascade.scheduling.lanes import Lane, Lanes


@pytest.fixture
def three():
    """One that runs until 10, at the latest 14; one that somebody else has until 20; one that is idle."""
    lanes = Lanes(3)
    lanes[0].start(1, ["a", "b"], 10.0, 14.0)
    lanes[1].borrow(20.0)
    return lanes


def test_a_lane_gives_back_what_ran_and_for_whom_and_is_idle_then():
    lane = Lane()
    lane.start(1, ["a", "b"], 10.0, 14.0)
    assert not lane.is_idle
    assert lane.release() == (1, ["a", "b"])
    assert lane.is_idle
    assert lane.items == []


def test_a_borrowed_lane_runs_nothing_and_is_not_idle():
    lane = Lane()
    lane.borrow(20.0)
    assert not lane.is_idle
    assert lane.stage < 0
    assert lane.release()[1] == []
    assert lane.is_idle


def test_what_can_start_next_starts_now_if_a_lane_is_idle(three):
    assert three.start_ms(5.0) == 5.0


@pytest.mark.parametrize(("now_ms", "start_ms"), [(5.0, 10.0), (12.0, 12.0)])
def test_what_can_start_next_starts_when_the_first_lane_is_expected_to_be_free_but_not_in_the_past(
    three, now_ms, start_ms
):
    three[2].start(0, ["c"], 15.0, 16.0)
    assert three.start_ms(now_ms) == start_ms


@pytest.mark.parametrize(("now_ms", "free_by_ms"), [(5.0, [14.0, 20.0, 5.0]), (17.0, [17.0, 20.0, 17.0])])
def test_at_the_latest_lanes_are_free_at_the_upper_end_of_their_run(three, now_ms, free_by_ms):
    assert three.free_by_ms(now_ms) == free_by_ms


@pytest.mark.parametrize(("now_ms", "busy_ms"), [(4.0, (6.0 + 16.0) / 3), (13.0, 7.0 / 3), (30.0, 0.0)])
def test_lanes_are_busy_on_average_for_what_is_expected_of_their_runs(three, now_ms, busy_ms):
    assert three.busy_ms(now_ms) == pytest.approx(busy_ms)


def test_lanes_are_counted_and_gone_through_by_number(three):
    assert len(three) == 3
    assert list(three)[1] is three[1]


def test_a_lane_that_was_borrowed_without_an_end_lets_others_start():
    lanes = Lanes(2)
    lanes[0].borrow(inf)
    lanes[1].start(0, ["a"], 3.0, 4.0)
    assert lanes.start_ms(1.0) == 3.0
    assert lanes.free_by_ms(1.0) == [inf, 4.0]
