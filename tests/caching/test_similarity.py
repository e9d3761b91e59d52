"""A neighbour's answer is taken only from the same scope, while it is valid, and where it was proved to be alike enough."""

import threading

import numpy as np
import pytest

from cascade.caching.result_cache import ResultCache
from cascade.caching.similarity import SimilarityCache
from cascade.calibration.similarity import SimilarityThreshold, control_similarity
from cascade.errors import ConfigurationError

PROVED = SimilarityThreshold(0.95, 0.05, 0.05, 1000, 500, 0.01)


def similar(embed=lambda x: x, **settings):
    return SimilarityCache(embed=embed, threshold=PROVED, **settings)


def cache_with(**settings):
    return ResultCache(similar=similar(**settings))


def ask(cache, x, scope=None):
    """What is known about an input, or about its neighbour; where nothing is, it is learnt."""
    key = cache.key(x, scope)
    said = cache.look(key)
    if said:
        return said["small"]
    said = cache.near(key, x)
    if said:
        cache.count_neighbour()
        return said["small"]
    cache.remember(key, {"small": len(cache._store.items())})
    return None


def test_a_near_duplicate_gets_the_answer_and_a_stranger_does_not():
    cache = cache_with()
    assert ask(cache, np.array([1.0, 0.0])) is None
    assert ask(cache, np.array([1.0, 0.1])) == 0
    assert ask(cache, np.array([10.0, 0.1])) == 0
    assert ask(cache, np.array([1.0, 1.0])) is None
    stats = cache.stats()
    assert (stats.hits, stats.neighbours, stats.misses, stats.lookups) == (0, 2, 2, 4)


def test_the_threshold_is_kept_to_exactly():
    cache = cache_with()
    ask(cache, np.array([1.0, 0.0]))
    for angle, is_near in ((np.arccos(0.9501), True), (np.arccos(0.9499), False)):
        x = np.array([np.cos(angle), np.sin(angle)])
        assert bool(cache.near(cache.key(x), x)) == is_near


def test_what_another_tenant_or_version_knows_is_nobodys_neighbour():
    cache = cache_with()
    ask(cache, np.array([1.0, 0.0]), cache.scope("a"))
    for scope in (cache.scope("b"), cache.scope("a", version="2")):
        x = np.array([1.0, 0.01])
        assert not cache.near(cache.key(x, scope), x)


@pytest.mark.parametrize("void", [lambda cache: cache.invalidate("a"), ResultCache.clear])
def test_what_is_void_is_no_neighbour_and_its_vectors_are_gone(void):
    cache = cache_with()
    scope, x = cache.scope("a"), np.array([1.0, 0.01])
    before = cache.key(np.array([1.0, 0.02]), scope)
    cache.near(before, np.array([1.0, 0.02]))
    ask(cache, np.array([1.0, 0.0]), scope)
    void(cache)
    assert len(cache._similar) == 0
    cache.remember(before, {"small": "stale"})
    assert not cache.near(cache.key(x, scope), x)
    assert ask(cache, x, scope) is None


def test_a_neighbour_that_had_to_go_is_passed_over_for_the_next():
    cache = cache_with()
    for y in (0.0, 0.6):
        ask(cache, np.array([1.0, y]))
    (first, _), *_ = cache._store.items()
    cache._store._drop(first, [])
    x = np.array([1.0, 0.27])
    assert cache.near(cache.key(x), x) == {"small": 1}
    assert len(cache._similar) == 1


def test_the_oldest_make_room_for_more_than_may_be_searched():
    cache = cache_with(max_entries=2)
    for x in np.eye(3):
        ask(cache, x)
    assert [bool(cache.near(cache.key(x + 0.01), x + 0.01)) for x in np.eye(3)] == [False, True, True]


def test_vectors_of_another_length_are_no_neighbours():
    cache = cache_with()
    ask(cache, np.array([1.0, 0.0]))
    x = np.array([1.0, 0.0, 0.0])
    assert not cache.near(cache.key(x), x)


@pytest.mark.parametrize(
    "embed", [lambda x: 1 / 0, lambda x: np.zeros(2), lambda x: "text", lambda x: np.ones((2, 2)), lambda x: [np.nan]]
)
def test_an_embedding_that_fails_is_counted_and_the_request_goes_on(embed):
    cache = cache_with(embed=embed)
    assert ask(cache, "x") is None
    assert ask(cache, "x") == 0
    assert ask(cache, "y") is None
    assert cache._similar.n_failed == 2
    assert len(cache._similar) == 0


def test_each_input_is_embedded_once():
    calls = []
    cache = cache_with(embed=lambda x: calls.append(x) or [1.0, float(len(x))])
    ask(cache, "a question")
    assert calls == ["a question"]


def test_without_neighbours_nothing_is_near():
    cache = ResultCache()
    assert not cache.near(cache.key("x"), "x")


def test_a_threshold_that_proves_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="expected threshold as control_similarity returns it, got 0.9"):
        SimilarityCache(embed=lambda x: x, threshold=0.9)
    with pytest.raises(ConfigurationError, match="embed"):
        SimilarityCache(embed="model", threshold=PROVED)
    with pytest.raises(ConfigurationError, match="max_entries"):
        similar(max_entries=0)


def test_what_control_similarity_returns_is_taken():
    rng = np.random.default_rng(0)
    proved = control_similarity(rng.uniform(0.8, 1.0, 2000), np.zeros(2000), 0.05)
    assert SimilarityCache(embed=lambda x: x, threshold=proved).proved is proved


def test_a_call_from_within_a_change_finds_nothing():
    index = similar()
    cache = ResultCache(similar=index)
    key = cache.key(np.array([1.0, 0.0]))
    direction = index.embed(key, np.array([1.0, 0.0]))
    index.add(key)
    with index._alone():
        assert index.nearest(key, direction) is None
        index.add(cache.key("y"))
        index.drop(key.token)
        index.forget(b"")
        index.renew()
    assert len(index) == 0


@pytest.mark.slow
def test_many_threads_never_get_a_stranger():
    cache = cache_with(max_entries=50)
    directions = np.eye(16)
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(400):
            number = int(rng.integers(16))
            x = directions[number] + rng.normal(0.0, 0.01, 16)
            key = cache.key(x)
            said = cache.near(key, x)
            if said and said["small"] != number:
                wrong.append((number, said))
            cache.remember(key, {"small": number})
            if rng.random() < 0.02:
                cache.invalidate()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
        assert not thread.is_alive()
    assert not wrong
    assert len(cache._similar) <= 50
