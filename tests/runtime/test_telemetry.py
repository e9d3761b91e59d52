"""What `stats` tells of requests on every way through a predictor."""

import json
from threading import Thread, current_thread

import pytest

from cascade.caching.result_cache import ResultCache
from cascade.errors import BudgetTooSmall, Rejected
from cascade.telemetry.health import HealthLimits
from cascade.testing.fakes import FakeStage
from cascade.testing.faults import FailingStage

PATIENCE_S = 30.0


def test_direct_answers_are_timed_on_the_predictors_clock(serve):
    predictor = serve()
    answers = [predictor.predict(row, priority="interactive") for row in range(64)]
    stats = predictor.stats()
    assert stats.latency.n == stats.queue_wait.n == 64
    assert stats.latency.total_ms == pytest.approx(sum(answer.latency_ms for answer in answers))
    assert dict(stats.n_by_outcome) == {("answered", "interactive"): 64}


def test_one_direct_request_in_32_shows_how_long_stages_take(serve):
    predictor = serve()
    for row in range(64):
        predictor.predict(row)
    took = predictor.stats().service["weak", 1]
    assert (took.n, took.mean_ms) == (2, 1.0)


def test_requests_that_queue_show_waits_batches_and_runs(serve, held):
    weak, _ = held
    predictor = serve(max_batch=4)
    weak.hold()
    first = predictor.submit(0, priority="background")
    weak.wait_for_run()
    futures = [predictor.submit(row) for row in range(1, 9)]
    weak.let_go()
    for future in [first, *futures]:
        future.result(PATIENCE_S)
    stats = predictor.stats()
    # Behind the first, which holds the lane, four go together as more may not, and four as there are no more.
    assert stats.batches["weak", 4, "limit"] == stats.batches["weak", 4, "nobody else"] == 1
    assert {stage for stage, _, _ in stats.batches} <= {"weak", "strong"}
    runs = sum(took.n for took in stats.service.values())
    assert runs == sum(stats.batches.values())
    assert stats.n_by_outcome["answered", "background"] == 1


def test_rows_of_a_batch_show_what_their_runs_took(serve):
    predictor = serve()
    predictor.predict_batch(list(range(100)))
    stats = predictor.stats()
    assert stats.service["weak", 128].n == 1
    assert stats.n_by_outcome["answered", "normal"] == 100
    assert stats.latency.n == 0


def test_refusals_are_told_by_class(serve):
    predictor = serve()
    with pytest.raises(BudgetTooSmall):
        predictor.predict(0, budget_ms=0.01, infeasible="raise", priority="interactive")
    future = predictor.submit(0, budget_ms=0.01, infeasible="raise", priority="background", strict=True)
    with pytest.raises((BudgetTooSmall, Rejected)):
        future.result(PATIENCE_S)
    assert dict(predictor.stats().n_by_outcome) == {("rejected", "background"): 1, ("rejected", "interactive"): 1}


def test_the_figures_of_the_cache_are_a_frozen_part_of_the_snapshot(serve):
    assert serve().stats().cache is None
    predictor = serve(cache=ResultCache())
    predictor.predict(1)
    before = predictor.stats().cache
    predictor.predict(1)
    assert (before.hits, predictor.stats().cache.hits) == (0, 1)


def test_the_switch_turns_histograms_off_and_leaves_the_counts(serve):
    predictor = serve(telemetry=False)
    predictor.predict(0)
    predictor.submit(1).result(PATIENCE_S)
    stats = predictor.stats()
    assert (stats.n_requests, stats.latency, dict(stats.service), dict(stats.batches)) == (2, None, {}, {})


class Heard:
    def __init__(self):
        self.records = []

    def began(self):
        return current_thread().name

    def ended(self, record, began):
        self.records.append(record)
        assert began == "MainThread"


def test_a_direct_answer_is_told_with_every_run_of_a_stage(serve):
    predictor, heard = serve(), Heard()
    with predictor.listen(heard):
        answers = [predictor.predict(row, budget_ms=100.0, priority="interactive") for row in range(40)]
    predictor.predict(0)
    assert [record.id for record in heard.records] == [answer.id for answer in answers]
    for record, answer in zip(heard.records, answers, strict=True):
        assert record.path == answer.path == tuple(run.stage for run in record.runs)
        assert record.latency_ms == pytest.approx(answer.latency_ms)
        assert record.latency_ms == pytest.approx(sum(run.end_ms - run.start_ms for run in record.runs))
        assert (record.outcome, record.priority, record.budget_ms) == ("answered", "interactive", 100.0)
        assert (record.is_answered, record.slack_ms) == (True, pytest.approx(100.0 - answer.latency_ms))


def test_requests_that_ran_together_share_a_run(serve, held):
    weak, _ = held
    predictor, heard = serve(), Heard()
    weak.hold()
    first = predictor.submit(0)
    weak.wait_for_run()
    with predictor.listen(heard):
        futures = [predictor.submit(row) for row in range(1, 5)]
    weak.let_go()
    for future in [first, *futures]:
        future.result(PATIENCE_S)
    (shared,) = {id(record.runs[0]) for record in heard.records}
    run = heard.records[0].runs[0]
    assert (len(heard.records), run.stage, run.n, run.lane, run.closed_by) == (4, "weak", 4, 0, "nobody else")
    assert id(run) == shared
    for record in heard.records:
        assert run.start_ms == pytest.approx(record.arrived_ms + record.queue_wait_ms)
        assert run.end_ms == pytest.approx(run.start_ms + 4.0)


