"""The engine under a scheduler that says what a test wants it to say."""

from math import inf
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from cascade.core.records import Status
from cascade.errors import PredictorClosed, StageError, Unavailable
from cascade.runtime import starting
from cascade.scheduling.messages import Answer, Arrived, Borrowed, Cancelled, Faulted, Finished, Refuse, Returned, Run
from tests.runtime.callers import in_thread

PATIENCE_S = 30.0


class Simple:
    """First come, first served: one stage for as many as wait, then the answer; notes what it is told."""

    def __init__(self, policy, **settings):
        self.stage, self.max_batch, self.error = 0, settings["max_batch"], None
        self.idle, self.queue, self.running, self.answers, self.heard = {*range(settings["n_lanes"])}, [], {}, [], []
        self.slowdown = SimpleNamespace(note=lambda *measured: None, overall=1.0, factor=lambda lane, stage: 1.0)
        self.load = SimpleNamespace(price=0.0)
        self.wakeup_ms = inf

    @property
    def n_waiting(self):
        return len(self.queue)

    def follow(self, policy):
        self.heard.append(policy)

    def handle(self, event, now_ms):
        self.heard.append(event)
        match event:
            case Arrived():
                self.queue.append(event.request)
            case Cancelled():
                self.queue = [request for request in self.queue if request != event.request]
            case Finished() | Faulted():
                self.idle.add(event.lane)
                failed = isinstance(event, Faulted)
                for request in self.running.pop(event.lane):
                    self.answers.append(Refuse(request, "failed", "") if failed else Answer(request, 1, False))
            case Borrowed():
                self.idle.remove(event.lane)
            case Returned():
                self.idle.add(event.lane)

    def poll(self, now_ms):
        if self.error is not None:
            raise self.error
        commands, self.answers = self.answers, []
        while self.queue and self.idle:
            lane, batch = self.idle.pop(), self.queue[: self.max_batch]
            del self.queue[: self.max_batch]
            self.running[lane] = batch
            commands.append(Run(lane, self.stage, tuple(batch), 0.0, "nobody else"))
        return commands

    def next_wakeup_ms(self):
        return self.wakeup_ms

    def decisions(self):
        return ()


@pytest.fixture
def simple(serve, held, monkeypatch):
    """A predictor under such a scheduler, and the scheduler."""

    def simple(**keywords):
        monkeypatch.setattr(starting, "Scheduler", Simple)
        predictor = serve(**keywords)
        # Everything that queues is to be seen by the scheduler.
        predictor._engine.is_direct = False
        return predictor, predictor._engine._at_work.scheduler

    return simple


@pytest.fixture
def lone(simple):
    """The same, where idle lanes answer without asking the scheduler, and the lane's thread has started."""
    predictor, scheduler = simple()
    predictor.submit(0).result(PATIENCE_S)
    predictor._engine.is_direct = True
    scheduler.heard.clear()
    return predictor, scheduler


def kinds(scheduler):
    return [type(event).__name__ for event in scheduler.heard]


# Lanes that others have.


def test_the_scheduler_hears_of_a_direct_call_only_if_somebody_comes_meanwhile(simple, held):
    predictor, scheduler = simple()
    predictor.predict(1)
    assert kinds(scheduler) == []
    for stage in held:
        stage.hold()
    caller, direct = in_thread(lambda: predictor.predict(2))
    while not any(stage._entered.acquire(blocking=False) for stage in held):
        pass
    future = predictor.submit(3)
    assert kinds(scheduler) == ["Arrived", "Borrowed"]
    for stage in held:
        stage.let_go()
    caller.join(PATIENCE_S)
    assert future.result(PATIENCE_S)
    assert kinds(scheduler) == ["Arrived", "Borrowed", "Returned", "Finished"]
    assert direct[0].status is Status.ANSWERED


def test_a_claimed_lane_is_not_taken_by_the_next_direct_caller(simple, held):
    predictor, _ = simple()
    lane = predictor._engine.borrow()
    future = predictor.submit(1)
    assert lane.is_claimed
    lane.release()
    # The holder has released it but not called yet: whoever comes now queues behind the one that waits.
    answer = predictor.predict(2)
    assert future.done()
    assert answer.queue_wait_ms >= 0.0
    predictor._engine.give_back(lane) if lane.take(False) else None
    assert {name for stage in held for name in stage.threads_seen} == {"cascade-lane-0"}


