"""Requests that wait for another one on nobody's thread: woken by its end, their own patience, or the end of everything."""

from threading import Event
from threading import enumerate as threads
from types import SimpleNamespace

import pytest

from cascade.caching.flight import Flights
from cascade.caching.keys import SEED_BYTES, KeyMaker, scope_of
from cascade.clock import VirtualClock
from cascade.runtime.errands import INFINITE, Errand, WaitingRoom

PATIENCE_S = 30.0
MAKER = KeyMaker(bytes(SEED_BYTES), 1 << 20, "copy", None)


class Told:
    """Who is told of errands, and notes them."""

    def __init__(self):
        self.errands, self._any = [], Event()

    def __call__(self, errand, turn):
        self.errands.append(errand)
        self._any.set()

    def wait(self, n=1):
        while len(self.errands) < n:
            assert self._any.wait(PATIENCE_S)
        return self.errands


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def room(clock, told):
    room = WaitingRoom(clock, told)
    yield room
    room.close()


@pytest.fixture
def flight():
    """A lead, and a function that joins it."""
    flights, key = Flights(MAKER.is_unchanged), MAKER.key("x", scope_of("", ""), (0, 0))
    lead = flights.enter(key, runs_here=False)
    yield SimpleNamespace(lead=lead, flights=flights, join=lambda: flights.enter(key, runs_here=False))
    lead.fail()


def errand():
    return Errand(None, None, None, "normal", is_strict=False, receiver=SimpleNamespace(request=None))


def is_at_work():
    return "cascade-joins" in {thread.name for thread in threads()}


def test_the_end_of_the_leader_wakes_who_waits_and_the_thread_ends(room, flight, told):
    waiting, late = [errand() for _ in range(5)], flight.join()
    assert all(room.enter(each, flight.join(), INFINITE) for each in waiting)
    assert waiting[0].receiver.request is waiting[0]
    assert is_at_work()
    flight.lead.land({})
    assert set(told.wait(5)) == set(waiting)
    while is_at_work():
        pass
    assert room.enter(errand(), late, INFINITE)
    assert len(told.wait(6)) == 6


def test_the_one_with_the_least_patience_leaves_first(room, flight, told, clock):
    slow, quick, endless = errand(), errand(), errand()
    for each, until_ms in ((slow, 20.0), (quick, 10.0), (endless, INFINITE)):
        room.enter(each, flight.join(), until_ms)
    while [until_ms for until_ms, _ in [*clock._waiting.values()]] != [10.0]:
        pass
    clock.wait(10.0)
    assert told.wait() == [quick]
    while [until_ms for until_ms, _ in [*clock._waiting.values()]] != [20.0]:
        pass
    clock.wait(10.0)
    assert told.wait(2) == [quick, slow]
    assert len(flight.lead._flight.waiting) == 1


def test_who_leaves_is_not_told_and_leaves_once(room, flight, told):
    leaving, staying = errand(), errand()
    for each in (leaving, staying):
        room.enter(each, flight.join(), INFINITE)
    assert leaving.stop_waiting()
    assert not leaving.stop_waiting()
    flight.lead.land({})
    assert told.wait() == [staying]
    assert not staying.stop_waiting()
    assert not errand().stop_waiting()


def test_the_end_of_the_room_wakes_everybody_and_nobody_gets_in(room, flight, told):
    waiting = [errand(), errand()]
    for each in waiting:
        room.enter(each, flight.join(), INFINITE)
    room.close()
    assert set(told.errands) == set(waiting)
    assert not is_at_work()
    late = errand()
    assert not room.enter(late, flight.join(), INFINITE)
    assert late.receiver.request is None


def test_a_thread_at_work_does_not_let_its_errand_wait(room, flight):
    inner = errand()
    with flight.flights.at_work():
        assert not room.enter(inner, flight.join(), INFINITE)
    assert (inner.wait, inner.receiver.request) == (None, None)


def test_in_a_child_process_nobody_waits(room, flight, told):
    lost = errand()
    room.enter(lost, flight.join(), INFINITE)
    room.close()
    room.renew()
    told.errands.clear()
    found = errand()
    assert room.enter(found, flight.join(), INFINITE)
    flight.lead.land({})
    assert told.wait() == [found]
