"""The store never holds more bytes than it may, never serves what is too old, and its counts add up."""

import signal
import threading
from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cascade.caching.entries import Entry
from cascade.caching.store import Store
from cascade.clock import VirtualClock
from cascade.errors import ConfigurationError

TOKENS = [(bytes([number]), b"head") for number in range(6)]


def entry_of(token, n=100, *, born_ms=0.0, epoch=0, **said):
    return Entry(token, (bytes(n),), said or {"small": 1}, born_ms=born_ms, epoch=epoch)


def store_of(max_bytes=1 << 20, ttl_ms=None, clock=None):
    return Store(max_bytes, ttl_ms, (clock or VirtualClock()).now_ms)


def room_for(n, n_bytes=100):
    return n * entry_of(TOKENS[0], n_bytes).n_bytes


def test_the_least_recently_used_entry_goes_first():
    store = store_of(room_for(2))
    a, b, c = TOKENS[:3]
    for token in (a, b):
        store.swap(token, entry_of(token), None, 0)
    store.get(a, 0)
    store.swap(c, entry_of(c), None, 0)
    assert [store.peek(token, 0) is not None for token in (a, b, c)] == [True, False, True]
    assert store.counts.evictions == 1


def test_an_entry_larger_than_the_bound_is_not_stored_and_nothing_goes_for_it():
    store = store_of(room_for(2))
    store.swap(TOKENS[0], entry_of(TOKENS[0]), None, 0)
    assert store.swap(TOKENS[1], entry_of(TOKENS[1], 10_000), None, 0)
    assert store.peek(TOKENS[1], 0) is None
    assert store.peek(TOKENS[0], 0) is not None
    assert store.counts.declined == 1


def test_an_entry_that_grows_makes_room_by_others_and_not_by_itself():
    store = store_of(room_for(2) + 50)
    old, other = TOKENS[:2]
    first = entry_of(old)
    store.swap(old, first, None, 0)
    store.swap(other, entry_of(other), None, 0)
    grown = first.joined(old, {"big": 2})
    assert store.swap(old, grown, first, 0)
    assert store.peek(old, 0) is grown
    assert store.peek(other, 0) is None
    assert store.n_bytes == grown.n_bytes


def test_an_entry_that_somebody_else_has_changed_is_not_replaced():
    store, token = store_of(), TOKENS[0]
    first = entry_of(token)
    assert store.swap(token, first, None, 0)
    assert not store.swap(token, entry_of(token), None, 0)
    assert not store.swap(token, entry_of(token), entry_of(token), 0)
    assert store.peek(token, 0) is first


def test_growing_does_not_make_an_entry_younger():
    clock = VirtualClock()
    store, token = store_of(ttl_ms=10.0, clock=clock), TOKENS[0]
    first = entry_of(token)
    store.swap(token, first, None, 0)
    clock.wait(9.0)
    assert store.swap(token, first.joined(token, {"big": 2}), first, 0)
    clock.wait(0.999)
    assert store.peek(token, 0).said == {"big": 2, "small": 1}
    clock.wait(0.001)
    assert store.peek(token, 0) is None
    assert store.purge()[0].expired == 1


def test_an_entry_that_came_late_is_as_old_as_it_says():
    clock = VirtualClock(100.0)
    store = store_of(ttl_ms=10.0, clock=clock)
    store.swap(TOKENS[0], entry_of(TOKENS[0], born_ms=100.0), None, 0)
    store.swap(TOKENS[1], entry_of(TOKENS[1], born_ms=95.0), None, 0)
    clock.wait(6.0)
    assert store.peek(TOKENS[1], 0) is None
    late = entry_of(TOKENS[1], born_ms=106.0)
    assert store.swap(TOKENS[1], late, None, 0)
    assert store.peek(TOKENS[1], 0) is late
    assert store.counts.expired == 1


def test_an_entry_from_before_an_invalidation_is_not_there():
    store, token = store_of(), TOKENS[0]
    store.swap(token, entry_of(token, epoch=3), None, 0)
    assert store.get(token, 3) is not None
    assert store.get(token, 4) is None
    fresh = entry_of(token, epoch=4)
    assert store.swap(token, fresh, None, 4)
    assert store.peek(token, 4) is fresh
    assert (store.counts.invalidated, store.counts.stored) == (1, 2)


