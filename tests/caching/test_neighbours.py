"""An index finds the nearest of what is in it, and nothing that was removed."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.caching.neighbours import MOST_EXACT, ApproximateIndex, ExactIndex, check_room, index_for
from cascade.core.directions import unit_vectors
from cascade.errors import MissingExtra


def token(number):
    return bytes([number % 256, number // 256]), b""


def nearest(index, direction):
    return index.nearest(direction, index.candidate(direction))


@given(st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 40)), max_size=80), st.integers(0, 99))
def test_the_exact_index_finds_the_nearest_of_what_is_there(steps, seed):
    rng = np.random.default_rng(seed)
    vectors = unit_vectors(rng.normal(size=(41, 3)))
    index, there = ExactIndex(3), set()
    for step, number in steps:
        if step == "add" and number not in there:
            index.add(token(number), vectors[number])
            there.add(number)
        elif step == "remove" and number in there:
            index.remove(token(number))
            there.discard(number)
    asked = unit_vectors(rng.normal(size=3))
    assert len(index) == len(there)
    if not there:
        assert nearest(index, asked) is None
        return
    best = max(there, key=lambda number: float(vectors[number] @ asked))
    found, similarity = nearest(index, asked)
    assert found == token(best)
    assert similarity == pytest.approx(float(vectors[best] @ asked), abs=1e-6)


def test_a_place_that_was_taken_by_another_one_meanwhile_is_looked_at_anew():
    index = ExactIndex(2)
    index.add(token(0), unit_vectors([1.0, 0.0]))
    asked = unit_vectors([1.0, 0.0])
    candidate = index.candidate(asked)
    index.remove(token(0))
    assert index.nearest(asked, candidate) is None
    index.add(token(1), unit_vectors([0.0, 1.0]))
    assert index.nearest(asked, candidate) == (token(1), 0.0)


def test_the_approximate_index_finds_most_of_the_nearest_and_nothing_that_was_removed():
    pytest.importorskip("hnswlib")
    rng = np.random.default_rng(0)
    vectors = unit_vectors(rng.normal(size=(3000, 16)))
    index = ApproximateIndex(16)
    assert nearest(index, vectors[0]) is None
    for number in range(3000):
        index.add(token(number), vectors[number])
    for number in range(0, 3000, 2):
        index.remove(token(number))
    for number in range(0, 1000, 2):
        index.add(token(number), vectors[number])
    there = np.array([number for number in range(3000) if number % 2 or number < 1000])
    assert len(index) == len(there)
    asked = unit_vectors(rng.normal(size=(200, 16)))
    best = there[(asked @ vectors[there].T).argmax(axis=1)]
    found = [nearest(index, one) for one in asked]
    assert sum(name == token(number) for (name, _), number in zip(found, best, strict=True)) >= 180
    for (name, similarity), one in zip(found, asked, strict=True):
        number = name[0][0] + 256 * name[0][1]
        assert number in there
        assert similarity == pytest.approx(float(vectors[number] @ one), abs=1e-5)
    assert index.n_bytes >= 3000 * 16 * 4


def test_few_entries_are_searched_exactly_and_more_need_an_extra(monkeypatch):
    assert type(index_for(4, MOST_EXACT)) is ExactIndex
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    check_room(MOST_EXACT)
    with pytest.raises(MissingExtra, match=r"cascade-inference\[neighbours\]"):
        check_room(MOST_EXACT + 1)
