"""Futures and coroutines with a cache: nobody's thread waits for what another request finds out."""

import asyncio
import os
import signal
from concurrent.futures import CancelledError
from threading import current_thread
from threading import enumerate as threads

import pytest

from cascade.caching.result_cache import ResultCache
from cascade.core.records import Status
from cascade.errors import PredictorClosed, StageError
from cascade.testing.fakes import FakeStage
from tests.runtime.callers import FailsInTheEnd, in_thread

PATIENCE_S = 30.0
ROOM = "cascade-joins"


def waits(condition):
    while not condition():
        pass


def joiners(cache):
    return sum(len(flight.waiting) for flight in [*cache.flights._in_progress.values()])


def runs(stages):
    return [sum(stage.batch_sizes) for stage in stages]


def names():
    return {thread.name for thread in threads()}


@pytest.fixture
def cache(clock):
    return ResultCache(clock=clock)


@pytest.fixture
def unsure(serve, gradual, clock):
    """A row about which the weak stage alone is not enough, where there is time."""
    stages = [FakeStage(name, gradual.probs[:, j], 1.0 + 9.0 * j, clock) for j, name in enumerate(("weak", "strong"))]
    predictor = serve(stages=stages)
    return next(row for row in range(400) if len(predictor.predict(row, budget_ms=100.0).path) == 2)


def begun(predictor, held, row, **keywords):
    """A request that is held in the middle of a stage; its future."""
    for stage in held:
        stage.hold()
    future = predictor.submit(row, **keywords)
    waits(lambda: any(stage._entered.acquire(blocking=False) for stage in held))
    return future


def let_go(held):
    for stage in held:
        stage.let_go()


def test_a_future_whose_answer_is_known_is_done_at_once_and_starts_no_thread(serve, held, cache):
    predictor = serve(cache=cache)
    known = predictor.predict(3)
    before = names()
    future = predictor.submit(3)
    assert future.done()
    assert (future.result().label, future.result().from_cache) == (known.label, True)
    assert predictor._engine._at_work.workers == []
    assert names() == before


def test_a_coroutine_whose_answer_is_known_never_leaves_its_loop(serve, held, cache):
    predictor = serve(cache=cache)
    known = predictor.predict(3)

    async def ask():
        answer = predictor.apredict(3)
        with pytest.raises(StopIteration) as done:
            answer.send(None)
        return done.value.value

    assert asyncio.run(ask()).label == known.label


def test_futures_join_a_computation_and_one_thread_waits_for_all(serve, held, cache):
    predictor = serve(cache=cache)
    first = begun(predictor, held, 3)
    others = [predictor.submit(3) for _ in range(50)]
    assert joiners(cache) == 50
    assert [thread.name for thread in threads()].count(ROOM) == 1
    let_go(held)
    answer = first.result(PATIENCE_S)
    assert {other.result(PATIENCE_S).confidence for other in others} == {answer.confidence}
    assert all(other.result().from_cache for other in others)
    assert sum(runs(held)) == len(answer.path)
    assert (cache.stats().joins, cache.stats().misses) == (50, 1)
    waits(lambda: ROOM not in names())


def test_coroutines_futures_threads_and_batches_share_one_computation(serve, held, cache):
    predictor = serve(cache=cache)
    first = begun(predictor, held, 3)

    async def ask():
        tasks = [asyncio.create_task(predictor.apredict(3)) for _ in range(20)]
        future = predictor.submit(3)
        thread, alone = in_thread(lambda: predictor.predict(3))
        other, batch = in_thread(lambda: predictor.predict_batch([3, 3]))
        while joiners(cache) < 23:
            await asyncio.sleep(0)
        let_go(held)
        answers = [*await asyncio.gather(*tasks), future.result(PATIENCE_S)]
        thread.join(PATIENCE_S)
        other.join(PATIENCE_S)
        return {answer.confidence for answer in (*answers, *alone)} | {*batch[0].confidence.tolist()}

    assert asyncio.run(ask()) == {first.result(PATIENCE_S).confidence}
    assert sum(runs(held)) == len(first.result().path)


