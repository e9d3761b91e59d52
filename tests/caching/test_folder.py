"""What is kept in a folder outlives the process, ages there, and stays void where it was declared so."""

import sqlite3
import subprocess
import sys

import numpy as np
import pytest

import cascade.caching.folder
from cascade.caching.folder import Folder
from cascade.caching.result_cache import ResultCache
from cascade.clock import VirtualClock
from cascade.errors import ConfigurationError, MissingExtra

pytest.importorskip("diskcache")

DAY_MS = 86_400_000.0


@pytest.fixture(autouse=True)
def calendar(monkeypatch):
    """Today, as a clock that tests move."""
    clock = VirtualClock(1.7e12)
    monkeypatch.setattr(cascade.caching.folder, "calendar_ms", clock.now_ms)
    return clock


def cache_in(folder, **settings):
    """A cache as a process that has just started makes it."""
    return ResultCache(folder=folder, clock=VirtualClock(settings.pop("started_ms", 0.0)), **settings)


def known(cache, x, scope=None):
    return dict(cache.look(cache.key(x, scope)))


def filled(folder, x="x", said=1, **settings):
    cache = cache_in(folder, **settings)
    cache.remember(cache.key(x), {"small": said})
    assert cache.save() >= 1
    return cache


@pytest.mark.parametrize("x", ["a question", np.arange(5, dtype="f4"), {"ids": np.arange(3), "name": "n"}, None, 5])
def test_what_was_known_is_known_to_the_next_process(tmp_path, x):
    filled(tmp_path, x, np.array([0.25, 0.75]))
    again = cache_in(tmp_path, started_ms=500.0)
    assert known(again, x)["small"].tolist() == [0.25, 0.75]
    assert known(again, "another") == {}
    assert again.stats().entries == 1


def test_what_is_told_apart_by_its_hash_alone_is_known_again(tmp_path):
    filled(tmp_path, np.arange(100.0), compare_up_to=10)
    assert known(cache_in(tmp_path, compare_up_to=10), np.arange(100.0)) == {"small": 1}


def test_what_was_added_later_is_added_to_what_came_from_the_folder(tmp_path):
    filled(tmp_path)
    again = cache_in(tmp_path)
    again.remember(again.key("x"), {"big": 2})
    again.save()
    assert known(cache_in(tmp_path), "x") == {"small": 1, "big": 2}


def test_entries_age_while_no_process_runs(tmp_path, calendar):
    first = cache_in(tmp_path, ttl_ms=DAY_MS, started_ms=7.0)
    first.remember(first.key("x"), {"small": 1})
    first._clock.wait(DAY_MS / 4)
    calendar.wait(DAY_MS / 4)
    first.save()
    calendar.wait(DAY_MS / 2)
    second = cache_in(tmp_path, ttl_ms=DAY_MS, started_ms=1e6)
    assert known(second, "x") == {"small": 1}
    second._clock.wait(DAY_MS / 4)
    assert known(second, "x") == {}
    calendar.wait(DAY_MS / 4)
    assert cache_in(tmp_path, ttl_ms=DAY_MS).stats().stored == 0


def test_what_comes_from_the_future_is_not_believed(tmp_path, monkeypatch):
    filled(tmp_path, ttl_ms=DAY_MS)
    monkeypatch.setattr(cascade.caching.folder, "calendar_ms", lambda: 1.6e12)
    assert cache_in(tmp_path, ttl_ms=DAY_MS).stats().stored == 0


@pytest.mark.parametrize("void", ["tenant", "everything"])
def test_what_is_void_does_not_come_back(tmp_path, void):
    cache = cache_in(tmp_path)
    for name in "ab":
        cache.remember(cache.key("x", cache.scope(name)), {"small": 1})
    cache.save()
    cache.invalidate("a") if void == "tenant" else cache.clear()
    left = [bool(known(cache_in(tmp_path), "x", cache.scope(name))) for name in "ab"]
    assert left == [False, void == "tenant"]
    cache.remember(cache.key("x", cache.scope("a")), {"small": 2})
    cache.save()
    assert known(cache_in(tmp_path), "x", cache.scope("a")) == {"small": 2}


@pytest.mark.parametrize("void", [ResultCache.invalidate, ResultCache.clear])
def test_what_another_process_declared_void_does_not_come_back_from_one_that_missed_it(tmp_path, void):
    slow = filled(tmp_path)
    void(cache_in(tmp_path))
    slow.save()
    assert known(cache_in(tmp_path), "x") == {}


def test_what_was_begun_before_an_invalidation_is_not_written(tmp_path):
    cache = cache_in(tmp_path)
    before = cache.key("x")
    cache.invalidate()
    cache.remember(before, {"small": "stale"})
    assert cache.save() == 0


def test_the_files_stay_within_a_bound(tmp_path):
    cache = cache_in(tmp_path, max_bytes=1 << 20)
    for turn in range(4):
        for i in range(20):
            cache.remember(cache.key(np.full(10_000, 20 * turn + i, "f4")), {"small": 1})
        cache.save()
    taken = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert taken <= 3 << 20
    again = cache_in(tmp_path, max_bytes=1 << 20)
    assert known(again, np.full(10_000, 79, "f4")) == {"small": 1}


TRAP = b"cos\nmkdir\n(S'sprung'\ntR."
"""A pickle that makes a folder where it is opened."""


def test_a_pickle_in_the_folder_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "kept"
    filled(folder)
    for part in ("rows", "about"):
        with sqlite3.connect(folder / part / "cache.db") as database:
            database.execute("UPDATE Cache SET mode = 4, value = ?, filename = NULL WHERE raw = 1", (TRAP,))
            columns = "key, raw, store_time, access_time, access_count, size, mode, value"
            database.execute(f"INSERT INTO Cache({columns}) VALUES (?, 0, 0, 0, 0, 0, 4, ?)", (TRAP, TRAP))
        database.close()
    with pytest.raises(ConfigurationError, match="a folder that a result cache has made"):
        cache_in(folder)
    assert not (tmp_path / "sprung").exists()


def test_rows_that_are_damaged_are_left_out(tmp_path):
    cache = filled(tmp_path)
    cache.remember(cache.key("y"), {"small": 2})
    cache.save()
    with sqlite3.connect(tmp_path / "rows" / "cache.db") as database:
        database.execute("UPDATE Cache SET value = substr(value, 1, 30) WHERE rowid = 1")
    database.close()
    again = cache_in(tmp_path)
    assert (known(again, "x"), known(again, "y")) == ({}, {"small": 2})


def test_two_processes_that_start_at_once_use_one_seed(tmp_path):
    assert Folder(tmp_path, 1).seed == Folder(tmp_path, 1).seed
    assert Folder(tmp_path / "other", 1).seed != Folder(tmp_path, 1).seed


def test_without_a_folder_nothing_is_written():
    cache = ResultCache()
    cache.remember(cache.key("x"), {"small": 1})
    assert cache.save() == 0


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "diskcache", None)
    with pytest.raises(MissingExtra, match=r"cascade-inference\[disk\]"):
        ResultCache(folder=tmp_path)


@pytest.mark.slow
def test_a_process_that_really_is_another_one_knows_what_was_saved(tmp_path):
    code = (
        "import numpy as np; from cascade.caching.result_cache import ResultCache; "
        f"cache = ResultCache(folder={str(tmp_path)!r}, ttl_ms=6e5); key = cache.key(np.arange(9.0)); "
        "print(dict(cache.look(key))); cache.remember(key, {'small': 'said'}); cache.save()"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stdout.strip() for run in runs] == ["{}", "{'small': 'said'}"]
