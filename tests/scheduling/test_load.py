"""The load price: what rules for a given queue and rate, counted by hand, and how busy the lanes were."""

from math import exp, inf

import numpy as np
import pytest

from cascade.scheduling.load import IDLE, LoadPrice, Utilisation
from cascade.scheduling.outlook import Outlook

UNSURE, SURE = (0b01, 0.3), (0b01, 0.95)


@pytest.fixture(scope="module")
def fitted(pair):
    """Batches of at most four; up to level 25 half of the fresh requests need the large stage, above that none."""
    return Outlook(pair.fitted, 4)


@pytest.fixture
def ruling(fitted, item):
    """What rules for requests with these deadlines and evidence, on one idle lane of which half may be planned.

    Their budgets were 24 ms on average: half of that holds a batch of four of the small stage and one row of the large.
    """

    def at(*waiting, now_ms=0.0, of=fitted, busy_ms=0.0, slowdown=1.0, highest=None, n_lanes=1, n_arrivals=1):
        price = LoadPrice(n_lanes, 0.5)
        for _ in range(n_arrivals):
            price.arrived(now_ms, 24.0)
        items = [item(i, deadline_ms, of=of, evidence=evidence) for i, (deadline_ms, evidence) in enumerate(waiting)]
        highest = of.n_levels - 1 if highest is None else highest
        return price.at(now_ms, items, of, busy_ms=busy_ms, slowdown=slowdown, highest=highest)

    return at


def fresh(n, deadline_ms=24.0):
    return [(deadline_ms, None)] * n


def test_nothing_rules_while_all_can_be_served_at_every_price(ruling):
    # Two need 1 + 2 of the small stage and 2 + 4 of the large one: 9 of the 12 ms that may be planned.
    assert ruling(*fresh(2)) == IDLE


def test_the_price_is_the_lowest_at_which_the_queue_can_be_served_and_the_share_below_it_fills_the_time(ruling, fitted):
    # Four need 1 + 4 of the small stage; with two runs of one row of the large one, 2 * 2 + 2 * 4, too much by 5 / 12.
    load = ruling(*fresh(4))
    assert load.level == 26
    assert load.price == fitted.prices[26]
    assert load.pressure == pytest.approx(5 / 12)
    assert load.cheap_share == pytest.approx((1.0 - 5 / 12) / (17 / 12 - 5 / 12))


def test_the_first_few_of_the_queue_may_be_what_cannot_be_served(ruling):
    # Two need 1 + 2 and 2 + 4 of the 4 ms that may be planned of their eight; with all the time in the world nobody needs more.
    load = ruling(*fresh(2, 8.0), *fresh(3, inf))
    assert load.level == 26
    assert load.pressure == pytest.approx(3 / 4)
    assert load.cheap_share == pytest.approx((1.0 - 3 / 4) / (9 / 4 - 3 / 4))
    assert ruling(*fresh(5, inf)) == IDLE


def test_requests_with_evidence_need_only_what_is_left_for_them(ruling):
    # Two that are unsure need 2 * 2 + 2 * 4 of the large stage, exactly what may be planned; three need half as much again.
    assert ruling(*[(24.0, UNSURE)] * 2, *[(24.0, SURE)] * 50) == IDLE
    load = ruling(*[(24.0, UNSURE)] * 3)
    assert (load.level, load.pressure, load.cheap_share) == (26, 0.0, pytest.approx(1 / 1.5))


@pytest.mark.parametrize(
    ("given", "left_ms"),
    [
        ({"busy_ms": 8.0}, 8.0),
        ({"slowdown": 1.25}, 9.6),
        ({"n_lanes": 2}, 24.0),
        ({"n_lanes": 2, "slowdown": 2.0, "busy_ms": 4.0}, 10.0),
        ({"now_ms": 6.0}, 9.0),
    ],
)
def test_what_may_be_planned_depends_on_lanes_slow_down_and_time(ruling, given, left_ms):
    assert ruling(*fresh(8), **given).pressure == pytest.approx((2 * 1.0 + 8 * 1.0) / left_ms)


def test_requests_that_are_late_already_need_more_than_there_is(ruling):
    load = ruling((-1.0, None), (-1.0, None))
    assert load.level == 32
    assert load.pressure > 1000.0
    assert load.cheap_share == 0.0


def test_where_even_the_highest_price_is_too_low_it_rules_for_all(ruling):
    load = ruling(*fresh(16))
    assert (load.level, load.cheap_share) == (32, 0.0)
    assert load.pressure == pytest.approx((4 * 1.0 + 16 * 1.0) / 12)


def test_no_price_above_the_highest_allowed_is_asked(ruling, fitted):
    load = ruling(*fresh(4), highest=10)
    assert (load.level, load.price) == (10, fitted.prices[10])
    assert load.pressure == pytest.approx(17 / 12)


