import logging

import numpy as np
import pytest
from scipy.stats import binom

from cascade.errors import ConfigurationError
from cascade.telemetry.counters import Counters
from cascade.telemetry.drift import Answered, drift_report
from cascade.telemetry.health import Found, HealthLimits, HealthWatch
from cascade.telemetry.stats import LoadNow

LIMITS = HealthLimits(max_miss_rate=0.1, alpha=0.05, window_ms=100.0)
CALM = drift_report(Answered({("a",): 200}, np.linspace(0, 1, 200)), Answered({("a",): 200}, np.linspace(0, 1, 200)))
SHIFTED = drift_report(Answered({("a",): 200}, np.linspace(0, 1, 200)), Answered({("b",): 200}, np.ones(200)))
EARLY = drift_report(Answered({}, np.zeros(0)), Answered({}, np.zeros(0)))


class Served:
    """Counts of a predictor, moved on by a test."""

    def __init__(self):
        self.counters = Counters()

    def found(self, n=0, n_missed=0, *, slowdown=1.0, refusal="", fenced=(), drift=CALM):
        self.counters.count_batch({("a",): n}, {"answered": n}, n - n_missed)
        stats = self.counters.snapshot(LoadNow(0, 0.0, {"a": (1.0, slowdown)}))
        return Found(stats, refusal, fenced, drift)


def alarms_of(health):
    return [check.name for check in health.alarms]


@pytest.fixture
def served():
    return Served()


def test_a_predictor_that_does_as_it_should_is_well(served):
    health = HealthWatch(0.0).report(served.found(100, 5), LIMITS, 50.0)
    assert health.is_well
    assert [check.state for check in health.checks] == ["well"] * 6


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ({"n": 100, "n_missed": 40}, "deadlines"),
        ({"n": 10, "slowdown": 2.5}, "speed"),
        ({"n": 10, "refusal": "the predictor was closed"}, "serving"),
        ({"n": 10, "fenced": ("a",)}, "stages"),
        ({"n": 10, "drift": SHIFTED}, "drift"),
    ],
)
def test_what_goes_wrong_raises_its_own_alarm(served, found, name):
    health = HealthWatch(0.0).report(served.found(**found), LIMITS, 50.0)
    assert alarms_of(health) == [name]
    assert not health.is_well


def test_a_policy_that_is_in_force_for_too_long_raises_an_alarm_until_another_one_is(served):
    watch, limits = HealthWatch(0.0), HealthLimits(max_age_ms=1000.0)
    assert alarms_of(watch.report(served.found(1), limits, 1000.0)) == []
    assert alarms_of(watch.report(served.found(1), limits, 1001.0)) == ["age"]
    watch.follow(1001.0)
    assert alarms_of(watch.report(served.found(1), limits, 1002.0)) == []


def test_what_cannot_be_told_is_unknown_and_no_alarm(served):
    watch = HealthWatch(0.0)
    for drift in (None, EARLY):
        health = watch.report(served.found(drift=drift), LIMITS, 10.0)
        states = {check.name: check.state for check in health.checks}
        assert (states["deadlines"], states["drift"]) == ("unknown", "unknown")
        assert health.is_well


def test_only_the_misses_of_the_window_count(served):
    watch = HealthWatch(0.0)
    assert alarms_of(watch.report(served.found(100, 60), LIMITS, 50.0)) == ["deadlines"]
    assert alarms_of(watch.report(served.found(100, 5), LIMITS, 99.0)) == ["deadlines"]
    assert alarms_of(watch.report(served.found(100, 5), LIMITS, 160.0)) == []


def test_samples_are_bounded_however_often_somebody_asks(served):
    watch = HealthWatch(0.0)
    for now_ms in np.linspace(0.0, 1000.0, 3000):
        watch.report(served.found(1), LIMITS, float(now_ms))
    assert len(watch._samples) <= 102


@pytest.mark.parametrize("n", [20, 200, 5000])
def test_misses_at_the_limit_raise_no_more_false_alarms_than_stated(n):
    """The exact probability that a predictor which misses at the limit raises an alarm by its deadlines."""
    alarmed = [
        n_missed
        for n_missed in range(n + 1)
        if alarms_of(HealthWatch(0.0).report(Served().found(n, n_missed), LIMITS, 1.0))
    ]
    assert alarmed == list(range(alarmed[0], n + 1))
    false_alarms = binom.sf(alarmed[0] - 1, n, LIMITS.max_miss_rate)
    assert false_alarms <= 0.5 * LIMITS.alpha
    # One miss less would have been one too many.
    assert binom.sf(alarmed[0] - 2, n, LIMITS.max_miss_rate) > 0.5 * LIMITS.alpha


def test_a_hook_hears_of_an_alarm_once_and_of_its_end(served):
    watch, heard = HealthWatch(0.0), []
    watch.add(heard.append)
    for slowdown in (1.0, 3.0, 4.0, 1.0, 1.0):
        watch.report(served.found(10, slowdown=slowdown), LIMITS, 1.0)
    assert [(check.name, check.is_alarm) for check in heard] == [("speed", True), ("speed", False)]
    watch.remove(heard.append)
    assert len(watch._hooks) == 1


def test_a_hook_that_was_taken_away_hears_nothing(served):
    watch, heard = HealthWatch(0.0), []
    hook = heard.append
    watch.add(hook)
    watch.remove(hook)
    watch.report(served.found(10, slowdown=3.0), LIMITS, 1.0)
    assert heard == []


def test_a_hook_that_raises_is_logged_and_the_others_hear(served, caplog):
    def broken(check):
        raise OSError("no network")

    watch, heard = HealthWatch(0.0), []
    watch.add(broken)
    watch.add(heard.append)
    with caplog.at_level(logging.ERROR, logger="cascade"):
        watch.report(served.found(10, slowdown=3.0), LIMITS, 1.0)
    assert len(heard) == 1
    assert "no network" in caplog.text


def test_a_hook_may_ask_for_health_itself(served):
    watch, heard = HealthWatch(0.0), []

    def ask(check):
        heard.append(watch.report(served.found(1, slowdown=3.0), LIMITS, 2.0).is_well)

    watch.add(ask)
    watch.report(served.found(10, slowdown=3.0), LIMITS, 1.0)
    assert heard == [False]


def test_a_report_is_read_in_a_few_lines(served):
    health = HealthWatch(0.0).report(served.found(100, 40, drift=None), LIMITS, 50_000.0)
    assert repr(health).splitlines() == [
        "Health: alarm: deadlines",
        "  serving    well     requests are taken",
        "  deadlines  alarm    40 of 100 requests missed in 50 s (40.00%), of at most 10.00%: p = 2.9e-15",
        "  speed      well     stage 'a' takes 1.00 times what was profiled, of at most 2",
        "  stages     well     none is left alone",
        "  drift      unknown  not looked for: pass drift_window=1000, say, to Predictor",
        "  age        well     the policy has been in force for 0.0 days, of at most 30.0",
    ]
    assert "<th>state</th>" in health._repr_html_()


@pytest.mark.parametrize("limits", [{"max_miss_rate": 0.0}, {"alpha": 1.0}, {"max_slowdown": 0.0}, {"window_ms": -1.0}])
def test_a_limit_that_cannot_work_is_an_error_that_names_it(limits):
    (name,) = limits
    with pytest.raises(ConfigurationError, match=f"expected {name}"):
        HealthLimits(**limits)