def test_dropping_takes_what_begins_alike_and_is_from_before():
    store = store_of()
    tokens = {name: (name, b"tenant " + name) for name in (b"a", b"b")} | {b"new": (b"new", b"tenant a")}
    for name, token in tokens.items():
        store.swap(token, entry_of(token, epoch=2 if name == b"new" else 0), None, 0)
    store.drop(b"tenant a", 2)
    assert [store.peek(token, 0) is not None for token in tokens.values()] == [False, True, True]
    assert store.counts.invalidated == 1


def test_with_admission_by_frequency_a_newcomer_makes_room_only_by_what_is_less_asked_for():
    clock = VirtualClock()
    store = Store(room_for(2), None, clock.now_ms, "frequency")
    popular, other, newcomer = TOKENS[:3]
    for token, n_times in ((popular, 5), (other, 2)):
        for _ in range(n_times):
            store.get(token, 0)
        store.swap(token, entry_of(token), None, 0)
    offered = []
    for _ in range(4):
        store.get(newcomer, 0)
        store.swap(newcomer, entry_of(newcomer), None, 0)
        offered.append(newcomer in dict(store.items()))
    assert offered == [False, False, False, True]
    assert other not in dict(store.items())
    assert (store.counts.stored, store.counts.evictions, store.counts.declined) == (3, 1, 3)


def test_an_admission_that_is_unknown_is_refused():
    with pytest.raises(ConfigurationError, match="expected admission to be one of"):
        Store(1, None, VirtualClock().now_ms, "luck")


@pytest.mark.parametrize(
    ("max_bytes", "ttl_ms", "message"),
    [
        (-1, None, "max_bytes .* got -1"),
        (1.5, None, "max_bytes .* got 1.5"),
        (1, -1.0, "ttl_ms .* got -1.0"),
        (1, float("nan"), "ttl_ms"),
    ],
)
def test_bounds_that_cannot_work_are_refused(max_bytes, ttl_ms, message):
    with pytest.raises(ConfigurationError, match=message):
        Store(max_bytes, ttl_ms, VirtualClock().now_ms)


@pytest.mark.parametrize(("max_bytes", "ttl_ms"), [(0, None), (1 << 20, 0.0)])
def test_a_bound_of_nothing_stores_nothing(max_bytes, ttl_ms):
    store = store_of(max_bytes, ttl_ms)
    assert store.swap(TOKENS[0], entry_of(TOKENS[0]), None, 0)
    assert store.peek(TOKENS[0], 0) is None
    assert store.purge()[1:] == (0, 0)


def test_a_call_from_within_a_change_finds_nothing_and_changes_nothing():
    clock = VirtualClock()
    store = store_of(room_for(1), clock=clock)
    seen = []

    class Order(type(store._order)):
        def popitem(self):
            # As a signal handler or a finaliser would, between any two steps.
            seen.append(store.get(TOKENS[0], 0))
            seen.append(store.swap(TOKENS[2], entry_of(TOKENS[2]), None, 0))
            store.clear()
            store.drop(b"", 9)
            store.purge()
            return super().popitem()

    store._order = Order(inf)
    store.swap(TOKENS[0], entry_of(TOKENS[0]), None, 0)
    store.swap(TOKENS[1], entry_of(TOKENS[1]), None, 0)
    assert seen == [None, True]
    assert [token for token, _ in store.items()] == [TOKENS[1]]
    assert store.n_bytes == room_for(1)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that signal here")
