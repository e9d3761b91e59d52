"""One leads for each key, the others wait until they are woken or have to leave, and nobody waits for himself."""

import asyncio
import gc
import threading
from math import inf

import numpy as np
import pytest

from cascade.caching import keys as keys_module
from cascade.caching.flight import Flights, Join, Lead
from cascade.caching.keys import SEED_BYTES, KeyMaker, scope_of
from cascade.clock import MonotonicClock, VirtualClock

LONG_S = 30.0
MAKER = KeyMaker(bytes(SEED_BYTES), 1 << 20, "copy", None)


def key(x="x", valid_from=0):
    return MAKER.key(x, scope_of("", ""), (valid_from, valid_from))


def flights():
    return Flights(MAKER.is_unchanged)


def in_thread(function):
    """What a function returns on another thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(LONG_S)
    assert results, "the thread is stuck"
    return results[0]


def test_the_first_leads_and_the_next_join_until_it_has_landed():
    all_of = flights()
    lead, join = all_of.enter(key(), runs_here=False), all_of.enter(key(), runs_here=False)
    assert (type(lead), type(join)) == (Lead, Join)
    assert type(all_of.enter(key("y"), runs_here=False)) is Lead
    lead.land({"small": 1})
    assert join.has_landed
    assert join.said == {"small": 1}
    assert type(all_of.enter(key(), runs_here=False)) is Lead


def test_a_thread_that_waits_is_woken_by_the_landing():
    all_of = flights()
    lead = all_of.enter(key(), runs_here=False)
    said = []

    def wait():
        join = all_of.enter(key(), runs_here=True)
        said.append(join.wait(MonotonicClock(), inf) and join.said)

    threads = [threading.Thread(target=wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    while len(lead._flight.waiting) < 20:
        pass
    assert lead.has_joiners
    lead.land({"small": 1})
    for thread in threads:
        thread.join(LONG_S)
    assert said == [{"small": 1}] * 20


def test_one_that_waits_leaves_at_its_own_deadline_with_what_is_there():
    all_of, clock = flights(), VirtualClock()
    lead = all_of.enter(key(), runs_here=False)
    join = all_of.enter(key(), runs_here=True)
    results = []
    thread = threading.Thread(target=lambda: results.append((join.wait(clock, 5.0), join.said)))
    thread.start()
    while not lead.has_joiners:
        pass
    lead.tell(lambda: {"small": 1})
    while thread.is_alive():
        clock.wait(5.0)
        thread.join(0.01)
    assert results == [(False, {"small": 1})]
    assert not lead.has_joiners
    lead.land({"small": 1, "big": 2})
    assert join.said == {"small": 1, "big": 2}


def test_a_deadline_in_the_past_does_not_wait():
    all_of = flights()
    lead = all_of.enter(key(), runs_here=False)
    assert not all_of.enter(key(), runs_here=False).wait(VirtualClock(10.0), 5.0)
    lead.fail()


def test_the_failure_of_the_leader_wakes_all_and_one_of_them_leads():
    all_of = flights()
    lead = all_of.enter(key(), runs_here=False)
    n_led, landed = [], []

    def ask():
        while True:
            turn = all_of.enter(key(), runs_here=True)
            if isinstance(turn, Lead):
                n_led.append(1)
                while len(turn._flight.waiting) < 9:
                    pass
                turn.land({"small": 1})
                return
            turn.wait(MonotonicClock(), inf)
            if turn.has_landed:
                landed.append(turn.said)
                return

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    while len(lead._flight.waiting) < 10:
        pass
    lead.fail()
    for thread in threads:
        thread.join(LONG_S)
    assert n_led == [1]
    assert landed == [{"small": 1}] * 9


@pytest.mark.parametrize("end", ["leave the context", "raise", "forget"])
def test_a_leader_that_does_not_land_fails(end):
    all_of = flights()
    lead = all_of.enter(key(), runs_here=True)
    join = in_thread(lambda: all_of.enter(key(), runs_here=False))
    if end == "forget":
        del lead
        gc.collect()
    else:
        try:
            with lead:
                if end == "raise":
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert join.is_over
    assert not join.has_landed
    assert not all_of.is_at_work()
    assert len(all_of) == 0


def test_a_leader_that_asks_again_on_its_own_thread_does_not_wait():
    all_of = flights()
    with all_of.enter(key(), runs_here=True) as lead:
        join = all_of.enter(key(), runs_here=True)
        assert type(join) is Join
        assert not join.wait(MonotonicClock(), inf)
        assert not join.call_back(lambda: None)
        assert in_thread(all_of.is_at_work) is False
        lead.land({})
    assert join.wait(MonotonicClock(), inf)


def test_leaders_that_ask_for_each_others_keys_do_not_wait():
    all_of, both_lead = flights(), threading.Barrier(2)

    def work(own, others):
        with all_of.enter(key(own), runs_here=True):
            both_lead.wait(LONG_S)
            join = all_of.enter(key(others), runs_here=True)
            both_lead.wait(LONG_S)
            return join.wait(MonotonicClock(), inf) or "worked alone"

    results = []
    threads = [threading.Thread(target=lambda a=a, b=b: results.append(work(a, b))) for a, b in ("xy", "yx")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
        assert not thread.is_alive()
    assert "worked alone" in results


def test_a_thread_that_runs_stages_for_others_does_not_wait():
    all_of = flights()
    lead = all_of.enter(key(), runs_here=False)

    def ask():
        join = all_of.enter(key(), runs_here=True)
        with all_of.at_work(), all_of.at_work():
            inside = join.wait(MonotonicClock(), inf)
        return inside, join.wait(VirtualClock(1.0), 0.0), all_of.is_at_work()

    assert in_thread(ask) == (False, False, False)
    lead.fail()


def test_one_who_asked_for_others_to_run_may_wait():
    all_of = flights()
    lead = all_of.enter(key(), runs_here=False)
    join = all_of.enter(key(), runs_here=False)
    threading.Timer(0.01, lead.land, [{"small": 1}]).start()
    assert join.wait(MonotonicClock(), MonotonicClock().now_ms() + 1e3 * LONG_S)


def test_coroutines_are_called_back_on_landing_and_once():
    async def main():
        all_of, loop = flights(), asyncio.get_running_loop()
        lead = all_of.enter(key(), runs_here=False)

        async def wait():
            join, done = all_of.enter(key(), runs_here=False), asyncio.Event()
            assert join.call_back(lambda: loop.call_soon_threadsafe(done.set))
            await asyncio.wait_for(done.wait(), LONG_S)
            return join.said

        waiting = [asyncio.ensure_future(wait()) for _ in range(5)]
        await asyncio.sleep(0)
        threading.Thread(target=lead.land, args=[{"small": 1}]).start()
        return await asyncio.gather(*waiting)

    assert asyncio.run(main()) == [{"small": 1}] * 5


def test_who_left_is_not_called_back_and_who_comes_late_is_at_once():
    all_of, calls = flights(), []
    lead = all_of.enter(key(), runs_here=False)
    gone, stays = all_of.enter(key(), runs_here=False), all_of.enter(key(), runs_here=False)
    gone.call_back(lambda: calls.append("gone"))
    stays.call_back(lambda: calls.append("stays"))
    gone.leave()
    lead.land({})
    assert calls == ["stays"]
    gone.call_back(lambda: calls.append("late"))
    assert calls == ["stays", "late"]


def test_a_callback_that_fails_keeps_nobody_asleep():
    all_of, calls = flights(), []
    lead = all_of.enter(key(), runs_here=False)
    for number in range(3):
        join = all_of.enter(key(), runs_here=False)
        join.call_back(lambda number=number: 1 / 0 if number == 2 else calls.append(number))
        calls.append(join)
    del calls[:]
    lead.land({})
    assert calls == [1, 0]


def test_an_input_of_equal_hash_is_worked_on_apart(monkeypatch):
    monkeypatch.setattr(keys_module, "_digest", lambda part, seed: bytes(16))
    all_of = flights()
    lead = all_of.enter(key(np.zeros(3)), runs_here=False)
    apart = all_of.enter(key(np.ones(3)), runs_here=False)
    assert type(apart) is Lead
    apart.land({"small": 1})
    join = all_of.enter(key(np.zeros(3)), runs_here=False)
    assert type(join) is Join
    assert not join.is_over
    lead.fail()


def test_whoever_asks_after_an_invalidation_joins_nobody_from_before():
    all_of = flights()
    before = all_of.enter(key(valid_from=0), runs_here=False)
    after = all_of.enter(key(valid_from=1), runs_here=False)
    assert type(after) is Lead
    before.land({})
    assert type(all_of.enter(key(valid_from=1), runs_here=False)) is Join
    after.fail()


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x]], ids=["array", "list"])
def test_what_was_said_about_an_input_that_changed_meanwhile_is_not_taken(wrap):
    all_of, x = flights(), np.zeros(3)
    lead = all_of.enter(key(wrap(x)), runs_here=False)
    join = all_of.enter(key(wrap(x.copy())), runs_here=False)
    lead.tell(lambda: {"small": 1})
    assert join.said == {"small": 1}
    x[0] = 1
    assert join.said == {}
    lead.fail()
    assert join.said == {}


def test_a_forked_process_waits_for_nobody():
    all_of = flights()
    lead = all_of.enter(key(), runs_here=True)
    all_of.renew()
    assert not all_of.is_at_work()
    assert type(all_of.enter(key(), runs_here=False)) is Lead
    lead.fail()


@pytest.mark.slow
def test_many_threads_never_work_on_one_key_at_the_same_time():
    all_of, at_once, most, n_led = flights(), [0] * 3, [0] * 3, [0] * 3
    start = threading.Barrier(16)

    def ask(number):
        start.wait(LONG_S)
        for turn in range(200):
            name = (number + turn) % 3
            turn_of = all_of.enter(key(f"key {name}"), runs_here=True)
            if isinstance(turn_of, Lead):
                at_once[name] += 1
                most[name] = max(most[name], at_once[name])
                n_led[name] += 1
                at_once[name] -= 1
                turn_of.fail() if turn % 5 == 0 else turn_of.land({})
            else:
                assert turn_of.wait(MonotonicClock(), MonotonicClock().now_ms() + 1e3 * LONG_S)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
        assert not thread.is_alive()
    assert most == [1, 1, 1]
    assert len(all_of) == 0
