"""What a scrape says, read back by the parsers of the real client."""

import re
import sys
from math import inf
from threading import Event, Thread

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition, parser
from prometheus_client.parser import text_string_to_metric_families

from cascade.caching.stats import CacheStats
from cascade.core.records import Prediction, Status
from cascade.errors import MissingExtra
from cascade.integrations.prometheus import PrometheusCollector
from cascade.telemetry.counters import Counters
from cascade.telemetry.health import Found, HealthLimits, HealthWatch
from cascade.telemetry.measures import Measures
from cascade.telemetry.stats import LoadNow

BASE_UNITS = ("_seconds", "_bytes", "_ratio", "_total", "_entries", "_requests", "_ready", "_per_second")
CACHE = CacheStats(5, 1, 2, 0, 7, 3, 8, 1, 2, 1, 4, 4, 2048, 4096)


class Busy:
    """What is read of a predictor."""

    def __init__(self, measures=None, cache=CACHE):
        self.counters, self.cache, self.ready = Counters(measures), cache, True

    def answer(self, path=("small",), priority="normal", latency_ms=2.0, wait_ms=0.0, *, in_time=True):
        answer = Prediction(0, None, 0.9, path, Status.ANSWERED, 5.0, latency_ms, wait_ms, in_time)
        self.counters.count_answer(answer, priority)

    def health(self, limits):
        return HealthWatch(0.0).report(Found(self.stats(), "", (), None), limits, 1.0)

    def stats(self):
        return self.counters.snapshot(LoadNow(2, 0.5, {"small": (1.0, 1.5)}, 0.25), self.cache)


@pytest.fixture
def busy():
    busy = Busy(Measures())
    busy.answer()
    busy.answer(("small", 'the "big" one'), "interactive", 40.0, 8.0, in_time=False)
    busy.answer(())
    busy.counters.count_unanswered("rejected", "background")
    busy.counters.count_service("small", 3, 0.5)
    busy.counters.count_run("small", 3, "nobody else")
    busy.counters.count_fault("small")
    return busy


def registry_of(*collectors):
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


def scraped(*collectors):
    """Every sample of a scrape, by name and labels."""
    text = generate_latest(registry_of(*collectors)).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_says_what_was_counted(busy):
    found = scraped(PrometheusCollector(busy))
    assert found["cascade_requests_total", ("outcome", "answered"), ("priority", "interactive")] == 1.0
    assert found["cascade_requests_total", ("outcome", "rejected"), ("priority", "background")] == 1.0
    assert found["cascade_in_time_total",] == 2.0
    assert found["cascade_exits_total", ("stage", 'the "big" one')] == 1.0
    assert found["cascade_exits_total", ("stage", "none")] == 1.0
    assert found["cascade_paths_total", ("path", 'small > the "big" one')] == 1.0
    assert found["cascade_faults_total", ("stage", "small")] == 1.0
    assert found["cascade_batches_total", ("closed_by", "nobody_else"), ("stage", "small")] == 1.0
    assert found["cascade_batched_requests_total", ("closed_by", "nobody_else"), ("stage", "small")] == 3.0
    assert found["cascade_ready",] == 1.0


def test_times_are_seconds_in_cumulative_buckets(busy):
    found = scraped(PrometheusCollector(busy))
    assert found["cascade_request_duration_seconds_sum",] == pytest.approx(0.044)
    assert found["cascade_request_duration_seconds_count",] == 3.0
    assert found["cascade_request_duration_seconds_bucket", ("le", "0.001")] == 0.0
    assert found["cascade_request_duration_seconds_bucket", ("le", "0.002")] == 2.0
    assert found["cascade_request_duration_seconds_bucket", ("le", "0.064")] == 3.0
    assert found["cascade_queue_wait_seconds_sum",] == pytest.approx(0.008)
    small = ("batch_size", "4"), ("le", "0.001"), ("stage", "small")
    assert found["cascade_stage_duration_seconds_bucket", *small] == 1.0
    assert found["cascade_wake_late_seconds",] == 0.00025


@pytest.mark.parametrize(
    ("n", "named"), [(1, "1"), (2, "4"), (4, "4"), (5, "16"), (16, "16"), (17, "64"), (1024, "1024")]
)
def test_runs_are_told_by_every_other_class_of_batch_sizes(n, named):
    busy = Busy(Measures())
    busy.counters.count_service("small", n, 2.0)
    found = scraped(PrometheusCollector(busy))
    assert found["cascade_stage_duration_seconds_sum", ("batch_size", named), ("stage", "small")] == 0.002