def test_a_request_without_an_answer_is_told_with_why(serve, held):
    weak, _ = held
    predictor, heard = serve(), Heard()
    with predictor.listen(heard):
        with pytest.raises(BudgetTooSmall):
            predictor.predict(0, budget_ms=0.01, infeasible="raise")
        weak.hold()
        first = predictor.submit(0)
        weak.wait_for_run()
        waits = predictor.submit(1)
        assert waits.cancel()
        weak.let_go()
        first.result(PATIENCE_S)
    assert [record.outcome for record in heard.records] == ["rejected", "cancelled", "answered"]
    assert not heard.records[1].is_answered


def test_a_call_of_many_rows_is_told_once(serve):
    predictor, heard = serve(), Heard()
    with predictor.listen(heard):
        predictor.predict_batch(list(range(100)))
    (record,) = heard.records
    assert (record.n_rows, record.outcome, record.runs[0].n) == (100, "answered", 100)


def test_an_improving_answer_is_told_at_its_end(serve):
    predictor, heard = serve(), Heard()
    with predictor.listen(heard):
        answers = list(predictor.refine(0, budget_ms=100.0))
    (record,) = heard.records
    assert record.path == answers[-1].path == tuple(run.stage for run in record.runs)


def test_an_answer_from_the_cache_is_told_without_runs(serve):
    predictor, heard = serve(cache=ResultCache()), Heard()
    predictor.predict(1)
    with predictor.listen(heard):
        predictor.predict(1)
        predictor.submit(1).result(PATIENCE_S)
    assert [(record.from_cache, record.runs) for record in heard.records] == [(True, ()), (True, ())]


def test_a_failed_run_is_told_as_such(serve, gradual, clock):
    strong = FakeStage("strong", gradual.probs[:, 1], 10.0, clock)
    weak = FailingStage(FakeStage("weak", gradual.probs[:, 0], 1.0, clock), [1])
    predictor, heard = serve(stages=[weak, strong]), Heard()
    with predictor.listen(heard):
        predictor.predict(0)
    (record,) = heard.records
    assert [(run.stage, run.has_failed) for run in record.runs] == [("weak", True), ("strong", False)]
    assert record.outcome == "degraded"


def test_health_tells_of_late_answers_and_of_a_stage_that_is_left_alone(serve, gradual, clock):
    strong = FakeStage("strong", gradual.probs[:, 1], 10.0, clock)
    weak = FailingStage(FakeStage("weak", gradual.probs[:, 0], 1.0, clock))
    predictor, alarms = serve(stages=[weak, strong], drift_window=100), []
    assert predictor.health().is_well
    end = predictor.on_alert(alarms.append)
    for row in range(3):
        predictor.predict(row, budget_ms=2.0)
    found = predictor.health()
    assert [check.name for check in found.alarms] == ["deadlines", "stages"]
    assert [check.name for check in alarms] == ["deadlines", "stages"]
    end()
    predictor.close()
    assert "the predictor was closed" in repr(predictor.health())
    assert len(alarms) == 2


def test_drift_is_part_of_health_once_there_are_answers_enough(serve):
    predictor = serve(drift_window=100)
    for row in range(200):
        predictor.predict(row)
    (drift,) = [check for check in predictor.health().checks if check.name == "drift"]
    assert drift.state == "well"


def test_another_policy_is_young_again(serve, clock, gradual):
    predictor, limits = serve(), HealthLimits(max_age_ms=10.0)
    clock.wait(11.0)
    assert [check.name for check in predictor.health(limits).alarms] == ["age"]
    predictor.swap_policy(gradual.policy)
    assert predictor.health(limits).is_well


def test_a_trace_shows_the_batches_and_requests_of_its_window(serve, held, tmp_path):
    weak, _ = held
    predictor = serve()
    predictor.predict(0)
    with predictor.trace(tmp_path / "trace.json"):
        weak.hold()
        first = predictor.submit(0)
        weak.wait_for_run()
        futures = [predictor.submit(row, budget_ms=1000.0) for row in range(1, 5)]
        weak.let_go()
        answers = [future.result(PATIENCE_S) for future in [first, *futures]]
    predictor.predict(0)
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    assert {event["id"] for event in events if event["ph"] == "b"} == {answer.id for answer in answers}
    assert max(event["args"]["rows"] for event in events if event["ph"] == "X") == 4
    assert max(event["args"]["waiting"] for event in events if event["ph"] == "C") >= 4


def test_in_a_child_process_nobody_listens_and_health_can_be_asked_for(serve):
    predictor, heard = serve(), Heard()
    predictor.listen(heard)
    predictor._health._lock.acquire()
    predictor._engine.renew()
    predictor.predict(0)
    assert heard.records == []
    assert predictor.health().is_well


def test_nothing_is_lost_or_counted_twice_when_many_threads_ask(serve):
    predictor, heard = serve(lanes=3), Heard()

    def ask():
        for row in range(100):
            if row % 2:
                predictor.predict(row, priority="interactive")
            else:
                predictor.submit(row, priority="background").result(PATIENCE_S)

    threads = [Thread(target=ask, name="MainThread") for _ in range(6)]
    with predictor.listen(heard):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    stats = predictor.stats()
    assert (stats.latency.n, stats.queue_wait.n, len({record.id for record in heard.records})) == (600, 600, 600)
    assert dict(stats.n_by_outcome) == {("answered", "background"): 300, ("answered", "interactive"): 300}