def test_a_chain_tells_its_pressure_at_its_only_price(ruling, pair):
    load = ruling(*fresh(4), of=Outlook(pair.chain, 4))
    assert (load.level, load.price, load.cheap_share) == (0, 0.0, 0.0)
    assert load.pressure == pytest.approx((5 + 4 * 6) / 12)


def test_a_batch_that_is_waited_for_takes_at_most_half_of_a_budget(fitted, item):
    # Half of 42 ms holds 21, the most that three rows of the large stage take: 2 + 12 instead of 3 * 2 + 12.
    waiting = [item(i, 26.0, of=fitted, evidence=UNSURE) for i in range(3)]
    for budget_ms, need in [(41.9, 2 * 2 + 12), (42.0, 2 + 12)]:
        price = LoadPrice(1, 0.5)
        price.arrived(0.0, budget_ms)
        load = price.at(0.0, waiting, fitted, busy_ms=0.0, slowdown=1.0, highest=25)
        assert load.pressure == pytest.approx(need / 13.0)


def test_few_arrivals_are_believed_to_say_nothing():
    price = LoadPrice(1, 0.5)
    for now_ms in range(7):
        price.arrived(float(now_ms), 24.0)
    assert price.rate_per_ms(6.0) == 0.0
    price.arrived(7.0, 24.0)
    assert price.rate_per_ms(7.0) > 0.0


def test_the_rate_is_that_of_the_arrivals_of_late():
    price = LoadPrice(1, 0.5)
    # Budgets of 24 make a window of 192 ms; arrivals closer than a quarter of that count as if they had taken so long.
    for now_ms in np.arange(0.0, 400.0, 2.0):
        price.arrived(float(now_ms), 24.0)
    assert price.rate_per_ms(398.0) == pytest.approx(97 / 192)
    assert price.rate_per_ms(398.0 + 100.0) == pytest.approx(47 / 192, rel=0.03)
    assert price.rate_per_ms(1000.0) == 0.0
    burst = LoadPrice(1, 0.5)
    for _ in range(30):
        burst.arrived(5.0, 24.0)
    assert burst.rate_per_ms(5.0) == pytest.approx(30 / 48)


@pytest.mark.parametrize(("budget_ms", "window_ms"), [(1.0, 50.0), (24.0, 192.0), (inf, 10_000.0), (-3.0, 50.0)])
def test_the_window_is_eight_budgets_within_bounds(budget_ms, window_ms):
    price = LoadPrice(1, 0.5)
    for _ in range(8):
        price.arrived(0.0, budget_ms)
    assert price.rate_per_ms(0.999 * window_ms) == pytest.approx(8 / (0.999 * window_ms))
    assert price.rate_per_ms(1.001 * window_ms) == 0.0


def test_what_arrives_needs_time_though_nothing_waits_yet(ruling):
    # Of 30 in 48 ms each needs 1.25 of the small stage in batches of four; half of them 6 of the large one; half of the time may be planned.
    load = ruling((inf, SURE), n_arrivals=30)
    each_ms = 30 / 48 / 0.5
    assert load.level == 32
    assert load.pressure == pytest.approx(each_ms * 1.25)
    some = ruling((inf, SURE), n_arrivals=12)
    assert some.level == 26
    assert some.pressure == pytest.approx(12 / 48 / 0.5 * 1.25)
    assert some.cheap_share == pytest.approx((1.0 - some.pressure) / (0.5 * (1.25 + 3.0) - some.pressure))
    assert ruling((inf, SURE), n_arrivals=12, n_lanes=4) == IDLE


def test_lines_follow_the_policy_that_is_asked_about(fitted, pair, item):
    price = LoadPrice(1, 0.5)
    price.arrived(0.0, 24.0)
    waiting = [item(i, 24.0) for i in range(4)]
    chain = Outlook(pair.chain, 4)
    for outlook, pressure in [(fitted, 5 / 12), (chain, 29 / 12), (fitted, 5 / 12)]:
        load = price.at(0.0, waiting, outlook, busy_ms=0.0, slowdown=1.0, highest=outlook.n_levels - 1)
        assert load.pressure == pytest.approx(pressure)


def test_lanes_that_are_always_busy_are_used_wholly_and_idle_ones_are_forgotten():
    use = Utilisation(2)
    assert use.share == 0.0
    for k in range(400):
        use.ran(10.0, 5.0 * (k + 1))
    assert use.share == pytest.approx(1.0, abs=0.02)
    use.ran(0.0, 2000.0 + 400.0)
    assert use.share == pytest.approx(exp(-1.0), abs=0.01)


def test_a_lane_that_works_a_third_of_the_time_is_used_by_a_third():
    use = Utilisation(1)
    for k in range(200):
        use.ran(4.0, 12.0 * (k + 1))
    assert use.share == pytest.approx(1 / 3, abs=0.01)


def test_runs_of_two_lanes_that_end_at_once_count_both():
    use = Utilisation(2)
    for k in range(200):
        use.ran(10.0, 10.0 * (k + 1))
        use.ran(10.0, 10.0 * (k + 1))
    assert use.share == pytest.approx(1.0, abs=0.02)
