"""What `stats` tells of requests on every way through a predictor."""

import pytest

from cascade.caching.result_cache import ResultCache
from cascade.errors import BudgetTooSmall, Rejected

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
