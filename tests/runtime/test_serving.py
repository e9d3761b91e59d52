"""Requests through lanes, on fake stages that stand still where a test wants them to."""

import asyncio
from concurrent.futures import CancelledError
from threading import current_thread

import numpy as np
import pytest

from cascade.core.records import Status
from cascade.errors import (
    BudgetTooSmall,
    ConfigurationError,
    Expired,
    InputMismatch,
    OverloadError,
    Rejected,
    StageError,
)
from cascade.testing.fakes import FakeStage
from cascade.testing.faults import FailingStage
from tests.runtime.callers import in_thread

PATIENCE_S = 30.0


def waiting(predictor, n):
    """Return once n requests wait."""
    while predictor.stats().n_waiting < n:
        pass


def busy(predictor, *stages):
    """Keep the lane busy with a request; its future."""
    for stage in stages:
        stage.hold()
    future = predictor.submit(0)
    # Whichever stage it begins with.
    while not any(stage._entered.acquire(blocking=False) for stage in stages):
        pass
    return future


@pytest.fixture
def stages(gradual, clock):
    return [FakeStage(name, gradual.probs[:, j], 1.0 + 9.0 * j, clock) for j, name in enumerate(("weak", "strong"))]


def alone(serve, stages, row, **keywords):
    """What a lone caller is told."""
    return serve(stages=stages).predict(row, **keywords)


# Idle lanes.


def test_a_lone_caller_starts_no_thread_and_is_answered_on_its_own(serve, held):
    predictor = serve()
    predictor.predict(1)
    predictor.predict_batch(np.arange(4))
    list(predictor.refine(1))
    assert {name for stage in held for name in stage.threads_seen} == {current_thread().name}
    assert predictor._engine._at_work.workers == []


@pytest.mark.parametrize("lanes", [1, 3])
def test_as_many_callers_run_at_once_as_there_are_lanes_and_the_next_one_queues(serve, held, lanes):
    predictor = serve(lanes=lanes)
    for stage in held:
        stage.hold()
    callers = [in_thread(lambda: predictor.predict(1)) for _ in range(lanes + 1)]
    waiting(predictor, 1)
    seen = [name for stage in held for name in stage.threads_seen]
    assert seen == ["caller"] * lanes
    for stage in held:
        stage.let_go()
    for thread, _ in callers:
        thread.join(PATIENCE_S)
    assert all(outcome[0].status is Status.ANSWERED for _, outcome in callers)


def test_nobody_passes_a_caller_who_is_asleep(serve, held):
    predictor = serve(lanes=2)
    for stage in held:
        stage.hold()
    asleep, outcome = in_thread(lambda: predictor.predict(1, strict=True))
    held[0].wait_for_run()
    other, another_outcome = in_thread(lambda: predictor.predict(1))
    held[0].wait_for_run()
    assert held[0].threads_seen == ["cascade-lane-0", "cascade-lane-1"]
    for stage in held:
        stage.let_go()
    for thread in (asleep, other):
        thread.join(PATIENCE_S)
    assert outcome[0].label == another_outcome[0].label
    predictor.predict(1)
    assert held[0].threads_seen[-1] == current_thread().name


# Futures and coroutines.


def test_a_future_gives_the_answer_that_a_caller_would_get(serve, stages):
    row = 5
    expected = alone(serve, stages, row)
    answer = serve().submit(row).result(PATIENCE_S)
    assert (answer.label, answer.path, answer.confidence, answer.status) == (
        expected.label,
        expected.path,
        expected.confidence,
        expected.status,
    )
    np.testing.assert_array_equal(answer.probs, expected.probs)


def test_stages_of_futures_run_on_the_lane_only(serve, held):
    predictor = serve()
    for future in [predictor.submit(row) for row in range(10)]:
        future.result(PATIENCE_S)
    assert {name for stage in held for name in stage.threads_seen} == {"cascade-lane-0"}


