import json
from math import inf, isnan

import numpy as np
import pytest

from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Priority, Run
from cascade.simulation.figures import Ending
from cascade.simulation.report import Report
from cascade.simulation.runs import Runs


def make_report(**changes):
    """Six requests: right in time, right but late, wrong in time, rejected, expired, right in time but degraded."""
    runs = [
        (0.0, 10.0, Run(0, 0, (0, 1), 0.5, "limit")),
        (40.0, 20.0, Run(1, 1, (1,), 2.0, "limit")),
        (50.0, 30.0, Run(0, 0, (2, 5), 1.0, "limit")),
    ]
    fields = {
        "arrival_ms": np.array([0.0, 0.0, 30.0, 40.0, 45.0, 50.0]),
        "budget_ms": np.array([10.0, 20.0, 50.0, 10.0, 20.0, inf]),
        "priority": np.array([0, 1, 1, 0, 1, 2]),
        "end_ms": np.array([10.0, 60.0, 80.0, 40.0, 65.0, 100.0]),
        "ending": np.array(
            [Ending.ANSWERED, Ending.ANSWERED, Ending.ANSWERED, Ending.REJECTED, Ending.EXPIRED, Ending.DEGRADED],
            np.uint8,
        ),
        "correct": np.array([True, True, False, False, False, True]),
        "evidence_set": np.array([1, 3, 1, 0, 0, 1]),
        "price": np.array([0.5, 2.0, 1.0, 0.0, 0.0, 1.0]),
        "runs": Runs.of(runs),
        "stages": ("small", "big"),
        "n_lanes": 2,
    }
    return Report(**{**fields, **changes})


def test_figures_are_those_counted_by_hand():
    report = make_report()
    assert report.in_time.tolist() == [True, False, True, False, False, True]
    assert report.slo_attainment == pytest.approx(3 / 6)
    assert report.attainment_of_admitted == pytest.approx(3 / 5)
    assert report.effective_accuracy == pytest.approx(2 / 6)
    assert report.figures().accuracy_of_answers == pytest.approx(3 / 4)
    assert report.goodput_rps == pytest.approx(3 / 0.1)
    assert report.utilisation == pytest.approx(60.0 / 200.0)
    assert report.counts == {
        Ending.ANSWERED: 3,
        Ending.DEGRADED: 1,
        Ending.REJECTED: 1,
        Ending.EXPIRED: 1,
        Ending.SHED: 0,
        Ending.FAILED: 0,
    }


def test_latencies_are_of_answers_only():
    report = make_report()
    assert report.latency_ms.tolist() == [10.0, 60.0, 50.0, 0.0, 20.0, 50.0]
    assert report.latency_quantile_ms(0.5) == 50.0
    assert report.latency_quantile_ms(1.0) == 60.0
    assert report.figures().latency_ms[0.5] == 50.0


def test_an_answer_at_its_deadline_is_in_time_whatever_the_sums_round_to():
    report = make_report(
        arrival_ms=np.array([0.0, 0.0, 0.1, 40.0, 45.0, 50.0]),
        budget_ms=np.array([10.0, 20.0, 0.2, 10.0, 20.0, inf]),
        end_ms=np.array([10.0, 20.0 + 1e-6, 0.1 + 0.2 + 1e-16, 40.0, 65.0, 100.0]),
    )
    assert report.in_time[:3].tolist() == [True, False, True]


def test_figures_come_for_each_class_and_each_budget():
    by_priority, by_budget = make_report().by_priority(), make_report().by_budget()
    assert list(by_priority) == [Priority.INTERACTIVE, Priority.NORMAL, Priority.BACKGROUND]
    assert [figures.n_requests for figures in by_priority.values()] == [2, 3, 1]
    assert by_priority[Priority.INTERACTIVE].slo_attainment == pytest.approx(1 / 2)
    assert by_priority[Priority.INTERACTIVE].attainment_of_admitted == 1.0
    assert by_priority[Priority.NORMAL].effective_accuracy == 0.0
    assert list(by_budget) == [10.0, 20.0, 50.0, inf]
    assert by_budget[20.0].slo_attainment == 0.0
    assert by_budget[20.0].latency_ms[0.5] == 60.0


def test_without_answers_there_is_no_accuracy_and_no_latency():
    rows = make_report().figures(np.array([3]))
    assert rows.slo_attainment == rows.effective_accuracy == 0.0
    assert isnan(rows.attainment_of_admitted)
    assert isnan(rows.accuracy_of_answers)
    assert isnan(rows.latency_ms[0.99])


def test_the_price_over_time_is_a_mean_over_the_requests_of_each_period():
    start_ms, price = make_report().price_over_time(4)
    assert start_ms.tolist() == [0.0, 25.0, 50.0, 75.0]
    assert price.tolist()[:3] == [0.5, 2.0, 1.0]
    assert isnan(price[3])
    assert make_report().price_over_time(1)[1].tolist() == pytest.approx([(2 * 0.5 + 2.0 + 2 * 1.0) / 5])
    with pytest.raises(ConfigurationError, match="n_bins of at least 1"):
        make_report().price_over_time(0)


def test_evidence_is_named_by_its_stages_the_most_frequent_first():
    assert list(make_report().evidence_shares.items()) == [("small", 0.75), ("small + big", 0.25)]


def test_the_dictionary_is_json_without_what_json_does_not_know():
    figures = json.loads(json.dumps(make_report().to_dict(), allow_nan=False))
    assert figures["slo_attainment"] == 0.5
    assert figures["endings"]["rejected"] == 1
    assert figures["by_budget"][-1]["budget_ms"] is None
    assert figures["by_priority"]["background"]["n_requests"] == 1
    assert figures["price_over_time"]["price"][-1] is None
    assert figures["latency_ms"]["0.5"] == 50.0


def test_the_text_shows_every_class_and_budget_and_how_requests_ended():
    text = str(make_report())
    assert "6 requests in 0.1 s, 30.0 a second in time; lanes: 2, busy 30.0 %" in text
    for part in ("interactive", "background", "within 10 ms", "within any time", "rejected 16.7 %", "small 75.0 %"):
        assert part in text
    assert "shed" not in text
    all_row = next(line for line in text.splitlines() if line.startswith("all"))
    assert all_row.split() == [
        "all",
        "6",
        "50.00",
        "%",
        "60.00",
        "%",
        "33.33",
        "%",
        "50",
        "ms",
        "59.7",
        "ms",
        "60",
        "ms",
    ]


def test_one_class_and_one_budget_take_one_row():
    report = make_report(priority=np.ones(6, int), budget_ms=np.full(6, 20.0))
    assert "within" not in str(report)
    assert "normal" not in str(report)


def test_nothing_but_refusals_is_still_a_report():
    none = np.zeros(6, int)
    report = make_report(
        ending=np.full(6, Ending.REJECTED, np.uint8),
        correct=none > 0,
        evidence_set=none,
        price=np.zeros(6),
        end_ms=np.zeros(6),
        arrival_ms=np.zeros(6),
        runs=Runs.of([]),
    )
    assert report.goodput_rps == report.utilisation == 0.0
    assert report.evidence_shares == {}
    assert "answers from: none" in str(report)
    assert report.to_dict()["mean_batch_size"] is None


def test_what_is_shown_of_a_report_is_one_line():
    assert repr(make_report()) == "Report(6 requests, 50.0 % in time, 33.3 % right and in time)"