def test_buckets_never_fall_and_end_at_the_count(busy):
    rng = np.random.default_rng(0)
    for latency_ms in rng.lognormal(0.0, 4.0, 500).tolist():
        busy.answer(latency_ms=latency_ms)
    text = generate_latest(registry_of(PrometheusCollector(busy))).decode()
    (family,) = [f for f in text_string_to_metric_families(text) if f.name == "cascade_request_duration_seconds"]
    buckets = [(float(s.labels["le"]), s.value) for s in family.samples if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert [n for _, n in buckets] == sorted(n for _, n in buckets)
    assert buckets[-1] == (inf, 503.0)


def test_load_is_told_per_second_and_by_lane(busy):
    found = scraped(PrometheusCollector(busy))
    assert found["cascade_waiting_requests",] == 2.0
    assert found["cascade_load_price_per_second",] == 500.0
    assert found["cascade_slowdown_ratio", ("lane", "1"), ("stage", "small")] == 1.5


def test_the_cache_is_told_where_there_is_one(busy):
    found = scraped(PrometheusCollector(busy))
    assert found["cascade_cache_lookups_total", ("result", "hit")] == 5.0
    assert found["cascade_cache_removed_total", ("reason", "expired")] == 2.0
    assert (found["cascade_cache_bytes",], found["cascade_cache_limit_bytes",]) == (2048.0, 4096.0)
    assert not any("cache" in name for name, *_ in scraped(PrometheusCollector(Busy(cache=None))))


def test_without_telemetry_the_counts_are_there_and_the_histograms_are_not():
    busy = Busy()
    busy.answer()
    names = {name for name, *_ in scraped(PrometheusCollector(busy))}
    assert "cascade_requests_total" in names
    assert not any(name.endswith("_bucket") for name in names)


def test_the_strict_parser_of_openmetrics_takes_it(busy):
    text = exposition.generate_latest(registry_of(PrometheusCollector(busy))).decode()
    families = list(parser.text_string_to_metric_families(text))
    assert {family.type for family in families} == {"counter", "gauge", "histogram"}
    assert all(family.documentation for family in families)


def test_names_and_labels_keep_to_the_conventions(busy):
    for family in PrometheusCollector(busy).collect():
        assert re.fullmatch(r"cascade_[a-z_]+", family.name)
        if family.type == "gauge":
            assert family.name.endswith(BASE_UNITS)
        for sample in family.samples:
            assert family.type != "counter" or sample.name.endswith("_total")
            assert family.type != "histogram" or family.name.endswith("_seconds")
            assert all(re.fullmatch(r"[a-z_]+", label) for label in sample.labels)


def test_alarms_are_told_where_limits_are_given(busy):
    found = scraped(PrometheusCollector(busy, limits=HealthLimits(max_slowdown=1.2, max_miss_rate=0.9)))
    assert found["cascade_alarm", ("check", "speed")] == 1.0
    assert found["cascade_alarm", ("check", "deadlines")] == found["cascade_alarm", ("check", "drift")] == 0.0
    assert not any(name == "cascade_alarm" for name, *_ in scraped(PrometheusCollector(busy)))


def test_two_predictors_share_a_registry_under_labels_of_their_own(busy):
    found = scraped(
        PrometheusCollector(busy, labels={"predictor": "a"}), PrometheusCollector(Busy(), labels={"predictor": "b"})
    )
    assert found["cascade_ready", ("predictor", "a")] == found["cascade_ready", ("predictor", "b")] == 1.0


def test_registering_asks_the_predictor_for_nothing():
    registry_of(PrometheusCollector(object()))


def test_a_missing_client_names_the_extra(busy, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match=r"install cascade-inference\[prometheus\]"):
        PrometheusCollector(busy)


def test_a_scrape_while_requests_are_counted_stays_whole(busy):
    stop = Event()

    def count():
        n = 0
        while not stop.is_set():
            n += 1
            busy.answer((f"stage {n % 500}",), f"class {n % 3}")
            busy.counters.count_service(f"stage {n % 30}", 1, 1.0)

    thread = Thread(target=count)
    thread.start()
    try:
        for _ in range(3):
            assert len(list(PrometheusCollector(busy).collect())) > 20
    finally:
        stop.set()
        thread.join()