def test_those_that_wait_for_a_busy_lane_are_joined_and_none_is_mixed_up(serve, held, stages):
    expected = {row: alone(serve, stages, row) for row in range(1, 20)}
    predictor = serve()
    first = busy(predictor, *held)
    futures = {row: predictor.submit(row) for row in expected}
    threads = {row: in_thread(lambda row=row: predictor.predict(row)) for row in expected}
    waiting(predictor, 2 * len(expected))
    for stage in held:
        stage.let_go()
    first.result(PATIENCE_S)
    for row, answer in expected.items():
        threads[row][0].join(PATIENCE_S)
        for got in (futures[row].result(PATIENCE_S), threads[row][1][0]):
            assert (got.label, got.confidence) == (
                answer.label,
                pytest.approx(answer.confidence),
            ) or got.path != answer.path
    assert max(size for stage in held for size in stage.batch_sizes) == 32


def test_a_coroutine_never_runs_a_stage_on_its_loop_and_costs_no_thread(serve, held):
    predictor = serve()

    async def ask():
        return await asyncio.gather(*(predictor.apredict(row) for row in range(50)))

    answers = asyncio.run(ask())
    assert len(answers) == 50
    assert {name for stage in held for name in stage.threads_seen} == {"cascade-lane-0"}
    assert predictor.stats().n_requests == 50


def test_the_budget_of_a_coroutine_counts_from_the_call(serve, clock):
    predictor = serve(infeasible="raise")

    async def ask():
        answer = predictor.apredict(1, budget_ms=20.0)
        clock.wait(19.5)
        return await answer

    with pytest.raises(BudgetTooSmall):
        asyncio.run(ask())


def test_a_cancelled_future_is_taken_out_of_the_queue(serve, held):
    predictor = serve()
    first = busy(predictor, *held)
    kept, dropped = predictor.submit(1), predictor.submit(2)
    assert dropped.cancel()
    assert predictor.stats().n_waiting == 1
    for stage in held:
        stage.let_go()
    assert kept.result(PATIENCE_S)
    assert first.result(PATIENCE_S)
    with pytest.raises(CancelledError):
        dropped.result(0)
    stats = predictor.stats()
    assert (stats.n_requests, stats.n_cancelled) == (2, 1)


def test_a_cancelled_task_takes_its_request_along(serve, held):
    predictor = serve()
    first = busy(predictor, *held)

    async def ask():
        task = asyncio.create_task(predictor.apredict(1))
        while not predictor.stats().n_waiting:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    assert predictor.stats().n_waiting == 0
    for stage in held:
        stage.let_go()
    first.result(PATIENCE_S)
    assert predictor.stats().n_cancelled == 1


def test_what_runs_for_a_cancelled_request_is_dropped(serve, held):
    predictor = serve()
    first = busy(predictor, *held)
    assert first.cancel()
    for stage in held:
        stage.let_go()
    assert predictor.submit(1).result(PATIENCE_S)
    stats = predictor.stats()
    assert (stats.n_requests, stats.n_cancelled) == (1, 1)


# Priorities and bad arguments.


def test_an_urgent_class_goes_first(serve, held):
    predictor = serve(max_batch=1)
    first, order = busy(predictor, *held), []
    for name in ("background", "normal", "interactive"):
        predictor.submit(1, priority=name).add_done_callback(lambda _, name=name: order.append(name))
    for stage in held:
        stage.let_go()
    first.result(PATIENCE_S)
    predictor.close()
    assert order == ["interactive", "normal", "background"]


@pytest.mark.parametrize("method", ["predict", "submit", "apredict"])
def test_an_unknown_class_is_refused(serve, method):
    predictor = serve()

    async def ask():
        return await predictor.apredict(1, priority="urgent")

    with pytest.raises(ConfigurationError, match="expected priority to be one of .*'background'.*, got 'urgent'"):
        asyncio.run(ask()) if method == "apredict" else getattr(predictor, method)(1, priority="urgent")


