"""What was said about an input is served for that input only, while it is valid, and one request at a time finds it out."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.caching import keys as keys_module
from cascade.caching.flight import Join, Lead
from cascade.caching.result_cache import ResultCache
from cascade.clock import MonotonicClock, VirtualClock
from cascade.errors import CacheKeyError, ConfigurationError

LONG_S = 30.0


def ask(cache, x, say, scope=None):
    """One request, as whoever uses the cache makes it: the source "model" says what ``say`` returns."""
    key = cache.key(x, scope)
    found = cache.look(key)
    while "model" not in found:
        turn = cache.enter(key)
        if isinstance(turn, Lead):
            with turn:
                found = turn.said
                if "model" not in found:
                    found = {"model": say(x)}
                    cache.settle(turn, found)
        else:
            turn.wait(MonotonicClock(), MonotonicClock().now_ms() + 1e3 * LONG_S)
            if turn.has_landed:
                cache.count_join(found=bool(found))
                found = turn.said
    return found["model"]


class Model:
    """Says the sum of an input, and counts how often it was asked."""

    def __init__(self, gate=None):
        self.gate, self.n_calls, self.at_once, self.most_at_once = gate, 0, 0, 0

    def __call__(self, x):
        self.n_calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.gate is not None:
            assert self.gate.wait(LONG_S)
        self.at_once -= 1
        return float(np.sum(x))


def known(cache, x, scope=None):
    return dict(cache.look(cache.key(x, scope)))


def test_what_was_said_is_there_for_an_equal_input_and_no_other():
    cache, x = ResultCache(), np.arange(4, dtype="f4")
    cache.remember(cache.key(x), {"small": np.array([1.0, 2.0])})
    assert known(cache, x.copy())["small"].tolist() == [1.0, 2.0]
    assert known(cache, x + 1) == {}
    assert known(cache, x.astype("f8")) == {}


def test_an_input_that_its_owner_changes_later_is_not_mixed_up():
    cache, x = ResultCache(), np.zeros(4, dtype="f4")
    cache.remember(cache.key(x), {"small": 0})
    x[:] = 1
    assert known(cache, x) == {}
    cache.remember(cache.key(x), {"small": 1})
    assert known(cache, np.zeros(4, "f4")) == {"small": 0}
    assert known(cache, np.ones(4, "f4")) == {"small": 1}


def test_what_a_stage_said_is_kept_as_it_was():
    cache, row = ResultCache(), np.zeros(3)
    cache.remember(cache.key("x"), {"small": row})
    row[0] = 9
    assert known(cache, "x")["small"].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="read-only"):
        known(cache, "x")["small"][0] = 9


def test_what_was_said_about_an_input_that_changed_in_between_is_not_kept():
    cache, x = ResultCache(), np.zeros(4)
    key = cache.key(x)
    x[0] = 1
    assert not cache.remember(key, {"small": 1})
    assert known(cache, np.zeros(4)) == known(cache, x) == {}
    assert cache.stats().declined == 1


def test_more_is_added_to_what_is_known_and_stays_as_old():
    clock = VirtualClock()
    cache = ResultCache(ttl_ms=10.0, clock=clock)
    cache.remember(cache.key("x"), {"small": 1})
    clock.wait(9.0)
    cache.remember(cache.key("x"), {"big": 2})
    assert known(cache, "x") == {"small": 1, "big": 2}
    clock.wait(1.0)
    assert known(cache, "x") == {}


def test_inputs_of_equal_hash_are_never_mixed_up(monkeypatch):
    monkeypatch.setattr(keys_module, "_digest", lambda part, seed: bytes(16))
    cache, one, other = ResultCache(), np.zeros(4), np.ones(4)
    cache.remember(cache.key(one), {"small": 1})
    assert known(cache, other) == {}
    assert cache.stats().misses == 1
    cache.remember(cache.key(other), {"big": 2})
    assert known(cache, other) == {"big": 2}
    assert known(cache, one) == {}


def test_a_namespace_and_a_version_see_nothing_of_another():
    cache = ResultCache(namespace="a")
    cache.remember(cache.key("x"), {"small": 1})
    assert known(cache, "x", cache.scope("a")) == {"small": 1}
    assert known(cache, "x", cache.scope("b")) == {}
    assert known(cache, "x", cache.scope(version="2")) == {}


def test_a_namespace_that_is_void_is_forgotten_and_no_other():
    cache = ResultCache()
    for name in "ab":
        for version in "12":
            cache.remember(cache.key("x", cache.scope(name, version)), {"small": 1})
    cache.invalidate("a")
    left = {(name, version): known(cache, "x", cache.scope(name, version)) for name in "ab" for version in "12"}
    assert left == {("a", "1"): {}, ("a", "2"): {}, ("b", "1"): {"small": 1}, ("b", "2"): {"small": 1}}
    stats = cache.stats()
    assert (stats.invalidated, stats.entries) == (2, 2)


@pytest.mark.parametrize("void", [ResultCache.invalidate, ResultCache.clear])
def test_what_was_begun_before_an_invalidation_is_not_served_after_it(void):
    cache = ResultCache()
    before = cache.key("x")
    void(cache)
    cache.remember(before, {"small": "stale"})
    assert known(cache, "x") == {}
    cache.remember(cache.key("x"), {"small": "fresh"})
    cache.remember(before, {"small": "stale", "big": "stale"})
    assert known(cache, "x") == {"small": "fresh"}
    turn = cache.enter(before)
    assert isinstance(cache.enter(cache.key("x")), Lead)
    turn.fail()


def test_many_void_namespaces_are_not_remembered_for_ever_and_none_comes_back():
    cache = ResultCache(max_bytes=1 << 24)
    names = [f"tenant {i}" for i in range(1500)]
    keys = [cache.key("x", cache.scope(name)) for name in names]
    for name in names:
        cache.invalidate(name)
    for key in keys:
        cache.remember(key, {"small": "stale"})
    assert all(known(cache, "x", cache.scope(name)) == {} for name in names)
    assert len(cache._epochs._dates) <= 1024


def test_an_upgrade_of_an_older_request_does_not_make_an_entry_valid_again():
    cache = ResultCache()
    old = cache.key("x")
    cache.remember(old, {"small": 1})
    cache.invalidate("another namespace")
    cache.remember(cache.key("x"), {"big": 2})
    cache.invalidate()
    assert known(cache, "x") == {}


def test_an_input_without_a_key_is_counted_and_the_error_says_what_to_do():
    cache = ResultCache()
    with pytest.raises(CacheKeyError, match="hand in key="):
        cache.key(object())
    failing = ResultCache(key=lambda x: x["name"])
    with pytest.raises(CacheKeyError, match="key= raised KeyError"):
        failing.key({})
    assert cache.stats().unkeyed == failing.stats().unkeyed == 1
    assert cache.stats().lookups == 0


@pytest.mark.parametrize("settings", [{"max_bytes": -1}, {"ttl_ms": -1}, {"compare_up_to": -1}, {"key": 3}])
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(ConfigurationError, match=f"expected {next(iter(settings))}"):
        ResultCache(**settings)


def test_requests_one_after_the_other_are_found_out_once():
    cache, model = ResultCache(), Model()
    assert [ask(cache, np.ones(3), model) for _ in range(5)] == [3.0] * 5
    stats = cache.stats()
    assert model.n_calls == 1
    assert (stats.hits, stats.misses, stats.stored) == (4, 1, 1)


@pytest.mark.slow
def test_a_thousand_threads_that_ask_for_one_new_input_need_one_computation():
    gate = threading.Event()
    cache, model, answers = ResultCache(), Model(gate), []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(cache, np.ones(784, "f4"), model))) for _ in range(1000)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(LONG_S)
    assert model.n_calls == 1
    assert answers == [784.0] * 1000
    stats = cache.stats()
    assert stats.hits + stats.joins + stats.misses == stats.lookups == 1000


@pytest.mark.slow
def test_requests_for_few_inputs_are_never_found_out_twice_at_a_time():
    cache = ResultCache(max_bytes=4096)
    models = [Model() for _ in range(4)]

    def work(start):
        rng = np.random.default_rng(start)
        for number in rng.integers(0, 4, 300).tolist():
            assert ask(cache, np.full(100, number), models[number]) == 100.0 * number

    threads = [threading.Thread(target=work, args=(start,)) for start in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
        assert not thread.is_alive()
    assert [model.most_at_once for model in models] == [1] * 4
    stats = cache.stats()
    assert stats.lookups == 12 * 300
    assert stats.stored == stats.evictions + stats.entries
    assert len(cache.flights) == 0


def test_a_leader_sees_what_became_known_since_it_looked():
    cache = ResultCache()
    key = cache.key("x")
    assert not cache.look(key)
    cache.remember(cache.key("x"), {"small": 1})
    lead = cache.enter(key)
    assert lead.said == {"small": 1}
    join = cache.enter(key)
    cache.settle(lead, {"big": 2})
    assert join.said == {"small": 1, "big": 2}


def test_a_leader_whose_input_changed_tells_nobody():
    cache, x = ResultCache(), np.zeros(4)
    lead = cache.enter(cache.key(x), runs_here=False)
    join = cache.enter(cache.key(np.zeros(4)), runs_here=False)
    assert isinstance(join, Join)
    x[0] = 1
    cache.settle(lead, {"small": 1})
    assert join.is_over
    assert not join.has_landed
    assert join.said == known(cache, np.zeros(4)) == {}


def test_joiners_learn_what_is_too_large_to_be_kept():
    cache = ResultCache(max_bytes=10)
    lead = cache.enter(cache.key("x"), runs_here=False)
    join = cache.enter(cache.key("x"), runs_here=False)
    cache.settle(lead, {"small": 1})
    assert join.said == {"small": 1}
    assert cache.stats().declined == 1


def test_look_ups_are_counted_as_what_they_turn_out_to_be():
    cache = ResultCache()
    key = cache.key("x")
    cache.look(key)
    cache.count_join(found=False)
    cache.remember(key, {"small": 1})
    for _ in range(3):
        cache.look(key)
    cache.count_upgrade()
    cache.count_join(found=True)
    stats = cache.stats()
    assert (stats.hits, stats.upgrades, stats.joins, stats.misses, stats.lookups) == (1, 1, 2, 0, 4)
    assert stats.hit_ratio == 0.75


def test_a_forked_process_goes_on_with_what_was_stored():
    cache = ResultCache()
    cache.remember(cache.key("x"), {"small": 1})
    lead = cache.enter(cache.key("y"), runs_here=True)
    cache.renew()
    assert known(cache, "x") == {"small": 1}
    assert isinstance(cache.enter(cache.key("y")), Lead)
    lead.fail()


INPUTS = [b"a", "a", 0.0, -0.0, 0, (0,), [0], np.zeros(2, "f4"), np.zeros(2, "i4"), np.zeros((1, 2), "f4"), {"a": 0}]


@settings(max_examples=60)
@given(
    st.integers(0, 20_000),
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.integers(0, len(INPUTS) - 1), st.sampled_from("ab")),
            st.tuples(st.just("wait"), st.floats(0.0, 600_000.0)),
            st.tuples(st.just("void"), st.sampled_from("ab")),
        ),
        max_size=60,
    ),
)
def test_in_an_hour_nothing_old_nothing_void_and_nothing_of_another_input_or_tenant_is_served(max_bytes, steps):
    ttl_ms, clock = 900_000.0, VirtualClock()
    cache = ResultCache(max_bytes, ttl_ms, clock=clock, compare_up_to=40)
    valid_from_ms = dict.fromkeys("ab", 0.0)
    n_asked = 0
    for step in steps:
        match step:
            case ("wait", duration_ms):
                clock.wait(duration_ms)
            case ("void", name):
                clock.wait(1.0)
                cache.invalidate(name)
                valid_from_ms[name] = clock.now_ms()
            case ("ask", number, name):
                n_asked += 1
                scope, now_ms = cache.scope(name), clock.now_ms()
                key = cache.key(INPUTS[number], scope)
                said = cache.look(key)
                if said:
                    of, tenant, at_ms = said["model"]
                    assert (of, tenant) == (number, name)
                    assert now_ms - at_ms < ttl_ms
                    assert at_ms >= valid_from_ms[name]
                else:
                    cache.remember(key, {"model": (number, name, now_ms)})
        stats = cache.stats()
        assert stats.bytes <= max_bytes
        assert stats.lookups == n_asked
        assert stats.stored == stats.evictions + stats.expired + stats.invalidated + stats.entries


def test_the_rows_of_a_batch_are_looked_up_and_kept_as_one_by_one():
    clock = VirtualClock()
    cache, rows = ResultCache(clock=clock, ttl_ms=100.0), np.arange(3000.0, dtype="f4").reshape(1500, 2)
    scope = cache.scope()
    keys = cache.keys([*rows[:1000], object()], scope)
    assert cache.find_all(keys) == [None] * 1001
    assert (cache.stats().misses, cache.stats().unkeyed) == (1000, 1)
    assert cache.keep_all(keys[:-1], [{"small": i} for i in range(1000)]) == [True] * 1000
    found = cache.find_all(cache.keys(rows, scope))
    assert [entry.said["small"] for entry in found[:1000]] == [*range(1000)]
    assert found[1000:] == [None] * 500
    assert known(cache, rows[7]) == {"small": 7}
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.stored, stats.entries) == (1001, 1500, 1000, 1000)
    clock.wait(100.0)
    assert cache.find_all(cache.keys(rows[:3], scope)) == [None] * 3


def test_rows_that_changed_or_were_kept_meanwhile_are_told_apart():
    cache = ResultCache()
    batch = np.arange(6.0, dtype="f4").reshape(3, 2)
    keys = cache.keys([*batch], cache.scope())
    cache.remember(cache.key(batch[1].copy()), {"small": 1})
    batch[2] = 9.0
    assert cache.keep_all(keys, [{"big": i} for i in range(3)]) == [True, True, False]
    assert known(cache, np.array([2.0, 3.0], "f4")) == {"small": 1, "big": 1}
    assert known(cache, np.array([4.0, 5.0], "f4")) == {}
    assert (cache.stats().entries, cache.stats().declined) == (2, 1)


def test_a_batch_stays_within_the_bound():
    cache = ResultCache(20_000)
    keys = cache.keys([*np.arange(2000.0).reshape(1000, 2)], cache.scope())
    cache.keep_all(keys, [{"small": i} for i in range(1000)])
    stats = cache.stats()
    assert 0 < stats.bytes <= 20_000
    assert stats.stored == stats.evictions + stats.entries == 1000
