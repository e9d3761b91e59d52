"""Entries share no memory with what they were made of, and say what they take."""

import gc
import tracemalloc

import numpy as np
import pytest

from cascade.caching.entries import Entry, held_bytes, private
from cascade.caching.result_cache import ResultCache
from cascade.errors import ConfigurationError

TOKEN = (bytes(16), b"head")


def test_what_a_stage_said_is_copied_all_the_way_down():
    row = np.zeros(3)
    said = private({"a": [row, (row, "text")], "b": None})
    row[0] = 1
    assert said["a"][0].tolist() == said["a"][1][0].tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="read-only"):
        said["a"][0][0] = 1


def test_tensors_are_copied_and_no_longer_part_of_a_graph():
    torch = pytest.importorskip("torch")
    x = torch.ones(2, requires_grad=True)
    said = private(x * 2)
    assert not said.requires_grad
    with torch.no_grad():
        x += 1
    assert said.tolist() == [2.0, 2.0]
    assert held_bytes(torch.zeros(1000)) >= 4000


@pytest.mark.parametrize("value", [object(), {1}, np.array([None], object), lambda: None])
def test_what_cannot_be_copied_for_sure_is_refused(value):
    with pytest.raises(ConfigurationError, match="expected what a stage said as arrays"):
        private([value])


def test_joining_keeps_what_was_said_first_and_its_age():
    entry = Entry(TOKEN, (), {"small": 1}, born_ms=5.0, epoch=2)
    grown = entry.joined(TOKEN, {"small": 2, "big": 3})
    assert grown.said == {"small": 1, "big": 3}
    assert (grown.born_ms, grown.epoch) == (5.0, 2)
    assert grown.n_bytes > entry.n_bytes
    assert entry.said == {"small": 1}


def texts(n):
    return [f"question number {i}" for i in range(n)]


def arrays(n):
    return [*np.random.default_rng(0).random((n, 784), np.float32)]


def pairs(n):
    return [{"ids": row, "name": f"row {i}"} for i, row in enumerate(np.arange(50 * n).reshape(n, 50))]


def allocated_by(cache, inputs):
    """Bytes that handing in these inputs left allocated."""
    row = np.zeros(10, np.float32)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for x in inputs:
            cache.remember(cache.key(x), {"small": row, "big": row})
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


# Right after tables have grown, when they are the emptiest.
@pytest.mark.slow
@pytest.mark.parametrize("make", [texts, arrays, pairs])
@pytest.mark.parametrize("ttl_ms", [None, 1e9])
@pytest.mark.parametrize("n", [700, 1400, 2800])
def test_the_bytes_that_are_counted_cover_what_is_allocated(make, ttl_ms, n):
    inputs = make(n)
    cache = ResultCache(max_bytes=1 << 30, ttl_ms=ttl_ms)
    allocated = allocated_by(cache, inputs)
    assert allocated <= cache.stats().bytes <= 1.35 * allocated


@pytest.mark.slow
@pytest.mark.parametrize("ttl_ms", [None, 1e9])
def test_the_bound_covers_what_is_allocated_while_entries_come_and_go(ttl_ms):
    inputs = texts(30_000)
    cache = ResultCache(max_bytes=1 << 21, ttl_ms=ttl_ms)
    assert allocated_by(cache, inputs) <= 1 << 21
    assert cache.stats().evictions > 20_000
