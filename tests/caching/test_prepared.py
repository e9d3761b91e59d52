"""What preprocessing made of an input is handed out in copies, for that input only, while it is valid."""

import numpy as np
import pytest

from cascade.caching import keys as keys_module
from cascade.caching.result_cache import ResultCache
from cascade.clock import VirtualClock
from cascade.errors import ConfigurationError


def cache_of(**settings):
    return ResultCache(prepared_bytes=1 << 20, **settings)


def test_what_was_prepared_comes_back_and_may_be_written_into():
    cache, batch = cache_of(), {"ids": np.arange(3)[None], "rows": [np.zeros((1, 2)), ("text", 1)]}
    key = cache.key("x")
    assert cache.prepared.get(key) is None
    assert cache.prepared.keep(key, batch)
    batch["ids"][0] = 9
    for _ in range(2):
        again = cache.prepared.get(cache.key("x"))
        assert again["ids"].tolist() == [[0, 1, 2]]
        assert again["rows"][1] == ("text", 1)
        again["ids"][0] = 7
        again["rows"][0][0] = 7


def test_tensors_come_back_in_copies():
    torch = pytest.importorskip("torch")
    cache = cache_of()
    cache.prepared.keep(cache.key("x"), torch.zeros(1, 3))
    cache.prepared.get(cache.key("x")).add_(1)
    assert cache.prepared.get(cache.key("x")).tolist() == [[0.0, 0.0, 0.0]]


def test_another_version_of_preprocessing_gets_nothing():
    cache = cache_of()
    cache.prepared.keep(cache.key("x", cache.scope(version="1")), np.zeros(1))
    assert cache.prepared.get(cache.key("x", cache.scope(version="2"))) is None


def test_what_changed_or_cannot_be_copied_is_not_kept():
    cache, x = cache_of(), np.zeros(3)
    key = cache.key(x)
    assert not cache.prepared.keep(key, object())
    x[0] = 1
    assert not cache.prepared.keep(key, np.zeros(1))
    assert cache.prepared.get(cache.key(np.zeros(3))) is None


def test_inputs_of_equal_hash_are_never_mixed_up(monkeypatch):
    monkeypatch.setattr(keys_module, "_digest", lambda part, seed: bytes(16))
    cache, one, other = cache_of(), np.zeros(2), np.ones(2)
    cache.prepared.keep(cache.key(one), [1])
    assert cache.prepared.get(cache.key(other)) is None
    cache.prepared.keep(cache.key(other), [2])
    assert (cache.prepared.get(cache.key(one)), cache.prepared.get(cache.key(other))) == (None, [2])
    cache.prepared.keep(cache.key(other), [3])
    assert cache.prepared.get(cache.key(other)) == [2]


@pytest.mark.parametrize("void", [ResultCache.invalidate, ResultCache.clear])
def test_what_is_void_or_too_old_is_prepared_anew(void):
    clock = VirtualClock()
    cache = cache_of(ttl_ms=5.0, clock=clock)
    before = cache.key("x")
    cache.prepared.keep(before, [1])
    void(cache)
    assert cache.prepared.store.n_bytes == 0
    cache.prepared.keep(before, [1])
    assert cache.prepared.get(cache.key("x")) is None
    cache.prepared.keep(cache.key("x"), [2])
    cache.renew()
    assert cache.prepared.get(cache.key("x")) == [2]
    clock.wait(5.0)
    assert cache.prepared.get(cache.key("x")) is None


def test_it_keeps_within_a_bound_of_its_own():
    cache = cache_of()
    for i in range(100):
        cache.prepared.keep(cache.key(i), np.zeros(10_000, "f4"))
        assert cache.prepared.store.n_bytes <= 1 << 20
    assert cache.stats().bytes == 0


def test_without_a_bound_nothing_is_kept_and_a_negative_one_is_refused():
    assert ResultCache().prepared is None
    with pytest.raises(ConfigurationError, match="expected max_bytes"):
        ResultCache(prepared_bytes=-1)
