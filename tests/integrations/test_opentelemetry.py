"""Spans and metrics of real requests, as the in-memory exporters of the SDK get them."""

import asyncio
import gc
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from cascade.caching.result_cache import ResultCache
from cascade.calibration.fit import fit_policy
from cascade.clock import VirtualClock
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.errors import BudgetTooSmall, MissingExtra
from cascade.integrations.opentelemetry import instrument
from cascade.predictor import Predictor
from cascade.telemetry.counters import Counters
from cascade.telemetry.listening import Listeners
from cascade.telemetry.requests import RequestRecord, StageRun
from cascade.testing.fakes import FakeStage
from cascade.testing.faults import FailingStage

NAMES = ("weak", "strong")
PATIENCE_S = 30.0


def make_parts(n=400, c=3):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, c, n)
    logits = rng.normal(size=(n, 2, c))
    logits[np.arange(n), :, labels] += (3.0, 4.0)
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    service = ServiceTable.from_costs([1.0, 10.0], stages=NAMES)
    policy = fit_policy(Outcomes.from_probs(probs, labels, stages=NAMES), service, 0.03)
    return SimpleNamespace(probs=probs, service=service, policy=policy)


PARTS = make_parts()


class Telemetry:
    """Providers of spans and metrics, and what they got."""

    def __init__(self, **keywords):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers, self.meters = TracerProvider(**keywords), MeterProvider([self.reader])
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    def watch(self, predictor):
        return instrument(predictor, tracer_provider=self.tracers, meter_provider=self.meters)

    def spans(self, name):
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def points(self):
        """Every point of data by the name of its metric."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: (metric.unit, list(metric.data.data_points))
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def telemetry():
    telemetry = Telemetry()
    yield telemetry
    telemetry.tracers.shutdown()
    telemetry.meters.shutdown()


@pytest.fixture
def make():
    """Makes predictors on fake stages, and closes them in the end."""
    made, clock = [], VirtualClock()

    def make(stages=None, **keywords):
        usual = [FakeStage(name, PARTS.probs[:, j], 1.0 + 9.0 * j, clock) for j, name in enumerate(NAMES)]
        made.append(Predictor(stages or usual, PARTS.policy, PARTS.service, clock=clock, **keywords))
        return made[-1]

    yield make
    for predictor in made:
        predictor.close()


class Told:
    """A predictor that never ran anything, whose listeners a test tells of requests."""

    def __init__(self):
        self.listeners = Listeners()
        self.listen, self.stats = self.listeners.add, Counters().snapshot


def row_of_two(predictor):
    """A row for which both stages run."""
    return next(row for row in range(400) if len(predictor.predict(row).path) == 2)


def test_a_request_is_a_span_with_a_child_for_every_stage(telemetry, make):
    predictor = make()
    row = row_of_two(predictor)
    with telemetry.watch(predictor):
        answer = predictor.predict(row, budget_ms=20.0, priority="interactive")
    (span,) = telemetry.spans("cascade.predict")
    stages = telemetry.spans("cascade.stage")
    assert [child.attributes["cascade.stage"] for child in stages] == list(answer.path) == list(NAMES)
    assert {child.parent.span_id for child in stages} == {span.context.span_id}
    assert dict(span.attributes) == {
        "cascade.request.id": answer.id,
        "cascade.rows": 1,
        "cascade.priority": "interactive",
        "cascade.outcome": "answered",
        "cascade.path": NAMES,
        "cascade.in_time": True,
        "cascade.from_cache": False,
        "cascade.queue_wait_seconds": 0.0,
        "cascade.confidence": answer.confidence,
        "cascade.budget_seconds": 0.02,
        "cascade.slack_seconds": pytest.approx(0.009),
        "cascade.deadline_unix_seconds": pytest.approx(span.end_time / 1e9 + 0.009),
    }


def test_spans_last_as_long_as_what_they_stand_for_and_lie_within_each_other(telemetry, make):
    predictor = make()
    row = row_of_two(predictor)
    with telemetry.watch(predictor):
        predictor.predict(row)
    (span,) = telemetry.spans("cascade.predict")
    weak, strong = telemetry.spans("cascade.stage")
    assert (span.end_time - span.start_time, weak.end_time - weak.start_time) == (11_000_000, 1_000_000)
    assert span.start_time == weak.start_time <= weak.end_time <= strong.start_time < strong.end_time == span.end_time


@pytest.mark.parametrize("way", ["predict", "submit", "apredict", "predict_batch"])
def test_the_parent_is_the_span_of_whoever_asked(telemetry, make, way):
    predictor, tracer = make(), telemetry.tracers.get_tracer("the application")
    with telemetry.watch(predictor), tracer.start_as_current_span("handler") as handler:
        match way:
            case "predict":
                predictor.predict(0)
            case "submit":
                future = predictor.submit(0)
            case "apredict":
                asyncio.run(predictor.apredict(0))
            case _:
                predictor.predict_batch([0, 1])
    if way == "submit":
        future.result(PATIENCE_S)
    predictor.close()
    (span,) = telemetry.spans("cascade.predict")
    assert span.parent.span_id == handler.get_span_context().span_id
    assert span.context.trace_id == handler.get_span_context().trace_id


def test_a_request_without_an_answer_is_an_error_and_a_cancelled_one_is_not(telemetry, make):
    predictor = make()
    with telemetry.watch(predictor), pytest.raises(BudgetTooSmall):
        predictor.predict(0, budget_ms=0.01, infeasible="raise")
    (span,) = telemetry.spans("cascade.predict")
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.status.description == span.attributes["cascade.outcome"] == "rejected"


def test_a_stage_that_failed_is_an_error_in_a_request_that_is_none(telemetry, make):
    clock = VirtualClock()
    weak = FailingStage(FakeStage("weak", PARTS.probs[:, 0], 1.0, clock))
    predictor = make([weak, FakeStage("strong", PARTS.probs[:, 1], 10.0, clock)])
    with telemetry.watch(predictor):
        predictor.predict(0)
    (span,) = telemetry.spans("cascade.predict")
    codes = {child.attributes["cascade.stage"]: child.status.status_code for child in telemetry.spans("cascade.stage")}
    assert codes == {"weak": trace.StatusCode.ERROR, "strong": trace.StatusCode.UNSET}
    assert span.status.status_code is trace.StatusCode.UNSET


def test_a_trace_that_is_not_sampled_makes_no_children(make):
    telemetry, predictor = Telemetry(sampler=ALWAYS_OFF), make()
    with telemetry.watch(predictor):
        predictor.predict(0)
    assert telemetry.exporter.get_finished_spans() == ()
    assert telemetry.points()["cascade.request.duration"][1][0].count == 1


def test_metrics_are_seconds_and_counts(telemetry, make):
    predictor = make(cache=ResultCache())
    with telemetry.watch(predictor):
        for row in (1, 1, 2):
            predictor.predict(row)
        points = telemetry.points()
    unit, (latency,) = points["cascade.request.duration"]
    assert (unit, latency.count, latency.max <= 0.011) == ("s", 3, True)
    assert dict(latency.attributes) == {"cascade.outcome": "answered", "cascade.priority": "normal"}
    assert points["cascade.queue.duration"][1][0].count == 3
    assert {point.attributes["cascade.stage"] for point in points["cascade.stage.duration"][1]} <= set(NAMES)
    assert [point.value for point in points["cascade.requests"][1]] == [3]
    assert [point.value for point in points["cascade.in_time"][1]] == [3]
    assert sum(point.value for point in points["cascade.exits"][1]) == 3
    found = {point.attributes["cascade.cache.result"]: point.value for point in points["cascade.cache.lookups"][1]}
    assert (found["hits"], found["misses"]) == (1, 2)
    assert points["cascade.cache.size"][0] == "By"
    assert {(point.attributes["cascade.stage"], point.value) for point in points["cascade.slowdown"][1]} == {
        ("weak", 1.0),
        ("strong", 1.0),
    }


def test_a_run_that_several_requests_share_is_measured_once(telemetry):
    shared, alone = StageRun("weak", 0, 3, 1.0, 2.0), StageRun("strong", 0, 1, 2.0, 3.0)
    told = Told()
    listeners = told.listeners
    with telemetry.watch(told):
        for number in range(3):
            runs = (shared, alone) if number == 2 else (shared,)
            record = RequestRecord(number, 1, "normal", "answered", 0.0, 3.0, 9.0, 1.0, True, runs=runs)
            listeners.begin().end(record)
        counts = {point.attributes["cascade.stage"]: point.count for point in duration_points(telemetry)}
    assert len(telemetry.spans("cascade.stage")) == 4
    assert counts == {"weak": 1, "strong": 1}


def test_what_is_remembered_of_shared_runs_is_bounded(telemetry, monkeypatch):
    monkeypatch.setattr("cascade.integrations.opentelemetry._SHARED", 10)
    told = Told()
    listeners = told.listeners
    with telemetry.watch(told):
        (listener,) = listeners.active
        for number in range(50):
            run = StageRun("weak", 0, 2, 1.0, 2.0)
            listeners.begin().end(RequestRecord(number, 1, "normal", "answered", 0.0, 3.0, 9.0, 1.0, True, runs=(run,)))
    assert len(listener._shared) == 10


def duration_points(telemetry):
    return telemetry.points()["cascade.stage.duration"][1]


def test_after_stopping_nothing_is_made(telemetry, make):
    predictor = make()
    watching = telemetry.watch(predictor)
    watching.stop()
    predictor.predict(0)
    assert telemetry.spans("cascade.predict") == []
    assert "cascade.requests" not in telemetry.points()


def test_providers_do_not_keep_a_predictor_alive(telemetry):
    clock = VirtualClock()
    stages = [FakeStage(name, PARTS.probs[:, j], 1.0, clock) for j, name in enumerate(NAMES)]
    predictor = Predictor(stages, PARTS.policy, PARTS.service, clock=clock)
    telemetry.watch(predictor)
    predictor.predict(0)
    assert "cascade.requests" in telemetry.points()
    del predictor
    gc.collect()
    assert "cascade.requests" not in telemetry.points()


def test_a_missing_package_names_the_extra(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtra, match=r"install cascade-inference\[otel\]"):
        instrument(make())
