"""Requests that wait: their order, what is known of them, and whose turn it is."""

from math import inf

import numpy as np
import pytest

from cascade.scheduling.messages import Priority
from cascade.scheduling.outlook import Outlook
from cascade.scheduling.waiting import Turns, Waiting

HIGH, NORMAL, LOW = Priority.INTERACTIVE, Priority.NORMAL, Priority.BACKGROUND


@pytest.fixture
def fitted(pair):
    return Outlook(pair.fitted, 8)


@pytest.fixture
def queue(item):
    """Requests 0, 1, 2, ... of these classes and deadlines."""

    def of(*places):
        waiting = Waiting()
        items = [item(i, deadline_ms, priority=priority) for i, (priority, deadline_ms) in enumerate(places)]
        for one in items:
            waiting.add(one)
        return waiting, items

    return of


def numbers(items):
    return [one.request for one in items]


def test_classes_come_before_deadlines_and_deadlines_before_arrivals(queue):
    waiting, _ = queue((LOW, 1.0), (NORMAL, 9.0), (HIGH, 50.0), (NORMAL, 5.0), (NORMAL, 9.0), (HIGH, 40.0))
    assert numbers(waiting) == numbers(waiting.items()) == [5, 2, 3, 1, 4, 0]
    assert len(waiting) == 6


def test_one_is_taken_out_and_the_others_stay_in_order(queue):
    waiting, items = queue((NORMAL, 9.0), (NORMAL, 9.0), (NORMAL, 9.0))
    waiting.remove(items[1])
    assert numbers(waiting) == [0, 2]


def test_taking_out_one_that_is_not_there_changes_nothing(queue):
    waiting, items = queue((NORMAL, 9.0), (NORMAL, 9.0), (NORMAL, 9.0))
    waiting.remove(items[2])
    waiting.remove(items[2])
    assert numbers(waiting) == [0, 1]
    assert waiting.fresh_deadlines(LOW) == [9.0, 9.0]


def test_the_earliest_deadline_may_be_that_of_a_low_class(queue):
    waiting, items = queue((HIGH, 50.0), (LOW, 7.0), (NORMAL, 9.0))
    assert waiting.earliest_ms == 7.0
    waiting.remove(items[1])
    assert waiting.earliest_ms == 9.0
    assert Waiting().earliest_ms == inf


def test_fresh_requests_are_those_for_which_nothing_has_run(queue):
    waiting, items = queue((NORMAL, 9.0), (HIGH, 50.0), (LOW, 3.0), (NORMAL, 5.0))
    waiting.remove(items[3])
    items[3].learn(0b01, 0.3)
    waiting.add(items[3])
    assert numbers(waiting) == [1, 3, 0, 2]
    assert numbers(waiting.fresh()) == [1, 0, 2]
    assert waiting.n_fresh == 3
    waiting.remove(items[3])
    assert waiting.fresh_deadlines(LOW) == [50.0, 9.0, 3.0]


def test_deadlines_of_fresh_requests_end_with_the_class_asked_for(queue):
    waiting, _ = queue((NORMAL, 9.0), (HIGH, 50.0), (LOW, 3.0), (NORMAL, 5.0))
    assert waiting.fresh_deadlines(HIGH) == [50.0]
    assert waiting.fresh_deadlines(NORMAL) == [50.0, 5.0, 9.0]
    assert waiting.fresh_deadlines(NORMAL, another_ms=7.0) == [50.0, 5.0, 7.0, 9.0]
    assert waiting.fresh_deadlines(NORMAL) == [50.0, 5.0, 9.0]


def test_any_order_of_coming_and_going_leaves_the_same_queue(item):
    rng = np.random.default_rng(0)
    items = [item(i, float(rng.integers(1, 9)), priority=Priority(int(rng.integers(3)))) for i in range(60)]
    waiting, there = Waiting(), set()
    for i in rng.integers(0, 60, 500).tolist():
        (waiting.remove if i in there else waiting.add)(items[i])
        there ^= {i}
        ordered = sorted(there, key=lambda j: (items[j].priority, items[j].deadline_ms, j))
        assert numbers(waiting) == ordered
        assert waiting.fresh_deadlines(LOW) == [items[j].deadline_ms for j in ordered]


