from types import SimpleNamespace

import pytest

from cascade.core.records import Prediction, Status
from cascade.telemetry.counters import Counters
from cascade.telemetry.measures import Measures
from cascade.telemetry.stats import LoadNow

CACHE = SimpleNamespace(lookups=12, hit_ratio=0.25, entries=9, bytes=4096)


def answered(path=("small",), status=Status.ANSWERED, *, in_time=True, latency_ms=2.0, wait_ms=0.0):
    return Prediction(0, None, 0.9, path, status, 5.0, latency_ms, wait_ms, in_time)


@pytest.fixture
def counters():
    counters = Counters(Measures())
    for _ in range(3):
        counters.count_answer(answered())
    counters.count_answer(answered(("small", "big"), Status.DEGRADED, latency_ms=8.0, wait_ms=4.0), "interactive")
    counters.count_unanswered("rejected", "background")
    counters.count_unanswered("rejected")
    return counters


def test_requests_are_told_by_outcome_and_class(counters):
    assert dict(counters.snapshot().n_by_outcome) == {
        ("answered", "normal"): 3,
        ("degraded", "interactive"): 1,
        ("rejected", "background"): 1,
        ("rejected", "normal"): 1,
    }


def test_an_answer_leaves_by_the_last_stage_of_its_path(counters):
    counters.count_answer(answered(()))
    assert counters.snapshot().n_by_exit == {"small": 3, "big": 1, "": 1}


def test_histograms_agree_with_the_counts(counters):
    stats = counters.snapshot()
    assert (stats.latency.n, stats.latency.mean_ms, stats.latency.max_ms) == (4, 3.5, 8.0)
    assert stats.latency.mean_ms == stats.mean_latency_ms
    # Who did not wait is among those whose wait is told.
    assert (stats.queue_wait.n, stats.queue_wait.mean_ms, stats.queue_wait.quantile_ms(0.5)) == (4, 1.0, 0.0)


def test_several_counters_tell_together_what_one_would(counters):
    stats, both = counters.snapshot(), Counters.total([counters, counters]).snapshot()
    assert (both.latency.counts == 2 * stats.latency.counts).all()
    assert both.queue_wait.n == 2 * stats.queue_wait.n
    assert both.n_by_outcome["degraded", "interactive"] == 2


def test_latencies_out_of_range_are_counted_too():
    counters = Counters(Measures())
    for latency_ms in (0.0, 1e12):
        counters.count_answer(answered(latency_ms=latency_ms))
    assert counters.snapshot().latency.counts[[0, -1]].tolist() == [1, 1]


def test_without_measures_the_counts_are_there_and_the_histograms_are_not():
    counters = Counters()
    counters.count_answer(answered(latency_ms=2.0), "interactive")
    counters.count_service("small", 1, 2.0)
    counters.count_run("small", 1, "limit")
    stats = Counters.total([counters]).snapshot()
    assert (stats.mean_latency_ms, stats.n_by_outcome["answered", "interactive"]) == (2.0, 1)
    assert (stats.latency, stats.queue_wait, dict(stats.service), dict(stats.batches)) == (None, None, {}, {})
    assert "mean 2 ms" in repr(stats)


def test_everything_that_happened_is_read_in_a_few_lines(counters):
    counters.count_service("small", 1, 0.25)
    counters.count_service("small", 3, 0.5)
    counters.count_run("small", 3, "limit")
    counters.count_fault("big")
    counters.count_audit()
    counters.count_strict(in_time=False)
    counters.count_certified(2)
    stats = counters.snapshot(LoadNow(2, 0.5, {"small": (1.0, 1.5)}), CACHE)
    assert repr(stats).splitlines() == [
        "Stats",
        "  requests    4 answered, 4 in time (100.0%)",
        "  answers     answered 3, degraded 1",
        "  no answer   rejected 2",
        "  strict      1, 1 late",
        "  certified   2 (50.0%)",
        "  paths       small 3, small > big 1",
        "  latency     mean 3.5 ms, p50 1.96, p99 1.96, max 8",
        "  queue wait  mean 1 ms, p50 0, p99 0, max 4",
        "  service     small 0.25 ms at 1, 0.5 ms at 4",
        "  batches     1 of 3 requests on average, closed by: limit 1",
        "  load        2 waiting, price 0.5 per ms, slow-down small 1.50",
        "  cache       25.0% of 12 look-ups needed no stage, 9 entries, 4096 bytes",
        "  faults      big 1",
        "  audits      1, 0 failed, 0 dropped",
    ]


def test_a_notebook_shows_the_same_lines_escaped(counters):
    counters.count_fault("<big>")
    html = counters.snapshot()._repr_html_()
    assert "<th>faults</th><td>&lt;big&gt; 1</td>" in html
    assert html.count("<tr>") == len(repr(counters.snapshot()).splitlines()) - 1


def test_before_the_first_request_little_is_said():
    assert repr(Counters(Measures()).snapshot()).splitlines() == [
        "Stats",
        "  requests  0 answered, 0 in time (100.0%)",
        "  load      0 waiting, price 0 per ms",
    ]
