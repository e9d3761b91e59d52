import pytest

from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Finished
from cascade.simulation.baselines.chains import Chain
from cascade.simulation.baselines.gear_plan import Gear, GearPlan

LOW, HIGH = Gear(100.0, Chain((0, 1), (0.8,))), Gear(300.0, Chain((0,), ()))


@pytest.fixture
def rule(table):
    return GearPlan(table, [LOW, HIGH], window_ms=100.0, max_batch=8)


def finished_at_rate(rule, arrive, gap_ms):
    """Requests at a steady rate run the small stage, of which they are not sure; what comes next."""
    for i in range(5):
        arrive(rule, [200.0], now_ms=i * gap_ms, first=i)
    now_ms = 4 * gap_ms
    assert rule.poll(now_ms)[0].stage == 0
    rule.handle(Finished(0, (0.5,) * 5, 7.0), now_ms + 7.0)
    return rule.poll(now_ms + 7.0)


def test_at_a_low_rate_the_chain_of_the_low_gear_rules(rule, arrive, said):
    assert said(finished_at_rate(rule, arrive, 20.0)) == [("run", 1, (0, 1, 2, 3, 4))]


def test_at_a_high_rate_the_chain_of_the_high_gear_rules(rule, arrive, said):
    assert said(finished_at_rate(rule, arrive, 5.0)) == [("answer", i, 0b1) for i in range(5)]


def test_rates_beyond_the_last_gear_are_served_by_it(rule, arrive, said):
    assert said(finished_at_rate(rule, arrive, 0.1)) == [("answer", i, 0b1) for i in range(5)]


def test_what_waits_for_a_dear_stage_is_answered_once_the_gear_has_changed(rule, arrive, said):
    arrive(rule, [200.0])
    rule.poll(0.0)
    rule.handle(Finished(0, (0.5,), 3.0), 3.0)
    for i in range(1, 9):
        arrive(rule, [250.0], now_ms=3.0 + i / 10.0, first=i)
    assert said(rule.poll(3.9)) == [("answer", 0, 0b1), ("run", 0, tuple(range(1, 9)))]


@pytest.mark.parametrize(
    ("gears", "message"),
    [
        ([], "expected gears whose rates ascend, got ."),
        ([HIGH, LOW], "expected gears whose rates ascend, got .300.0, 100.0."),
        ([Gear(100.0, Chain((0, 5), (0.5,)))], "expected a chain over 2 stages"),
    ],
)
def test_gears_that_make_no_plan_are_refused(table, gears, message):
    with pytest.raises(ConfigurationError, match=message):
        GearPlan(table, gears)
