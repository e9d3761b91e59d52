"""Requests as spans, and what a predictor counts as metrics, for OpenTelemetry.

Spans are made once a request is over, with the instants of then: what runs meanwhile pays for two clock reads a stage. The context is
that of whoever asked, also through `submit` and `apredict`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any, Protocol
from weakref import ref

from cascade.caching.stats import CacheStats
from cascade.errors import MissingExtra
from cascade.telemetry.listening import Listening, Stoppable
from cascade.telemetry.measures import size_class
from cascade.telemetry.requests import Listener, RequestRecord, StageRun
from cascade.telemetry.stats import Stats

_NAME = "cascade"
_SHARED = 4096
"""Runs that are remembered, as each is told with every request that it was for."""


class Observed(Protocol):
    """What is asked of a predictor."""

    def stats(self) -> Stats:
        """What it has done."""
        ...

    def listen(self, listener: Listener) -> Listening:
        """Tell somebody of requests."""
        ...


def instrument(predictor: Observed, *, tracer_provider: Any = None, meter_provider: Any = None) -> Instrumentation:
    """Make spans of a predictor's requests, and metrics of what it counts, from now on.

    Parameters
    ----------
    predictor : Predictor
    tracer_provider : opentelemetry.trace.TracerProvider, optional
        By default the global one.
    meter_provider : opentelemetry.metrics.MeterProvider, optional
        By default the global one.

    Returns
    -------
    Instrumentation
        ``stop()`` ends it, as does leaving its ``with`` block.

    Raises
    ------
    MissingExtra
        If ``opentelemetry-api`` is not installed.

    Notes
    -----
    A span ``cascade.predict`` for each request, with a child ``cascade.stage`` for each run of a stage. Its parent is the span that was
    current where the request was made. What a stage itself does is no part of it: a batch is run for several requests at once.

    Examples
    --------
    Once the providers are set up::

        with cascade.instrument(predictor):
            ...
    """
    try:
        from opentelemetry import context, metrics, trace
    except ImportError as error:
        raise MissingExtra(
            "spans and metrics for OpenTelemetry need opentelemetry-api: install cascade-inference[otel]"
        ) from error
    tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
    meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
    listener = _Spans(tracer, meter, context.get_current, trace)
    gauges = _Gauges(predictor, meter, metrics.Observation)
    return Instrumentation(predictor.listen(listener), gauges)


class Instrumentation(Stoppable):
    """Spans and metrics are made until `stop`, or to the end of the ``with`` block."""

    def __init__(self, listening: Listening, gauges: _Gauges) -> None:
        self._listening, self._gauges = listening, gauges

    def stop(self) -> None:
        """Make no more."""
        self._listening.stop()
        self._gauges.stop()


class _Spans:
    """Hears of requests, and makes spans and histograms of them."""

    def __init__(self, tracer: Any, meter: Any, current: Callable[[], Any], api: Any) -> None:
        self.began, self._tracer, self._api = current, tracer, api
        self._latency = meter.create_histogram("cascade.request.duration", "s", "From a call to its end.")
        self._wait = meter.create_histogram("cascade.queue.duration", "s", "From a call to the first run for it.")
        self._service = meter.create_histogram("cascade.stage.duration", "s", "Runs of a stage.")
        self._shared: dict[int, StageRun] = {}
        self._lock = Lock()

    def ended(self, record: RequestRecord, began: Any) -> None:
        """A request is over; ``began`` is the context of whoever asked."""
        end_ns = time.time_ns()
        self._span(record, began, end_ns)
        labels = {"cascade.outcome": record.outcome, "cascade.priority": record.priority}
        self._latency.record(record.latency_ms / 1e3, labels)
        self._wait.record(record.queue_wait_ms / 1e3, {"cascade.priority": record.priority})
        for run in record.runs:
            if self._is_new(run):
                seconds = (run.end_ms - run.start_ms) / 1e3
                self._service.record(seconds, {"cascade.stage": run.stage, "cascade.batch_size": size_class(run.n)})

    def _span(self, record: RequestRecord, context: Any, end_ns: int) -> None:
        def instant_ns(at_ms: float) -> int:
            return end_ns + round((at_ms - record.ended_ms) * 1e6)

        span = self._tracer.start_span(
            "cascade.predict", context, attributes=_attributes(record, end_ns), start_time=instant_ns(record.arrived_ms)
        )
        if span.is_recording():
            if not record.is_answered and record.outcome != "cancelled":
                span.set_status(self._api.StatusCode.ERROR, record.outcome)
            inside = self._api.set_span_in_context(span, context)
            for run in record.runs:
                child = self._tracer.start_span(
                    "cascade.stage", inside, attributes=_attributes_of_run(run), start_time=instant_ns(run.start_ms)
                )
                if run.has_failed:
                    child.set_status(self._api.StatusCode.ERROR, "the stage failed")
                child.end(instant_ns(run.end_ms))
        span.end(end_ns)

    def _is_new(self, run: StageRun) -> bool:
        """Whether a run is told for the first time."""
        if run.n == 1:
            return True
        with self._lock:
            if id(run) in self._shared:
                return False
            # As long as it is kept, no other has its identity.
            self._shared[id(run)] = run
            if len(self._shared) > _SHARED:
                del self._shared[next(iter(self._shared))]
        return True


def _attributes(record: RequestRecord, end_ns: int) -> dict[str, Any]:
    found = {
        "cascade.request.id": record.id,
        "cascade.rows": record.n_rows,
        "cascade.priority": record.priority,
        "cascade.outcome": record.outcome,
        "cascade.path": record.path,
        "cascade.in_time": record.in_time,
        "cascade.from_cache": record.from_cache,
        "cascade.queue_wait_seconds": record.queue_wait_ms / 1e3,
    }
    if record.confidence is not None:
        found["cascade.confidence"] = record.confidence
    if record.slack_ms is not None and record.budget_ms is not None:
        found["cascade.budget_seconds"] = record.budget_ms / 1e3
        found["cascade.slack_seconds"] = record.slack_ms / 1e3
        found["cascade.deadline_unix_seconds"] = (end_ns / 1e6 + record.slack_ms) / 1e3
    return found


def _attributes_of_run(run: StageRun) -> dict[str, Any]:
    return {
        "cascade.stage": run.stage,
        "cascade.lane": run.lane,
        "cascade.batch_rows": run.n,
        "cascade.batch_closed_by": run.closed_by,
    }


_Values = list[tuple[float, dict[str, Any]]]


class _Gauges:
    """What is read of a snapshot whenever metrics are collected; knows the predictor weakly, as providers live on."""

    def __init__(self, predictor: Observed, meter: Any, observation: Any) -> None:
        self._predictor, self._observation = ref(predictor), observation
        self._is_over = False
        for name, unit, text, read in _COUNTERS:
            meter.create_observable_counter(f"cascade.{name}", [self._reading(read)], unit, text)
        for name, unit, text, read in _GAUGES:
            meter.create_observable_gauge(f"cascade.{name}", [self._reading(read)], unit, text)

    def stop(self) -> None:
        """Say nothing any more."""
        self._is_over = True

    def _reading(self, read: Callable[[Stats], _Values]) -> Callable[[Any], Iterator[Any]]:
        def observe(options: Any) -> Iterator[Any]:  # noqa: ARG001 - what a collector says about its patience
            predictor = self._predictor()
            if predictor is not None and not self._is_over:
                for value, labels in read(predictor.stats()):
                    yield self._observation(value, labels)

        return observe


def _requests(stats: Stats) -> _Values:
    return [
        (n, {"cascade.outcome": outcome, "cascade.priority": priority})
        for (outcome, priority), n in stats.n_by_outcome.items()
    ]


def _batches(stats: Stats) -> _Values:
    counts: dict[tuple[str, str], int] = {}
    for (stage, _, reason), n in stats.batches.items():
        counts[stage, reason] = counts.get((stage, reason), 0) + n
    return [(n, {"cascade.stage": stage, "cascade.batch_closed_by": reason}) for (stage, reason), n in counts.items()]


def _slowdown(stats: Stats) -> _Values:
    return [
        (factor, {"cascade.stage": stage, "cascade.lane": lane})
        for stage, factors in stats.slowdown.items()
        for lane, factor in enumerate(factors)
    ]


def _lookups(stats: Stats) -> _Values:
    cache = stats.cache
    if not isinstance(cache, CacheStats):
        return []
    names = ("hits", "upgrades", "joins", "neighbours", "misses", "unkeyed")
    return [(getattr(cache, name), {"cascade.cache.result": name}) for name in names]


def _cache_bytes(stats: Stats) -> _Values:
    return [] if stats.cache is None else [(stats.cache.bytes, {})]


def _by_stage(counts: dict[str, int]) -> _Values:
    return [(n, {"cascade.stage": stage or "none"}) for stage, n in counts.items()]


_COUNTERS: tuple[tuple[str, str, str, Callable[[Stats], _Values]], ...] = (
    ("requests", "{request}", "Requests that ended.", _requests),
    ("in_time", "{request}", "Requests answered before their deadline.", lambda stats: [(stats.n_in_time, {})]),
    ("exits", "{request}", "Answers by the last stage that ran.", lambda stats: _by_stage(stats.n_by_exit)),
    ("faults", "{call}", "Failed calls of a stage.", lambda stats: _by_stage(dict(stats.n_faults))),
    ("batches", "{batch}", "Batches of requests that queued.", _batches),
    ("cache.lookups", "{lookup}", "Look-ups in the result cache.", _lookups),
)
_GAUGES: tuple[tuple[str, str, str, Callable[[Stats], _Values]], ...] = (
    ("queue.size", "{request}", "Requests that wait for a lane.", lambda stats: [(stats.n_waiting, {})]),
    ("load.price", "1/s", "Accuracy that a second is worth at this load.", lambda stats: [(stats.price * 1e3, {})]),
    ("slowdown", "1", "Measured over profiled service times.", _slowdown),
    ("cache.size", "By", "What the entries of the result cache take.", _cache_bytes),
)
