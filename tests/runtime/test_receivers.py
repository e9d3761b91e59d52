import asyncio
import gc
from concurrent.futures import CancelledError, wait
from threading import Thread
from types import SimpleNamespace
from weakref import ref

import pytest

from cascade.errors import Rejected
from cascade.runtime.receivers import LaneFuture, LoopReceiver, Sleeper, deliver

PATIENCE_S = 30.0


class Owner:
    """Answers with what it was given; raises it if it is an error."""

    def __init__(self, answer):
        self.answer = answer

    def settle(self, pending):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Book:
    """Knows which requests are in progress."""

    def __init__(self, knows=True):
        self.knows, self.cancelled = knows, []

    def cancel(self, pending):
        self.cancelled.append(pending)
        return self.knows


def over(receiver, answer):
    return SimpleNamespace(owner=Owner(answer), receiver=receiver)


def future_of(book, answer="answer"):
    future = LaneFuture(book)
    future.request = over(future, answer)
    return future, future.request


def test_a_thread_sleeps_until_its_request_is_over():
    sleeper, woke = Sleeper(), []
    thread = Thread(target=lambda: (sleeper.sleep(), woke.append(True)))
    thread.start()
    assert woke == []
    deliver([over(sleeper, None)])
    thread.join(PATIENCE_S)
    assert woke == [True]


def test_a_future_gets_the_answer_and_lets_go_of_its_input():
    future, pending = future_of(Book())
    deliver([pending])
    assert future.result(0) == "answer"
    assert future.request is None


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_future_gets_the_error_whatever_it_is_and_the_next_one_its_answer(error):
    (first, broken), (second, fine) = future_of(Book(), error), future_of(Book())
    deliver([broken, fine])
    assert first.exception(0) is error
    assert second.result(0) == "answer"


def test_a_refusal_goes_with_its_future_without_waiting_for_the_garbage_collector():
    future, pending = future_of(Book(), Rejected("too many wait"))
    gc.disable()
    try:
        deliver([pending])
        assert isinstance(future.exception(0), Rejected)
        gone = ref(future)
        del future, pending
        assert gone() is None
    finally:
        gc.enable()


def test_cancelling_drops_the_request_and_wakes_those_who_wait_for_several():
    book = Book()
    future, pending = future_of(book)
    assert future.cancel()
    assert future.cancelled()
    assert book.cancelled == [pending]
    assert wait([future], PATIENCE_S).done == {future}
    with pytest.raises(CancelledError):
        future.result(0)
    assert future.cancel()


def test_what_has_its_outcome_cannot_be_cancelled():
    future, pending = future_of(Book(knows=False))
    assert not future.cancel()
    deliver([pending])
    assert future.result(0) == "answer"
    assert not future.cancel()


def test_a_loop_is_called_once_for_all_its_coroutines():
    async def ask():
        loop, calls = asyncio.get_running_loop(), []
        original = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args: (calls.append(args), original(*args))[1]
        futures = [loop.create_future() for _ in range(4)]
        futures[3].cancel()
        answers = ["a", "b", ValueError("c"), "d"]
        pendings = [over(LoopReceiver(loop, future), answer) for future, answer in zip(futures, answers, strict=True)]
        await asyncio.to_thread(deliver, pendings)
        return len(calls), await asyncio.gather(*futures[:3], return_exceptions=True)

    n_calls, answers = asyncio.run(ask())
    # One for the outcomes; the other is that of the thread that delivered.
    assert n_calls == 2
    assert answers[:2] == ["a", "b"]
    assert isinstance(answers[2], ValueError)


def test_an_error_that_no_future_takes_becomes_another():
    async def ask():
        future = asyncio.get_running_loop().create_future()
        deliver([over(LoopReceiver(asyncio.get_running_loop(), future), StopIteration(3))])
        return await future

    with pytest.raises(RuntimeError, match=r"postprocess raised StopIteration\(3\)"):
        asyncio.run(ask())


def test_nobody_is_told_on_a_loop_that_is_closed():
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    loop.close()
    deliver([over(LoopReceiver(loop, future), "late")])
    assert not future.done()
