"""A row that is written down comes back as it was, or not at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cascade.caching.rows_on_disk import Row, packed, unpacked

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(max_size=20),
    hnp.arrays(st.sampled_from(["f4", ">f8", "i2", "?", "U3"]), hnp.array_shapes(min_dims=0, max_dims=2, min_side=0)),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner), st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=5,
)


INPUT = (bytearray(b"input"),)


def row_of(said, stored=INPUT):
    return Row((b"\x00\xffdigest", b"\x00head"), stored, said, 12.5, (1, 2))


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return [*one] == [*other] and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@given(st.dictionaries(st.text(max_size=3), VALUES, min_size=1, max_size=3), st.lists(st.binary(max_size=30)))
def test_a_row_comes_back_as_it_was(said, parts):
    row = row_of(said, tuple(map(bytearray, parts)))
    again = unpacked(packed(row))
    assert again[:2] + again[3:] == row[:2] + row[3:]
    assert same(again.said, row.said)


def test_arrays_come_back_read_only_and_stored_parts_compare_with_arrays():
    x = np.arange(3.0)
    again = unpacked(packed(row_of({"small": x}, (bytearray(x.tobytes()),))))
    assert again.stored == (x,)
    with pytest.raises(ValueError, match="read-only"):
        again.said["small"][0] = 1


def test_what_cannot_be_written_down_is_left_out_and_the_rest_kept():
    again = unpacked(packed(row_of({"carry": [np.zeros(3), object()], "small": np.ones(2), "odd": {1: 2}})))
    assert list(again.said) == ["small"]
    assert again.said["small"].tolist() == [1, 1]
    assert packed(row_of({"carry": object()})) is None


@given(st.data())
def test_damage_anywhere_is_noticed(data):
    whole = packed(row_of({"small": np.arange(4.0)}))
    at, flip = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    assert unpacked(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]) is None
    assert unpacked(whole[:at]) is None


@pytest.mark.parametrize("data", [None, 3, "text", b""])
def test_what_is_no_row_is_not_read(data):
    assert unpacked(data) is None


def test_rows_of_another_format_are_not_read(monkeypatch):
    whole = packed(row_of({"small": 1}))
    monkeypatch.setattr("cascade.caching.rows_on_disk._FORMAT", 2)
    assert unpacked(whole) is None