def test_a_bad_input_is_refused_at_once_and_not_queued(serve):
    predictor = serve()
    predictor._server._inputs._shape = (2,)
    with pytest.raises(InputMismatch):
        predictor.submit(np.zeros(3))
    assert predictor._engine._at_work.workers == []


# Too little time.


def test_a_budget_that_no_stage_fits_is_settled_before_queueing_where_the_terms_say_so(serve):
    predictor = serve()
    with pytest.raises(BudgetTooSmall, match="the fastest stage 'weak' needs 1 ms"):
        predictor.submit(1, budget_ms=0.5, infeasible="raise").result(PATIENCE_S)
    answer = predictor.submit(1, budget_ms=0.5, infeasible="prior").result(PATIENCE_S)
    assert (answer.path, answer.status, answer.in_time) == ((), Status.DEGRADED, True)
    assert predictor._engine._at_work.workers == []
    assert predictor.stats().n_rejected == 1


def test_a_budget_that_no_stage_fits_is_answered_late_from_the_fastest(serve):
    answer = serve().submit(1, budget_ms=0.5).result(PATIENCE_S)
    assert (answer.path, answer.in_time) == (("weak",), False)


def test_a_request_that_cannot_be_late_either_is_refused_in_words(serve, held, clock):
    predictor = serve()
    for stage in held:
        stage.hold()
    batch, outcome = in_thread(lambda: predictor.predict_batch(np.arange(200)))
    while not any(stage._entered.acquire(blocking=False) for stage in held):
        pass
    future = predictor.submit(1, budget_ms=0.5)
    if not future.done():
        watched(clock)
        clock.wait(2.0)
    with pytest.raises(OverloadError, match="a budget of 0.5 ms .* after .* requests wait.*allow more time"):
        future.result(PATIENCE_S)
    for stage in held:
        stage.let_go()
    batch.join(PATIENCE_S)
    assert len(outcome[0]) == 200
    assert predictor.stats().n_rejected + predictor.stats().n_expired == 1


def test_the_queue_is_bounded(serve, held):
    predictor = serve(max_waiting=2)
    first = busy(predictor, *held)
    futures = [predictor.submit(row) for row in range(3)]
    assert isinstance(futures[2].exception(PATIENCE_S), Rejected)
    for stage in held:
        stage.let_go()
    assert all(future.result(PATIENCE_S) for future in (first, *futures[:2]))


@pytest.mark.parametrize("infeasible", ["fastest", "prior"])
def test_who_waits_too_long_expires_without_any_event_but_time(serve, held, clock, infeasible):
    predictor = serve()
    first = busy(predictor, *held)
    future = predictor.submit(1, budget_ms=60.0, infeasible=infeasible)
    while not clock._waiting:
        pass
    clock.wait(59.5)
    if infeasible == "prior":
        answer = future.result(PATIENCE_S)
        assert (answer.path, answer.status) == ((), Status.DEGRADED)
    else:
        assert isinstance(future.exception(PATIENCE_S), Expired)
    assert not first.done()
    stats = predictor.stats()
    assert (stats.n_expired, stats.n_requests) == ((1, 0) if infeasible == "fastest" else (0, 1))


# Faults.


def test_a_stage_that_fails_is_left_out_and_the_answer_says_so(serve, stages):
    first_stage = alone(serve, stages, 1).path[0]
    broken = [FailingStage(stage) if stage.name == first_stage else stage for stage in stages]
    answer = serve(stages=broken).submit(1).result(PATIENCE_S)
    assert answer.status is Status.DEGRADED
    assert first_stage not in answer.path
    assert len(answer.path) == 1


def test_when_every_stage_fails_the_request_has_an_error_with_its_cause(serve, stages):
    predictor = serve(stages=[FailingStage(stage) for stage in stages])
    error = predictor.submit(1).exception(PATIENCE_S)
    assert isinstance(error, StageError)
    assert isinstance(error.__cause__.__cause__, RuntimeError)
    assert predictor.stats().n_failed == 1


