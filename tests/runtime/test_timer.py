from threading import Event

import pytest

from cascade.clock import MonotonicClock
from cascade.runtime.timer import Timer

PATIENCE_S = 30.0


@pytest.fixture
def timers():
    made = []

    def make(clock, call):
        made.append(Timer(clock, call))
        return made[-1]

    yield make
    for timer in made:
        timer.stop()
        timer.join(PATIENCE_S)
        assert timer._thread is None or not timer._thread.is_alive()


def wait_until_it_waits(clock, n=1):
    while len(clock._waiting) < n:
        pass


def waits_until(clock):
    return [until_ms for until_ms, _ in list(clock._waiting.values())]


def test_no_thread_starts_before_an_instant_is_set(clock, timers):
    timer = timers(clock, lambda: None)
    timer.set(float("inf"))
    assert timer._thread is None
    assert timer.late_ms() == 0.0


def test_it_calls_at_the_instant_that_was_set_last(clock, timers):
    called, instants = Event(), []
    timer = timers(clock, lambda: (instants.append(clock.now_ms()), called.set()))
    timer.set(9.0)
    wait_until_it_waits(clock)
    timer.set(5.0)
    while waits_until(clock) != [5.0]:
        pass
    timer.set(7.0)
    clock.wait(5.0)
    while waits_until(clock) != [7.0]:
        pass
    assert not called.is_set()
    clock.wait(2.0)
    assert called.wait(PATIENCE_S)
    assert instants == [7.0]


def test_it_does_not_call_once_nothing_is_set_any_more(clock, timers):
    timer = timers(clock, lambda: pytest.fail("called"))
    timer.set(3.0)
    wait_until_it_waits(clock)
    timer.set(float("inf"))
    clock.wait(4.0)
    while waits_until(clock) != [float("inf")]:
        pass
    assert timer.late_ms() == 0.0


def test_whoever_is_called_may_set_the_next_instant(clock, timers):
    instants, done = [], Event()

    def call():
        instants.append(clock.now_ms())
        if len(instants) == 3:
            done.set()
        else:
            timer.set(clock.now_ms() + 2.0)

    timer = timers(clock, call)
    timer.set(2.0)
    for n in range(3):
        while len(instants) == n and not clock._waiting:
            pass
        wait_until_it_waits(clock)
        clock.wait(2.0)
        while len(instants) == n:
            pass
    assert done.wait(PATIENCE_S)
    assert instants == [2.0, 4.0, 6.0]


def test_lateness_is_measured_from_the_instant_that_was_set(clock, timers):
    called = Event()
    timer = timers(clock, called.set)
    timer.set(2.0)
    wait_until_it_waits(clock)
    clock.wait(3.5)
    assert called.wait(PATIENCE_S)
    assert timer.late_ms() == 1.5


def test_it_never_calls_early_on_the_machines_clock(timers):
    clock, called, instants = MonotonicClock(), Event(), []

    def call():
        instants.append(clock.now_ms())
        called.set()

    at_ms = clock.now_ms() + 3.0
    timers(clock, call).set(at_ms)
    assert called.wait(PATIENCE_S)
    assert instants[0] >= at_ms


def test_stopping_ends_a_wait(clock, timers):
    timer = timers(clock, lambda: None)
    timer.set(9.0)
    wait_until_it_waits(clock)
