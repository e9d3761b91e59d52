"""Counts are never too low while nothing is forgotten, and are halved in the long run."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cascade.caching.frequency import Frequencies


@given(st.lists(st.integers(0, 30), max_size=200))
def test_a_count_is_never_too_low(names):
    asked = Frequencies(64)
    for name in names:
        asked.note(name)
    assert all(asked.of(name) >= min(names.count(name), 15) for name in range(31))


def test_counts_of_few_keys_are_nearly_exact():
    asked = Frequencies(4096)
    names = np.random.default_rng(0).integers(0, 500, 4000).tolist()
    for name in names:
        asked.note(f"key {name}")
    wrong = sum(asked.of(f"key {name}") != min(names.count(name), 15) for name in range(500))
    assert wrong <= 25


def test_what_is_asked_for_no_more_is_forgotten():
    asked = Frequencies(1)
    for _ in range(20):
        asked.note("old")
    assert asked.of("old") == 15
    for i in range(20_000):
        asked.note(i % 7)
    assert asked.of("old") <= 15
    assert asked.of("old") < asked.of(3)