@pytest.mark.parametrize("error", [ValueError("not this label"), SystemExit(3), StopIteration()])
def test_an_error_of_postprocessing_belongs_to_its_request_alone(serve, held, error):
    def postprocess(label):
        if postprocess.n_calls == 0:
            postprocess.n_calls += 1
            raise error
        return label

    postprocess.n_calls = 0
    predictor = serve(postprocess=postprocess)
    first = busy(predictor, *held)
    others = [predictor.submit(row) for row in range(3)]
    for stage in held:
        stage.let_go()
    outcomes = [future.exception(PATIENCE_S) for future in (first, *others)]
    assert sum(outcome is not None for outcome in outcomes) == 1
    assert predictor.submit(1).result(PATIENCE_S)


# Strict.


def test_a_strict_request_always_goes_through_a_lane(serve, held):
    predictor = serve()
    predictor.predict(1, strict=True)
    serve(strict=True).predict(1)
    assert {name for stage in held for name in stage.threads_seen} == {"cascade-lane-0"}


def row_of_two_stages(serve, stages):
    """A row for which both stages run within 100 ms, and the places of the first and the second one."""
    predictor = serve(stages=stages)
    answers = (predictor.predict(row, budget_ms=100.0) for row in range(400))
    row, answer = next((row, answer) for row, answer in enumerate(answers) if len(answer.path) == 2)
    first = [stage.name for stage in stages].index(answer.path[0])
    return row, first, 1 - first


def watched(clock):
    """Return once the timer waits."""
    while not clock._waiting:
        pass


def test_a_strict_request_is_answered_by_its_deadline_from_the_evidence_so_far(serve, held, stages, clock):
    row, first, second = row_of_two_stages(serve, stages)
    predictor = serve()
    held[second].hold()
    future = predictor.submit(row, budget_ms=100.0, strict=True)
    deadline_ms = future.request.request.deadline_ms
    held[second].wait_for_run()
    watched(clock)
    clock.wait(deadline_ms - 1.0 - clock.now_ms())
    assert not future.done()
    clock.wait(0.6)
    answer = future.result(PATIENCE_S)
    assert (answer.path, answer.status, answer.in_time) == ((held[first].name,), Status.DEGRADED, True)
    # What the stage says now is dropped.
    held[second].let_go()
    assert predictor.submit(1).result(PATIENCE_S)
    assert future.result(0) is answer
    stats = predictor.stats()
    assert (stats.n_requests, stats.n_strict, stats.strict_miss_rate) == (2, 1, 0.0)


@pytest.mark.parametrize("infeasible", ["fastest", "prior"])
def test_a_strict_request_without_evidence_expires_or_gets_the_prior(serve, held, clock, infeasible):
    predictor = serve()
    for stage in held:
        stage.hold()
    future = predictor.submit(1, budget_ms=50.0, strict=True, infeasible=infeasible)
    watched(clock)
    clock.wait(49.6)
    if infeasible == "prior":
        answer = future.result(PATIENCE_S)
        assert (answer.path, answer.in_time) == ((), True)
    else:
        assert isinstance(future.exception(PATIENCE_S), Expired)


def test_late_strict_answers_are_counted_and_widen_the_guard(serve, held, stages, clock):
    row, _, second = row_of_two_stages(serve, stages)
    predictor = serve(strict=True)
    guard_ms = predictor._server.guard.guard_ms
    held[second].hold()
    future = predictor.submit(row, budget_ms=100.0)
    held[second].wait_for_run()
    watched(clock)
    # Nobody was woken before it was too late.
    clock.wait(105.0)
    assert not future.result(PATIENCE_S).in_time
    assert predictor.stats().strict_miss_rate == 1.0
    assert predictor._server.guard.guard_ms > guard_ms