def test_borrowers_and_batches_take_turns(simple, held):
    predictor, _ = simple(max_batch=1)
    engine, order, gates = predictor._engine, [], [Event(), Event()]
    lane = engine.borrow()

    def borrow(i):
        with engine.lane(1.0):
            order.append(f"borrower {i}")
            assert gates[i].wait(PATIENCE_S)

    borrowers = []
    for i in range(2):
        borrowers.append(in_thread(lambda i=i: borrow(i)))
        while len(engine._at_work.lending.borrowers) <= i:
            pass
    futures = [predictor.submit(row) for row in range(2)]
    for i, future in enumerate(futures):
        future.add_done_callback(lambda _, i=i: order.append(f"request {i}"))
    engine.give_back(lane)
    futures[0].result(PATIENCE_S)
    gates[0].set()
    futures[1].result(PATIENCE_S)
    gates[1].set()
    for thread, outcome in borrowers:
        thread.join(PATIENCE_S)
        assert outcome == [None]
    # The lane was lent before, so that a request comes first.
    assert order == ["request 0", "borrower 0", "request 1", "borrower 1"]


def test_a_borrower_waits_without_any_thread_of_the_engine(simple):
    predictor, _ = simple()
    engine = predictor._engine
    lane = engine.borrow()
    thread, outcome = in_thread(lambda: predictor.predict_batch(np.arange(3)))
    while not engine._at_work.lending.borrowers:
        pass
    engine.give_back(lane)
    thread.join(PATIENCE_S)
    assert len(outcome[0]) == 3
    assert engine._at_work.workers == []


def test_a_lane_that_cannot_be_prepared_is_given_back(simple, held, monkeypatch):
    predictor, _ = simple()
    engine, lane = predictor._engine, predictor._engine.lanes[0]
    monkeypatch.setattr(lane, "prepare", lambda: (_ for _ in ()).throw(RuntimeError("no threads")))
    with pytest.raises(RuntimeError, match="no threads"):
        engine.borrow()
    assert lane.take(False)
    lane.release()


def test_several_lanes_run_batches_at_once(simple, held):
    predictor, _ = simple(lanes=2, max_batch=1)
    held[0].hold()
    futures = [predictor.submit(row) for row in range(3)]
    held[0].wait_for_run()
    held[0].wait_for_run()
    assert sorted(held[0].threads_seen) == ["cascade-lane-0", "cascade-lane-1"]
    held[0].let_go()
    assert all(future.result(PATIENCE_S) for future in futures)


# Idle lanes that answer without asking the scheduler.


def test_an_idle_lane_answers_alone_what_a_caller_would_be_told(lone, held):
    predictor, scheduler = lone
    expected, answer = predictor.predict(5), predictor.submit(5).result(PATIENCE_S)
    assert (answer.label, answer.path, answer.confidence) == (expected.label, expected.path, expected.confidence)
    assert kinds(scheduler) == []
    assert held[0].threads_seen[-1] == "cascade-lane-0"


def test_under_load_and_for_strict_deadlines_the_scheduler_is_asked(lone):
    predictor, scheduler = lone
    predictor.submit(1, budget_ms=50.0, strict=True).result(PATIENCE_S)
    scheduler.load.price = 0.1
    predictor.submit(1).result(PATIENCE_S)
    assert kinds(scheduler) == ["Arrived", "Finished"] * 2


def test_who_comes_while_a_lane_answers_alone_queues_and_is_served_after_it(lone, held):
    predictor, scheduler = lone
    held[0].hold()
    first = predictor.submit(1)
    held[0].wait_for_run()
    second = predictor.submit(2)
    assert kinds(scheduler) == ["Arrived", "Borrowed"]
    held[0].let_go()
    assert first.result(PATIENCE_S)
    assert second.result(PATIENCE_S)
    assert kinds(scheduler) == ["Arrived", "Borrowed", "Returned", "Finished"]


def test_what_is_answered_alone_cannot_be_cancelled_any_more(lone, held):
    predictor, _ = lone
    held[0].hold()
    future = predictor.submit(1)
    held[0].wait_for_run()
    assert not future.cancel()
    held[0].let_go()
    assert future.result(PATIENCE_S)
    assert predictor.stats().n_cancelled == 0


@pytest.mark.parametrize("drain_ms", [None, 0.0])
def test_closing_waits_for_what_is_answered_alone(lone, held, drain_ms):
    predictor, _ = lone
    held[0].hold()
    future = predictor.submit(1)
    held[0].wait_for_run()
    closing, _ = in_thread(lambda: predictor.close(drain_ms))
    while predictor.ready:
        pass
    held[0].let_go()
    closing.join(PATIENCE_S)
    assert future.result(0)


