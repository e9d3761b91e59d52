"""What a predictor counts, as metrics for Prometheus: base units, and names and labels by its conventions.

Reads snapshots when it is scraped; a request pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any, Protocol

from cascade.caching.stats import CacheStats
from cascade.errors import MissingExtra
from cascade.telemetry.durations import Distribution
from cascade.telemetry.health import Health, HealthLimits
from cascade.telemetry.stats import Stats

_BOUNDS_MS = (*(2.0**power for power in range(-5, 14)), inf)
"""From 31 us to 8 s; powers of two, as the histograms are exact there."""
_STAGE_BOUNDS_MS = _BOUNDS_MS[1::2]
"""Half as many: there is a histogram for every stage and class of batch sizes."""


class Observed(Protocol):
    """What is read of a predictor."""

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        ...

    def stats(self) -> Stats:
        """What it has done."""
        ...

    def health(self, limits: HealthLimits | None = None) -> Health:
        """Whether it does what it is meant to."""
        ...


class PrometheusCollector:
    """Metrics of one predictor, for a registry of ``prometheus-client``.

    Parameters
    ----------
    predictor : Predictor
    labels : mapping from str to str, optional
        Put on every metric, to tell several predictors apart: all collectors of a registry take labels of the same names.
    limits : HealthLimits, optional
        Ask for the health of the predictor with every scrape, and say which check raises an alarm.

    Raises
    ------
    MissingExtra
        If ``prometheus-client`` is not installed.

    Notes
    -----
    Several processes have figures of their own each: scrape each of them. The mode of ``prometheus-client`` that shares files
    between processes leaves out collectors such as this one.

    Examples
    --------
    Once, where the predictor is made::

        from prometheus_client import REGISTRY

        REGISTRY.register(cascade.PrometheusCollector(predictor))
    """

    def __init__(
        self, predictor: Observed, labels: Mapping[str, str] | None = None, limits: HealthLimits | None = None
    ) -> None:
        self._families = _Families(dict(labels or {}))
        self._predictor, self._limits = predictor, limits

    def describe(self) -> list[Any]:
        """Nothing: several predictors may share a registry under labels of their own."""
        return []

    def collect(self) -> Iterator[Any]:
        """Every metric as it is now."""
        stats, families = self._predictor.stats(), self._families
        yield from _requests(stats, families)
        yield from _times(stats, families)
        yield from _batches(stats, families)
        yield from _state(stats, families)
        if isinstance(stats.cache, CacheStats):
            yield from _cache(stats.cache, families)
        yield families.gauge("ready", "Whether requests are taken.", [((), float(self._predictor.ready))])
        if self._limits is not None:
            checks = self._predictor.health(self._limits).checks
            alarms = [((check.name,), float(check.is_alarm)) for check in checks]
            yield families.gauge("alarm", "Whether a check of health raises an alarm.", alarms, ("check",))


class _Families:
    """Makes metric families of values with their labels."""

    def __init__(self, labels: dict[str, str]) -> None:
        try:
            from prometheus_client import metrics_core
        except ImportError as error:
            raise MissingExtra(
                "metrics for Prometheus need prometheus-client: install cascade-inference[prometheus]"
            ) from error
        self._core = metrics_core
        self._names, self._values = tuple(labels), tuple(labels.values())

    def counter(self, name: str, text: str, values: _Values, labels: tuple[str, ...] = ()) -> Any:
        return self._filled(self._core.CounterMetricFamily, name, text, values, labels)

    def gauge(self, name: str, text: str, values: _Values, labels: tuple[str, ...] = ()) -> Any:
        return self._filled(self._core.GaugeMetricFamily, name, text, values, labels)

    def histogram(
        self, name: str, text: str, values: Iterable[tuple[tuple[str, ...], Any, float]], labels: tuple[str, ...] = ()
    ) -> Any:
        """Of label values, cumulative buckets and a sum each."""
        family = self._core.HistogramMetricFamily(f"cascade_{name}", text, labels=(*self._names, *labels))
        for own, buckets, total in values:
            family.add_metric((*self._values, *own), buckets=buckets, sum_value=total)
        return family

    def _filled(self, kind: Any, name: str, text: str, values: _Values, labels: tuple[str, ...]) -> Any:
        family = kind(f"cascade_{name}", text, labels=(*self._names, *labels))
        for own, value in values:
            family.add_metric((*self._values, *own), value)
        return family


_Values = Iterable[tuple[tuple[str, ...], float]]


def _requests(stats: Stats, families: _Families) -> Iterator[Any]:
    outcomes = [((outcome, priority), n) for (outcome, priority), n in stats.n_by_outcome.items()]
    yield families.counter("requests", "Requests that ended.", outcomes, ("outcome", "priority"))
    yield families.counter("in_time", "Requests answered before their deadline.", [((), stats.n_in_time)])
    exits = [((stage or "none",), n) for stage, n in stats.n_by_exit.items()]
    yield families.counter("exits", "Answers by the last stage that ran for them.", exits, ("stage",))
    paths = [((" > ".join(path) or "none",), n) for path, n in stats.path_counts.items()]
    yield families.counter("paths", "Answers by the stages that ran for them.", paths, ("path",))
    yield families.counter("certified", "Answers within the guarantee of their policy.", [((), stats.n_certified)])
    yield families.counter("strict", "Answers to strict requests.", [((), stats.n_strict)])
    yield families.counter("strict_late", "Answers to strict requests after the deadline.", [((), stats.n_strict_late)])
    faults = [((stage,), n) for stage, n in stats.n_faults.items()]
    yield families.counter("faults", "Failed calls of a stage.", faults, ("stage",))
    audits = {"run": stats.n_audited, "failed": stats.n_audit_faults, "dropped": stats.n_audits_dropped}
    yield families.counter("audits", "Audits.", [((name,), n) for name, n in audits.items()], ("outcome",))


def _times(stats: Stats, families: _Families) -> Iterator[Any]:
    if stats.latency is not None and stats.queue_wait is not None:
        yield families.histogram(
            "request_duration_seconds",
            "From a call to its answer, one item at a time.",
            [((), *_seconds(stats.latency))],
        )
        yield families.histogram(
            "queue_wait_seconds", "From a call to the first run of a stage for it.", [((), *_seconds(stats.queue_wait))]
        )
        yield families.histogram(
            "stage_duration_seconds",
            "Runs of a stage, by the largest size of their class of batches.",
            [(key, *_seconds(took, _STAGE_BOUNDS_MS)) for key, took in _by_size(stats).items()],
            ("stage", "batch_size"),
        )


def _by_size(stats: Stats) -> dict[tuple[str, str], Distribution]:
    """Runs by stage and every other class of batch sizes: a series for each would make half of a scrape."""
    parts: dict[tuple[str, str], list[Distribution]] = {}
    for (stage, size), took in stats.service.items():
        largest = 4 ** (size.bit_length() // 2)
        parts.setdefault((stage, str(largest)), []).append(took)
    return {key: Distribution.merged(took) for key, took in parts.items()}


def _seconds(
    durations: Distribution, bounds_ms: tuple[float, ...] = _BOUNDS_MS
) -> tuple[list[tuple[str, float]], float]:
    counts = durations.n_up_to(bounds_ms)
    bounds = ["+Inf" if bound == inf else repr(bound / 1e3) for bound in bounds_ms]
    return list(zip(bounds, map(float, counts), strict=True)), durations.total_ms / 1e3


def _batches(stats: Stats, families: _Families) -> Iterator[Any]:
    closed: dict[tuple[str, str], int] = {}
    requests: dict[tuple[str, str], int] = {}
    for (stage, size, reason), n in stats.batches.items():
        key = stage, reason.replace(" ", "_")
        closed[key] = closed.get(key, 0) + n
        requests[key] = requests.get(key, 0) + size * n
    labels = ("stage", "closed_by")
    yield families.counter("batches", "Batches of requests that queued.", closed.items(), labels)
    yield families.counter("batched_requests", "Requests in these batches.", requests.items(), labels)


def _state(stats: Stats, families: _Families) -> Iterator[Any]:
    yield families.gauge("waiting_requests", "Requests that wait for a lane.", [((), stats.n_waiting)])
    yield families.gauge(
        "load_price_per_second", "Accuracy that a second of compute is worth at this load.", [((), stats.price * 1e3)]
    )
    slow = [
        ((stage, str(lane)), factor) for stage, factors in stats.slowdown.items() for lane, factor in enumerate(factors)
    ]
    yield families.gauge("slowdown_ratio", "Measured over profiled service times.", slow, ("stage", "lane"))
    yield families.gauge(
        "wake_late_seconds", "How late timed waits end, 0.99 quantile.", [((), stats.wake_late_ms / 1e3)]
    )


def _cache(cache: CacheStats, families: _Families) -> Iterator[Any]:
    lookups = {
        "hit": cache.hits,
        "upgrade": cache.upgrades,
        "join": cache.joins,
        "neighbour": cache.neighbours,
        "miss": cache.misses,
        "unkeyed": cache.unkeyed,
    }
    yield families.counter("cache_lookups", "Look-ups.", [((name,), n) for name, n in lookups.items()], ("result",))
    removed = {"evicted": cache.evictions, "expired": cache.expired, "invalidated": cache.invalidated}
    yield families.counter("cache_stored", "Entries that came.", [((), cache.stored)])
    yield families.counter("cache_declined", "Entries that were not stored.", [((), cache.declined)])
    yield families.counter(
        "cache_removed", "Entries that went.", [((name,), n) for name, n in removed.items()], ("reason",)
    )
    yield families.gauge("cache_entries", "Entries there are.", [((), cache.entries)])
    yield families.gauge("cache_bytes", "What they take.", [((), cache.bytes)])
    yield families.gauge("cache_limit_bytes", "What they may take.", [((), cache.max_bytes)])
