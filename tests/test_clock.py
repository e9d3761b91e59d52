"""Clocks: one that ticks by itself, one that is moved."""

from threading import Lock, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.clock import Clock, MonotonicClock, VirtualClock
from cascade.errors import ConfigurationError


@pytest.mark.parametrize("clock", [MonotonicClock(), VirtualClock()], ids=lambda clock: type(clock).__name__)
def test_a_clock_never_runs_backwards_and_waits_at_least_as_long_as_asked(clock: Clock):
    instants_ms = [clock.now_ms()]
    for duration_ms in (0.0, 0.5):
        clock.wait(duration_ms)
        instants_ms.append(clock.now_ms())
        # two readings of a binary float clock differ from the duration by rounding
        assert instants_ms[-1] - instants_ms[-2] >= duration_ms - 1e-6


def test_the_monotonic_clock_does_not_wait_for_the_past():
    MonotonicClock().wait(-5.0)


@given(st.floats(-1e6, 1e6), st.lists(st.integers(0, 1000), max_size=10))
def test_a_virtual_clock_stands_where_it_was_moved_to(start_ms, durations_ms):
    clock = VirtualClock(start_ms)
    expected_ms = start_ms
    for duration_ms in durations_ms:
        clock.wait(duration_ms)
        expected_ms += duration_ms
    assert clock.now_ms() == expected_ms == clock.now_ms()


def test_a_virtual_clock_refuses_to_run_backwards_and_stands_still():
    clock = VirtualClock(3.0)
    with pytest.raises(ConfigurationError, match=r"expected duration_ms >= 0, got -1\.0"):
        clock.wait(-1.0)
    assert clock.now_ms() == 3.0


@pytest.mark.parametrize("clock", [MonotonicClock(), VirtualClock()], ids=lambda clock: type(clock).__name__)
def test_a_wait_ends_when_the_gate_opens_whatever_the_time(clock: Clock):
    gate, ended = Lock(), []
    gate.acquire()
    waiting = Thread(target=lambda: ended.append(clock.wait_for(gate, float("inf"))))
    waiting.start()
    gate.release()
    waiting.join()
    assert ended == [True]
    assert gate.locked()


@pytest.mark.parametrize("clock", [MonotonicClock(), VirtualClock()], ids=lambda clock: type(clock).__name__)
def test_a_wait_until_the_past_takes_an_open_gate_and_leaves_a_closed_one(clock: Clock):
    gate = Lock()
    assert clock.wait_for(gate, clock.now_ms() - 1.0)
    assert not clock.wait_for(gate, clock.now_ms() - 1.0)


def test_a_wait_on_the_monotonic_clock_lasts_until_the_instant_at_least():
    clock, gate = MonotonicClock(), Lock()
    gate.acquire()
    until_ms = clock.now_ms() + 2.0
    assert not clock.wait_for(gate, until_ms)
    assert clock.now_ms() >= until_ms


def test_moving_a_virtual_clock_ends_the_waits_whose_time_has_come():
    clock, gates, ended = VirtualClock(), [Lock(), Lock()], []
    for gate, until_ms in zip(gates, (2.0, 5.0), strict=True):
        gate.acquire()
        Thread(
            target=lambda gate=gate, until_ms=until_ms: ended.append((until_ms, clock.wait_for(gate, until_ms)))
        ).start()
    while len(clock._waiting) < 2:
        pass
    clock.wait(3.0)
    while not ended:
        pass
    assert ended == [(2.0, False)]
    clock.wait(2.0)
    while len(ended) < 2:
        pass
    assert ended == [(2.0, False), (5.0, False)]
