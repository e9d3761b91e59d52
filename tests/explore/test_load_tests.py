"""Pictures of load tests show the report's own figures."""

import numpy as np
import pytest

from cascade.errors import ConfigurationError
from cascade.explore.load_tests import plot_latency, plot_timeline
from cascade.simulation.simulate import simulate
from cascade.simulation.workloads import poisson

pytestmark = [pytest.mark.usefixtures("_closed_pictures"), pytest.mark.slow]


@pytest.fixture(scope="module")
def report(ladder):
    workload = poisson(90.0, 5_000.0, n_items=400, budget_ms={20.0: 0.5, 60.0: 0.5}, seed=1)
    return simulate(ladder.policy, ladder.fresh, workload, progress=False)


def test_a_curve_crosses_the_line_of_its_budget_at_the_slo_attainment(report):
    axes = plot_latency(report)
    for line, (budget_ms, figures) in zip(axes.lines, report.by_budget().items(), strict=False):
        within = line.get_ydata()[np.searchsorted(line.get_xdata(), budget_ms + 1e-9, side="right") - 1]
        assert within == pytest.approx(100.0 * figures.slo_attainment)
        assert line.get_label() == f"within {budget_ms:g} ms, {100.0 * figures.slo_attainment:.1f} % in time"


def test_requests_without_an_answer_keep_the_curve_below_the_top(ladder):
    overload = poisson(900.0, 2_000.0, n_items=400, budget_ms=4.0, seed=1)
    report = simulate(ladder.policy, ladder.fresh, overload, progress=False)
    assert not report.is_answered.all()
    top = plot_latency(report).lines[0].get_ydata().max()
    assert top == pytest.approx(100.0 * report.is_answered.mean())


def test_several_reports_are_told_apart_by_name(report):
    named = [line.get_label() for line in plot_latency({"one lane": report, "again": report}).lines[:4]]
    assert [label.split(",")[0] for label in named] == ["one lane", "one lane", "again", "again"]


@pytest.mark.parametrize("n_reports", [0, 5])
def test_more_curves_than_can_be_told_apart_are_refused(report, n_reports):
    with pytest.raises(ConfigurationError, match=f"expected one to 8 curves, .* got {2 * n_reports}"):
        plot_latency({str(i): report for i in range(n_reports)})


def test_the_timeline_counts_every_request_once(report):
    load, price, accuracy, attained = plot_timeline(report, n_bins=10)
    width_s = report.duration_ms / 1000.0 / 10
    assert load.lines[0].get_ydata().sum() * width_s == pytest.approx(report.n_requests)
    np.testing.assert_allclose(price.lines[0].get_ydata(), report.price_over_time(10)[1])
    counts = load.lines[0].get_ydata() * width_s
    assert (accuracy.lines[0].get_ydata() * counts).sum() / counts.sum() == pytest.approx(
        100.0 * report.effective_accuracy
    )
    assert (attained.lines[0].get_ydata() * counts).sum() / counts.sum() == pytest.approx(100.0 * report.slo_attainment)


def test_a_timeline_needs_a_period(report):
    with pytest.raises(ConfigurationError, match="expected n_bins of at least 1, got 0"):
        plot_timeline(report, n_bins=0)