@pytest.mark.slow
def test_a_signal_handler_that_asks_does_not_deadlock():
    store = store_of(room_for(3))
    calls = []

    def handle(number, frame):
        token = TOKENS[len(calls) % 6]
        calls.append(store.get(token, 0))
        store.swap(token, entry_of(token), store.peek(token, 0), 0)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    try:
        for turn in range(20_000):
            token = TOKENS[turn % 6]
            if store.get(token, 0) is None:
                store.swap(token, entry_of(token), store.peek(token, 0), 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert calls
    assert store.n_bytes == sum(entry.n_bytes for _, entry in store.items()) <= room_for(3)


@pytest.mark.slow
def test_many_threads_leave_bytes_and_counts_right():
    store, n_turns = store_of(room_for(4), ttl_ms=1e9), 2000

    def work(start):
        for turn in range(n_turns):
            token = TOKENS[(start + turn * 7) % 6]
            current = store.get(token, 0)
            grown = entry_of(token) if current is None else current.joined(token, {f"s{turn % 3}": turn})
            store.swap(token, grown, current, 0)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts, n_entries, n_bytes = store.purge()
    assert counts.hits + counts.misses == 6 * n_turns
    assert counts.stored == counts.evictions + n_entries
    assert n_bytes == sum(entry.n_bytes for _, entry in store.items()) <= store.max_bytes


def test_a_store_that_was_forked_in_the_middle_of_a_change_starts_empty():
    store = store_of()
    store.swap(TOKENS[0], entry_of(TOKENS[0]), None, 0)
    store.renew()
    assert store.peek(TOKENS[0], 0) is not None
    store.lock.acquire()
    store._is_busy = True
    store.renew()
    assert store.purge()[1:] == (0, 0)
    assert store.swap(TOKENS[0], entry_of(TOKENS[0]), None, 0)
    assert store.counts.stored == store.counts.invalidated + 1


class StoreMachine(RuleBasedStateMachine):
    """A store beside a list of what it was given."""

    @initialize(
        max_bytes=st.integers(0, 12_000),
        ttl_ms=st.one_of(st.none(), st.floats(1.0, 50.0)),
        admission=st.sampled_from(["recency", "frequency"]),
    )
    def start(self, max_bytes, ttl_ms, admission):
        self.clock = VirtualClock(3.0)
        self.store = Store(max_bytes, ttl_ms, self.clock.now_ms, admission)
        self.ttl_ms = inf if ttl_ms is None else ttl_ms
        self.born = {}
        self.epoch = 0
        self.n_looked = 0

    @rule(duration_ms=st.floats(0.0, 20.0))
    def pass_time(self, duration_ms):
        self.clock.wait(duration_ms)

    @rule(token=st.sampled_from(TOKENS), n=st.integers(0, 2500), late_ms=st.floats(0.0, 2.0))
    def put(self, token, n, late_ms):
        current = self.store.peek(token, self.epoch)
        if current is None:
            born_ms = self.clock.now_ms() - late_ms
            entry = entry_of(token, n, born_ms=born_ms, epoch=self.epoch)
            self.born[token] = born_ms, self.epoch
        else:
            entry = current.joined(token, {f"more {n}": bytes(n)})
        assert self.store.swap(token, entry, current, self.epoch)

    @rule(token=st.sampled_from(TOKENS))
    def look(self, token):
        self.n_looked += 1
        entry = self.store.get(token, self.epoch)
        if entry is not None:
            born_ms, epoch = self.born[token]
            assert self.clock.now_ms() - born_ms < self.ttl_ms
            assert entry.born_ms == born_ms
            assert epoch >= self.epoch

    @rule()
    def invalidate(self):
        self.epoch += 1

    @precondition(lambda self: self.epoch)
    @rule()
    def sweep(self):
        self.store.drop(b"head", self.epoch)

    @rule()
    def clear(self):
        self.store.clear()

    @invariant()
    def the_bytes_are_those_of_the_entries_and_within_the_bound(self):
        if not hasattr(self, "store"):
            return
        entries = self.store.items()
        assert self.store.n_bytes == sum(entry.n_bytes for _, entry in entries) <= self.store.max_bytes
        assert set(self.store._order) <= {token for token, _ in entries}

    @invariant()
    def the_counts_add_up(self):
        if not hasattr(self, "store"):
            return
        counts = self.store.counts
        assert counts.stored == counts.evictions + counts.expired + counts.invalidated + len(self.store.items())
        assert counts.hits + counts.misses == self.n_looked


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=150, stateful_step_count=40)
TestStore.pytestmark = [pytest.mark.slow]