def test_an_error_of_what_is_answered_alone_is_its_own_and_the_lane_is_free_again(lone, monkeypatch):
    predictor, _ = lone
    lane = predictor._engine.lanes[0]
    monkeypatch.setattr(lane, "runs", [_raise, _raise])
    assert isinstance(predictor.submit(1).exception(PATIENCE_S), StageError)
    assert predictor.stats().n_failed == 1
    assert lane.take(False)
    lane.release()


def _raise(batch, carry=None):
    raise RuntimeError("broken")


# Outcomes.


def test_an_outcome_is_given_once_even_if_the_scheduler_says_it_twice(simple):
    predictor, scheduler = simple()
    future = predictor.submit(1)
    answer, request = future.result(PATIENCE_S), 0
    scheduler.answers += [Answer(request, 1, False), Refuse(request, "shed", "")]
    predictor._engine.tick()
    assert future.result(0) is answer
    assert predictor.stats().n_requests == 1


def test_a_stage_that_fails_is_reported_once_for_its_batch(simple, held):
    predictor, scheduler = simple()
    monkey = RuntimeError("broken")

    def broken(batch, carry=None):
        raise monkey

    predictor._engine.lanes[0].runs[0] = broken
    error = predictor.submit(1).exception(PATIENCE_S)
    assert isinstance(error, StageError)
    assert error.__cause__.__cause__ is monkey
    assert kinds(scheduler) == ["Arrived", "Faulted"]


@pytest.mark.parametrize("error", [SystemExit(1), MemoryError(), KeyboardInterrupt()])
def test_whatever_a_stage_raises_the_lane_goes_on(simple, error):
    predictor, _ = simple()
    lane, calls = predictor._engine.lanes[0], []
    run = lane.runs[0]

    def once(batch, carry=None):
        calls.append(batch)
        if len(calls) == 1:
            raise error
        return run(batch, carry)

    lane.runs[0] = once
    assert isinstance(predictor.submit(1).exception(PATIENCE_S), StageError)
    assert predictor.submit(2).result(PATIENCE_S)


def test_an_answer_from_nothing_that_could_be_used_is_an_error(simple):
    predictor, _ = simple()

    def poisoned(batch, carry=None):
        scores = np.full((len(batch), 3), 1.0 / 3.0)
        scores[np.asarray(batch) == 13] = np.nan
        return scores, None

    predictor._engine.lanes[0].runs[0] = poisoned
    lane = predictor._engine.borrow()
    futures = [predictor.submit(row) for row in (12.0, 13.0)]
    predictor._engine.give_back(lane)
    assert futures[0].result(PATIENCE_S)
    with pytest.raises(StageError, match="nothing that the stages said could be used"):
        futures[1].result(PATIENCE_S)


def test_a_scheduler_that_breaks_ends_every_request_and_takes_no_more(simple, held):
    predictor, scheduler = simple()
    held[0].hold()
    futures = [predictor.submit(row) for row in range(3)]
    held[0].wait_for_run()
    scheduler.error = ZeroDivisionError("a bug")
    held[0].let_go()
    for future in futures:
        assert isinstance(future.exception(PATIENCE_S), Unavailable)
    with pytest.raises(Unavailable, match="ZeroDivisionError: a bug") as caught:
        predictor.submit(1)
    assert caught.value.__cause__ is scheduler.error
    with pytest.raises(Unavailable):
        predictor.predict(1)
    assert not predictor.ready


def test_time_alone_moves_the_scheduler_where_it_asks_for_that(simple, held, clock):
    predictor, scheduler = simple()
    held[0].hold()
    scheduler.wakeup_ms = 7.0
    future = predictor.submit(1)
    held[0].wait_for_run()
    while not clock._waiting:
        pass
    scheduler.wakeup_ms = inf
    scheduler.answers.append(Refuse(future.request.request.id, "expired", "time"))
    clock.wait(7.0)
    assert isinstance(future.exception(PATIENCE_S), TimeoutError)


# The end.