def test_what_is_said_of_a_request_is_kept_with_the_bin_that_it_lies_in(item, fitted):
    request = item(0, 100.0, of=fitted)
    assert (request.evidence_set, request.bin) == (0, 0)
    request.learn(0b01, 0.79)
    assert (request.evidence_set, request.confidence, request.bin) == (0b01, 0.79, 0)
    request.learn(0b11, 0.8)
    assert (request.evidence_set, request.confidence, request.bin) == (0b11, 0.8, 1)


def test_shares_of_requests_in_a_row_are_spread_evenly(item):
    for n in (8, 50, 400):
        shares = np.sort([item(i, 100.0, number=i).share for i in range(1, n + 1)])
        assert np.abs(shares - np.arange(n) / n).max() < 2.0 / n + 0.02


def test_a_request_pays_at_least_the_price_that_its_budget_asks_for_without_load(item, fitted):
    # With 5 ms only the small stage fits, so no price changes anything; with 100 the large one is asked up to a price of 0.4 / 6.
    assert item(0, 5.0, of=fitted).least_level == 32
    assert item(0, 105.0, arrived_ms=100.0, of=fitted).least_level == 32
    assert item(0, 100.0, of=fitted).least_level == 25


@pytest.mark.parametrize(("budget_ms", "goes_on"), [(11.0, True), (10.9, False)])
def test_a_request_would_have_gone_on_if_its_budget_held_the_mean_of_what_ran_and_the_most_of_what_comes(
    item, budget_ms, goes_on
):
    request = item(0, 40.0 + budget_ms, arrived_ms=40.0)
    request.learn(0b01, 0.3)
    assert request.would_go_on() is goes_on


def test_a_request_that_is_sure_or_has_run_everything_would_not_have_gone_on(item):
    request = item(0, 1000.0)
    request.learn(0b01, 0.8)
    assert not request.would_go_on()
    request.learn(0b11, 0.1)
    assert not request.would_go_on()


def test_a_request_that_came_with_evidence_had_all_of_its_budget_for_what_comes_next(item):
    # The small stage ran long ago, for somebody else: the large one, which may take 9, was planned.
    request = item(0, 10.0, evidence_set=0b01, confidence=0.3, evidence=(0b01, 0.3))
    assert request.would_go_on()


def turns_for_background(share, n):
    """How often the background class goes first in n turns in which both wait, and the longest row without it."""

    class Both:
        has_classes = True

        def items(self):
            return "others"

        def background_first(self):
            return "background"

    turns = Turns(share)
    went = [turns.next(Both()) == "background" for _ in range(n)]
    gaps = np.diff(np.flatnonzero([True, *went, True]))
    return sum(went), gaps.max() - 1


@pytest.mark.parametrize(
    ("share", "expected", "longest"), [(0.0, 0, 1000), (0.05, 50, 20), (0.5, 500, 1), (1.0, 1000, 0)]
)
def test_the_background_class_gets_its_share_of_the_turns_evenly(share, expected, longest):
    went, gap = turns_for_background(share, 1000)
    assert went == pytest.approx(expected, abs=1)
    assert gap <= longest


def test_turns_in_which_only_one_class_waits_count_for_nobody(queue):
    both, _ = queue((LOW, 1.0), (NORMAL, 9.0))
    background, _ = queue((LOW, 1.0))
    others, _ = queue((HIGH, 1.0), (NORMAL, 9.0))
    turns = Turns(0.5)
    for _ in range(3):
        assert numbers(turns.next(background)) == [0]
        assert numbers(turns.next(others)) == [0, 1]
    assert numbers(turns.next(both)) == [1, 0]
    assert numbers(turns.next(others)) == [0, 1]
    assert numbers(turns.next(both)) == [0, 1]