def test_a_future_leaves_at_its_own_deadline_with_what_is_there(serve, held, clock, cache, unsure):
    predictor = serve(cache=cache)
    predictor.predict(unsure, budget_ms=2.0)
    held[1].hold()
    first = predictor.submit(unsure, budget_ms=500.0)
    held[1].wait_for_run()
    second = predictor.submit(unsure, budget_ms=100.0)
    waits(lambda: clock._waiting)
    assert not second.done()
    clock.wait(101.0)
    answer = second.result(PATIENCE_S)
    assert (answer.path, answer.status) == (("weak",), Status.DEGRADED)
    assert not first.done()
    assert joiners(cache) == 0
    let_go(held)
    assert first.result(PATIENCE_S).path == ("weak", "strong")
    assert runs(held) == [1, 1]


def test_a_strict_future_is_told_before_its_deadline(serve, held, clock, cache, unsure):
    predictor = serve(cache=cache)
    first = begun(predictor, held[1:], unsure, budget_ms=500.0)
    second = predictor.submit(unsure, budget_ms=100.0, strict=True)
    waits(lambda: len(clock._waiting) >= 1)
    clock.wait(99.6)
    answer = second.result(PATIENCE_S)
    assert (answer.path, answer.in_time) == (("weak",), True)
    assert predictor.stats().n_strict == 1
    let_go(held)
    assert first.result(PATIENCE_S)


def test_who_goes_on_after_a_leader_with_less_time_runs_only_the_rest(serve, held, cache, unsure):
    predictor = serve(cache=cache)
    first = begun(predictor, held[:1], unsure, budget_ms=5.0)
    others = [predictor.submit(unsure, budget_ms=100.0) for _ in range(5)]
    let_go(held)
    assert first.result(PATIENCE_S).path == ("weak",)
    assert {other.result(PATIENCE_S).path for other in others} == {("weak", "strong")}
    assert runs(held) == [1, 1]


def test_the_failure_of_the_leader_wakes_all_and_one_of_them_leads(serve, held, cache):
    predictor = serve(stages=[FailsInTheEnd(stage, (1,)) for stage in held], cache=cache)
    first = begun(predictor, held, 3)
    others = [predictor.submit(3) for _ in range(10)]
    let_go(held)
    assert isinstance(first.exception(PATIENCE_S), StageError)
    answers = [other.result(PATIENCE_S) for other in others]
    assert len({answer.confidence for answer in answers}) == 1
    assert sum(runs(held)) == 2 + len(answers[0].path)


def test_when_nobody_can_find_out_everybody_hears_of_it(serve, held, cache):
    predictor = serve(stages=[FailsInTheEnd(stage) for stage in held], cache=cache)
    first = begun(predictor, held, 3)
    others = [predictor.submit(3) for _ in range(5)]
    let_go(held)
    assert all(isinstance(future.exception(PATIENCE_S), StageError) for future in (first, *others))
    assert predictor.stats().n_failed == 6
    assert len(cache.flights) == 0


def test_a_future_that_waits_for_another_can_be_cancelled(serve, held, cache):
    predictor = serve(cache=cache)
    first = begun(predictor, held, 3)
    second, third = predictor.submit(3), predictor.submit(3)
    assert second.cancel()
    assert joiners(cache) == 1
    let_go(held)
    assert third.result(PATIENCE_S).confidence == first.result(PATIENCE_S).confidence
    with pytest.raises(CancelledError):
        second.result(0)
    assert predictor.stats().n_cancelled == 1
    assert not third.cancel()


def test_the_last_one_that_is_cancelled_lets_the_thread_end(serve, held, cache):
    predictor = serve(cache=cache)
    begun(predictor, held, 3)
    last = predictor.submit(3)
    waits(lambda: cache._clock._waiting)
    assert last.cancel()
    waits(lambda: ROOM not in names())


def test_a_leader_that_is_cancelled_hands_over(serve, held, cache):
    predictor = serve(cache=cache)
    busy = begun(predictor, held, 9)
    first, second = predictor.submit(3), predictor.submit(3)
    assert joiners(cache) == 1
    assert first.cancel()
    let_go(held)
    assert busy.result(PATIENCE_S)
    assert second.result(PATIENCE_S).label is not None
    assert len(cache.flights) == 0


def test_a_task_that_is_cancelled_while_it_waits_for_another_is_forgotten(serve, held, cache):
    predictor = serve(cache=cache)
    first = begun(predictor, held, 3)

    async def ask():
        task = asyncio.create_task(predictor.apredict(3))
        while not joiners(cache):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    assert joiners(cache) == 0
    let_go(held)
    assert first.result(PATIENCE_S)
    assert predictor.stats().n_cancelled == 1