def test_closing_finishes_what_waits_and_refuses_what_comes(simple, held):
    predictor, _ = simple(max_batch=1)
    held[0].hold()
    futures = [predictor.submit(row) for row in range(5)]
    held[0].wait_for_run()
    closing, _ = in_thread(predictor.close)
    while predictor.ready:
        pass
    with pytest.raises(PredictorClosed):
        predictor.submit(9)
    with pytest.raises(PredictorClosed):
        predictor.predict(9)
    with pytest.raises(PredictorClosed):
        predictor.predict_batch(np.arange(2))
    held[0].let_go()
    closing.join(PATIENCE_S)
    assert all(future.result(0) for future in futures)
    assert not any(worker._thread.is_alive() for worker in predictor._engine._at_work.workers)


def test_closing_without_time_refuses_what_waits_and_ends_after_the_running_stage(simple, held):
    predictor, _ = simple(max_batch=1)
    held[0].hold()
    futures = [predictor.submit(row) for row in range(3)]
    held[0].wait_for_run()
    closing, _ = in_thread(lambda: predictor.close(drain_ms=0.0))
    for future in futures:
        assert isinstance(future.exception(PATIENCE_S), PredictorClosed)
    assert closing.is_alive()
    held[0].let_go()
    closing.join(PATIENCE_S)
    assert predictor.stats().n_failed == 3


def test_what_has_evidence_is_answered_from_it_when_the_time_for_closing_is_over(simple, held, clock):
    predictor, scheduler = simple()
    future = predictor.submit(1)
    future.result(PATIENCE_S)
    # A second stage is asked for where an answer could have been given.
    scheduler.handle = lambda event, now_ms, handle=scheduler.handle: (
        scheduler.heard.append(event) if isinstance(event, Finished) else handle(event, now_ms)
    )
    asked = predictor.submit(2)
    while not scheduler.heard or not isinstance(scheduler.heard[-1], Finished):
        pass
    predictor.close(drain_ms=0.0)
    answer = asked.result(PATIENCE_S)
    assert (answer.path, answer.status) == (("weak",), Status.DEGRADED)


def test_the_time_for_closing_is_that_of_the_clock(simple, held, clock):
    predictor, _ = simple()
    held[0].hold()
    future = predictor.submit(1)
    held[0].wait_for_run()
    closing, _ = in_thread(lambda: predictor.close(drain_ms=50.0))
    while not clock._waiting:
        pass
    clock.wait(49.0)
    assert not future.done()
    clock.wait(1.0)
    assert isinstance(future.exception(PATIENCE_S), PredictorClosed)
    held[0].let_go()
    closing.join(PATIENCE_S)


def test_closing_waits_for_direct_calls_and_turns_away_those_who_wait_for_a_lane(simple, held):
    predictor, _ = simple()
    engine = predictor._engine
    lane = engine.borrow()
    waiting, outcome = in_thread(lambda: predictor.predict_batch(np.arange(3)))
    while not engine._at_work.lending.borrowers:
        pass
    predictor.close(drain_ms=0.0)
    waiting.join(PATIENCE_S)
    assert isinstance(outcome[0], PredictorClosed)
    engine.give_back(lane)

    other, _ = simple()
    lane = other._engine.borrow()
    closing, _ = in_thread(other.close)
    while other.ready:
        pass
    assert closing.is_alive()
    other._engine.give_back(lane)
    closing.join(PATIENCE_S)
    assert not closing.is_alive()


def test_closing_twice_and_from_two_threads_is_closing_once(simple):
    predictor, _ = simple()
    predictor.submit(1).result(PATIENCE_S)
    closings = [in_thread(predictor.close) for _ in range(3)]
    for thread, outcome in closings:
        thread.join(PATIENCE_S)
        assert outcome == [None]
    predictor.close()


def test_a_callback_may_close_the_predictor(simple):
    predictor, _ = simple()
    closed = Event()
    future = predictor.submit(1)
    future.add_done_callback(lambda _: (predictor.close(), closed.set()))
    assert closed.wait(PATIENCE_S)
    assert not predictor.ready


def test_a_callback_may_submit(simple):
    predictor, _ = simple()
    chained = []
    future = predictor.submit(1)
    done = Event()
    future.add_done_callback(lambda _: (chained.append(predictor.submit(2)), done.set()))
    assert done.wait(PATIENCE_S)
    assert chained[0].result(PATIENCE_S)


def test_thread_counts_are_limited_on_the_lane_and_given_back_when_it_ends(simple, held):
    predictor, _ = simple(threads=3)
    counts = predictor._engine._resources.threads
    predictor.submit(1).result(PATIENCE_S)
    worker = predictor._engine._at_work.workers[0]._thread
    assert worker.ident in counts.known
    predictor.close()
    assert counts.known == {}
