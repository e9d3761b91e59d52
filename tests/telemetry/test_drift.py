import numpy as np
import pytest
from scipy import stats

from cascade.errors import ConfigurationError
from cascade.telemetry.drift import MIN_ANSWERS, Answered, DriftMonitor, drift_report

PATHS = [("a",), ("a", "b"), ("b",), ("a", "b", "c")]


def drawn(rng, n=500, shares=(0.6, 0.3, 0.095, 0.005), shift=0.0):
    paths = [PATHS[i] for i in rng.choice(len(PATHS), n, p=shares)]
    return Answered.of(zip(paths, np.clip(rng.beta(5, 2, n) + shift, 0, 1).tolist(), strict=True))


def test_the_p_values_are_those_of_scipy():
    rng = np.random.default_rng(0)
    before, now = drawn(rng), drawn(rng, shares=(0.55, 0.3, 0.145, 0.005), shift=0.01)
    report = drift_report(before, now)
    a, b = ([side.path_counts.get(path, 0) for path in PATHS] for side in (before, now))
    merged = [[row[0], row[1], row[2] + row[3]] for row in (a, b)]
    assert report.p_paths == pytest.approx(stats.chi2_contingency(merged, correction=False).pvalue)
    # SciPy's asymptotic value takes a step more into account than Smirnov's own.
    statistic = stats.ks_2samp(before.confidence, now.confidence, method="asymp").statistic
    assert report.p_confidence == pytest.approx(stats.kstwobign.sf(statistic * np.sqrt(250)))


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_false_alarms_are_no_more_frequent_than_stated(alpha):
    """2,000 reports on answers that did not change: at most the stated rate and three standard errors of it."""
    rng, n = np.random.default_rng(1), 2000
    alarms = np.mean([drift_report(drawn(rng, 300), drawn(rng, 300), alpha).is_drifted for _ in range(n)])
    error = np.sqrt(alpha * (1 - alpha) / n)
    assert alarms <= alpha + 3 * error
    assert alarms >= 0.5 * alpha


@pytest.mark.parametrize("now", [{"shares": (0.45, 0.4, 0.145, 0.005)}, {"shift": 0.06}])
def test_other_paths_or_other_confidences_raise_the_alarm(now):
    rng = np.random.default_rng(2)
    reports = [drift_report(drawn(rng), drawn(rng, **now)) for _ in range(50)]
    assert np.mean([report.is_drifted for report in reports]) > 0.9
    assert "otherwise than before" in str(reports[0])


def test_a_path_never_met_before_raises_the_alarm():
    rng = np.random.default_rng(3)
    before, now = drawn(rng, shares=(0.7, 0.3, 0, 0)), drawn(rng, shares=(0.66, 0.28, 0.06, 0))
    assert drift_report(before, now).p_paths < 1e-4


def test_one_path_only_is_no_drift_of_paths():
    rng = np.random.default_rng(4)
    before, now = drawn(rng, shares=(1, 0, 0, 0)), drawn(rng, shares=(0.998, 0.002, 0, 0))
    assert drift_report(before, now).p_paths == 1.0


def test_too_few_answers_raise_no_alarm_and_say_so():
    few, many = Answered.of([(("b",), 0.1)] * (MIN_ANSWERS - 1)), Answered.of([(("a",), 0.9)] * 1000)
    report = drift_report(many, few)
    assert (report.is_drifted, report.has_enough) == (False, False)
    assert "Too few answers" in report.explain()
    assert drift_report(many, Answered.of([(("b",), 0.1)] * MIN_ANSWERS)).is_drifted


def test_nothing_at_all_is_too_few():
    report = DriftMonitor(200).report(None, 0.01)
    assert not report.has_enough
    assert np.isnan(report.recent_confidence)


def test_a_level_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="expected alpha between 0 and 1"):
        DriftMonitor(200).report(None, 1.0)


def test_a_monitor_keeps_the_first_and_the_latest_answers():
    monitor = DriftMonitor(100)
    for i in range(350):
        monitor.note(("a",) if i < 100 else ("b",), i / 350)
    report = monitor.report(None, 0.01)
    assert (report.n_reference, report.n_recent, monitor.n_missing) == (100, 100, 0)
    assert report.reference_shares == {("a",): 1.0}
    assert report.recent_shares == {("b",): 1.0}
    assert report.recent_confidence == pytest.approx(299.5 / 350)
    monitor.restart()
    assert monitor.report(None, 0.01).n_reference == 0
