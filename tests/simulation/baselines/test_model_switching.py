import pytest

from cascade.errors import ConfigurationError
from cascade.simulation.baselines.model_switching import ModelSwitching

# With budgets of 40 ms a batch may take 20: four rows of the large stage (200 a second), eight of the small one (800 a second).


def switching(table, **options):
    return ModelSwitching(table, [0.7, 0.9], window_ms=100.0, max_batch=8, **options)


def busy(rule, arrive, n, gap_ms, budget_ms=40.0):
    """Requests at a steady rate with nobody polling; the instant of the last one."""
    for i in range(n):
        arrive(rule, [i * gap_ms + budget_ms], now_ms=i * gap_ms, first=i)
    return (n - 1) * gap_ms


def stage_now(rule, now_ms):
    return rule.poll(now_ms)[-1].stage


def test_the_most_accurate_stage_runs_while_it_keeps_up(table, arrive):
    rule = switching(table)
    assert stage_now(rule, busy(rule, arrive, 6, 6.0)) == 1


def test_a_faster_stage_runs_when_requests_arrive_faster_than_the_large_one_can_serve(table, arrive):
    rule = switching(table)
    assert stage_now(rule, busy(rule, arrive, 12, 2.0)) == 0


def test_headroom_leaves_a_share_of_the_throughput_unused(table, arrive):
    rule = switching(table, headroom=0.5)
    assert stage_now(rule, busy(rule, arrive, 6, 6.0)) == 0


def test_several_lanes_share_the_arrivals(table, arrive):
    rule = switching(table, n_lanes=4)
    assert stage_now(rule, busy(rule, arrive, 12, 2.0)) == 1


def test_where_none_keeps_up_the_fastest_runs(table, arrive):
    rule = switching(table)
    assert stage_now(rule, busy(rule, arrive, 40, 0.1)) == 0


def test_a_stage_that_the_most_urgent_request_has_no_time_for_is_passed_over(table, arrive):
    rule = switching(table)
    arrive(rule, [7.9])
    assert stage_now(rule, 0.0) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accuracy": [0.7]}, "an accuracy in .* for each of 2 stages, got .0.7."),
        ({"accuracy": [0.7, 1.2]}, "an accuracy in .* got .0.7, 1.2."),
        ({"accuracy": [0.7, 0.9], "headroom": 0.0}, "expected headroom above 0"),
        ({"accuracy": [0.7, 0.9], "window_ms": 0.0}, "expected window_ms above 0"),
    ],
)
def test_what_is_out_of_range_is_refused(table, options, message):
    with pytest.raises(ConfigurationError, match=message):
        ModelSwitching(table, **options)