def test_a_loop_that_ends_while_its_task_waits_disturbs_nobody(serve, held, cache):
    predictor = serve(cache=cache)
    first = begun(predictor, held, 3)
    loop = asyncio.new_event_loop()
    task = loop.create_task(predictor.apredict(3))
    waits(lambda: loop.run_until_complete(asyncio.sleep(0)) or joiners(cache))
    second = predictor.submit(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    let_go(held)
    assert second.result(PATIENCE_S).label == first.result(PATIENCE_S).label


def test_closing_finishes_those_who_wait_for_others_too(serve, held, cache):
    predictor = serve(cache=cache)
    first = begun(predictor, held, 3)
    others = [predictor.submit(3) for _ in range(5)]
    closing, _ = in_thread(predictor.close)
    waits(lambda: not predictor.ready)
    let_go(held)
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert {other.result(0).confidence for other in others} == {first.result(0).confidence}
    assert ROOM not in names()
    assert len(cache.flights) == 0


def test_who_would_have_to_go_on_when_it_is_closed_hears_so(serve, held, cache, unsure):
    predictor = serve(cache=cache)
    first = begun(predictor, held[:1], unsure, budget_ms=5.0)
    other = predictor.submit(unsure, budget_ms=100.0)
    closing, _ = in_thread(predictor.close)
    waits(lambda: not predictor.ready)
    let_go(held)
    closing.join(PATIENCE_S)
    assert first.result(0).path == ("weak",)
    assert isinstance(other.exception(0), PredictorClosed)
    assert predictor.stats().n_failed == 1


def test_after_closing_nothing_is_taken(serve, cache):
    predictor = serve(cache=cache)
    predictor.predict(3)
    predictor.close()
    predictor.close()

    async def ask():
        await predictor.apredict(3)

    with pytest.raises(PredictorClosed):
        predictor.submit(3)
    with pytest.raises(PredictorClosed):
        asyncio.run(ask())


def test_preprocessing_that_fails_for_who_goes_on_is_its_own_error(serve, held, cache, unsure):
    calls = []

    def preprocess(batch):
        calls.append(current_thread().name)
        if len(calls) == 2:
            raise ZeroDivisionError
        return batch

    predictor = serve(cache=cache, preprocess=preprocess)
    first = begun(predictor, held[:1], unsure, budget_ms=5.0)
    second = predictor.submit(unsure, budget_ms=100.0)
    let_go(held)
    assert first.result(PATIENCE_S)
    assert isinstance(second.exception(PATIENCE_S), ZeroDivisionError)
    assert calls[1] == ROOM
    assert len(cache.flights) == 0
    assert predictor.submit(unsure, budget_ms=100.0).result(PATIENCE_S).path == ("weak", "strong")


def test_a_future_made_by_a_stage_does_not_wait_for_the_one_that_the_stage_works_for(serve, gradual, clock, cache):
    made = []

    def asking(batch):
        if not made:
            made.append(predictor.submit(3, budget_ms=5.0))
        return gradual.probs[batch, 0]

    stages = [
        FakeStage("weak", asking, 1.0, clock, version="weak"),
        FakeStage("strong", gradual.probs[:, 1], 10.0, clock, version="strong"),
    ]
    predictor = serve(stages=stages, cache=cache)
    outer = predictor.submit(3, budget_ms=5.0).result(PATIENCE_S)
    assert made[0].result(PATIENCE_S).label == outer.label


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_waits_for_nobody_and_keeps_what_is_known(serve, held, cache):
    predictor = serve(cache=cache)
    known = predictor.predict(4)
    first = begun(predictor, held, 3)
    waiting = predictor.submit(3)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE_S))
        let_go(held)
        told = predictor.predict(4).from_cache, predictor.submit(3).result(PATIENCE_S).from_cache
        told += predictor.predict(3).from_cache, len(cache.flights), waiting.done()
        os.write(writing, repr(told).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "(True, False, True, 0, False)"
    os.waitpid(child, 0)
    let_go(held)
    assert waiting.result(PATIENCE_S).label == first.result(PATIENCE_S).label
    assert predictor.predict(4).confidence == known.confidence
