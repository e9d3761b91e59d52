"""Inputs are taken apart so that equal ones, and only these, have the same structure and the same parts."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cascade.caching.encoding import encode, is_tensor
from cascade.errors import CacheKeyError

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.complex_numbers(allow_nan=False)
)
KEYS = st.one_of(st.text(max_size=3), st.integers(-3, 3))
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=6,
)
DTYPES = st.sampled_from(["f4", ">f4", "f2", "f8", "i4", "u1", "i8", "?", "c8", "M8[s]", "M8[ms]", "m8[s]", "U2", "S3"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)


def flat(x):
    """Structure and bytes: what a key is made of."""
    encoded = encode(x)
    return encoded.structure, tuple(b"".join((part,)) for part in encoded.parts)


def shown(x):
    """A text that differs where two inputs differ in type or in any bit."""
    if isinstance(x, np.ndarray):
        return f"array {x.dtype!r} {x.shape} {x.tobytes()!r}"
    if isinstance(x, float):
        return f"float {struct.pack('<d', x)!r}"
    if isinstance(x, complex):
        return f"complex {struct.pack('<dd', x.real, x.imag)!r}"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{shown(key)}: {shown(item)}" for key, item in x.items()) + "}"
    if isinstance(x, (list, tuple)):
        return type(x).__name__ + "(" + ", ".join(map(shown, x)) + ")"
    return f"{type(x).__name__} {x!r}"


@given(st.lists(st.one_of(NESTED, ARRAYS), min_size=2, max_size=8))
def test_inputs_are_the_same_exactly_if_they_agree_in_every_type_and_bit(inputs):
    for one in inputs:
        for other in inputs:
            assert (flat(one) == flat(other)) == (shown(one) == shown(other))


@given(ARRAYS, st.data())
def test_strides_and_order_of_an_array_do_not_count(array, data):
    axes = data.draw(st.permutations(range(array.ndim)))
    moved = np.transpose(np.ascontiguousarray(np.transpose(array, axes)), np.argsort(axes)) if array.ndim else array
    spread = np.repeat(array, 2, axis=0)[::2] if array.ndim else array
    assert flat(array) == flat(np.asfortranarray(array).reshape(array.shape)) == flat(moved) == flat(spread)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (np.float32([0.0]), np.float32([-0.0])),
        (np.uint64([0x7FF8000000000001]).view("f8"), np.uint64([0x7FF8000000000002]).view("f8")),
        (np.zeros(2, "f4"), np.zeros(2, "i4")),
        (np.zeros(2, "f4"), np.zeros(2, ">f4")),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(1), np.zeros(())),
        (np.zeros(()), np.float64(0.0)),
        (np.float64(0.0), 0.0),
        (np.zeros(2, "M8[s]"), np.zeros(2, "i8")),
        (np.zeros(0, "f4"), np.zeros((0, 4), "f4")),
        (np.zeros(1, [("a", "f4"), ("b", "f4")]), np.zeros(1, [("b", "f4"), ("a", "f4")])),
        (True, 1),
        (1, 1.0),
        ("1", b"1"),
        (b"1", bytearray(b"1")),
        (["a", "b"], ["ab"]),
        (("a", ("b",)), (("a",), "b")),
        ((), []),
        ([], {}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([None], []),
        (10**40, -(10**40)),
    ],
)
def test_what_looks_alike_is_told_apart(one, other):
    assert flat(one) != flat(other)


def test_an_array_is_not_copied_where_its_bytes_lie_in_order():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert encode(x).parts[0] is x
    assert np.shares_memory(encode(x.astype("M8[s]")).parts[0], x) is False
    stamps = np.zeros(4, "M8[s]")
    assert np.shares_memory(encode(stamps).parts[0], stamps)


def test_what_holds_only_values_that_nobody_can_change_is_fixed():
    assert encode(("a", 1, (2.0, None))).is_fixed
    assert not encode(("a", ["b"])).is_fixed
    assert not encode({"a": 1}).is_fixed
    assert not encode(bytearray(b"a")).is_fixed
    assert not encode((np.zeros(1),)).is_fixed


class Loud(str):
    """A str that means more than its letters."""

    __slots__ = ()


@pytest.mark.parametrize(
    "x",
    [
        object(),
        {1, 2},
        Loud("a"),
        [object()],
        {"a": {"b": object()}},
        np.array([None, 1], object),
        np.array(["a"], np.dtypes.StringDType()),
        np.zeros(1, [("a", "O")]),
        np.ma.masked_array([1.0, 2.0], [True, False]),
        np.zeros((1, 1)).view(np.recarray),
        memoryview(b"a"),
        range(3),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_cannot_be_told_from_others_by_its_bytes_is_refused_with_advice(x):
    with pytest.raises(CacheKeyError, match="expected .* got .* hand in key="):
        encode(x)


def test_an_input_that_holds_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(CacheKeyError, match="nested at most"):
        encode(endless)


def test_a_file_that_is_mapped_counts_as_an_array(tmp_path):
    np.arange(6, dtype="f4").tofile(tmp_path / "numbers")
    mapped = np.memmap(tmp_path / "numbers", "f4", "r")
    assert flat(mapped) == flat(np.arange(6, dtype="f4"))


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def test_tensors_are_told_by_type_shape_and_every_bit(torch):
    tensors = [
        torch.zeros(4),
        torch.zeros(2, 2),
        torch.zeros(4, dtype=torch.int32),
        torch.zeros(4, dtype=torch.bfloat16),
        torch.zeros(4, dtype=torch.float16),
        torch.zeros(()),
        -torch.zeros(4),
        torch.zeros(4, dtype=torch.complex64),
        np.zeros(4, np.float32),
    ]
    encoded = [flat(x) for x in tensors]
    assert len(set(encoded)) == len(tensors)


def test_views_of_tensors_are_read_as_what_they_say(torch):
    x = torch.arange(6.0).reshape(2, 3)
    assert flat(x.t()) == flat(x.t().contiguous())
    assert flat(x.t()) != flat(x.reshape(3, 2))
    z = torch.tensor([1 + 2j])
    assert flat(z.conj()) == flat(torch.tensor([1 - 2j]))
    assert flat(torch.nn.Parameter(x)) == flat(x)
    assert np.shares_memory(encode(x).parts[0], x.numpy())


def test_tensors_that_are_more_than_their_bytes_are_refused(torch):
    class Marked(torch.Tensor):
        pass

    for x in (torch.zeros(3).to_sparse(), Marked(3), torch.zeros(2, device="meta")):
        with pytest.raises(CacheKeyError, match="expected .* tensor.* got"):
            encode(x)


@pytest.mark.gpu
def test_a_tensor_on_a_device_is_copied_or_refused(torch):
    x = torch.arange(4.0, device="cuda")
    assert encode(x).parts[0].tobytes() == np.arange(4.0, dtype="f4").tobytes()
    assert flat(x) != flat(x.cpu())
    with pytest.raises(CacheKeyError, match="on_device='refuse'"):
        encode(x, "refuse")


def test_a_tensor_on_another_device_is_refused_by_choice(torch):
    with pytest.raises(CacheKeyError, match="on_device='refuse'"):
        encode(torch.zeros(2, device="meta"), "refuse")


def test_arrays_are_no_tensors():
    assert not is_tensor(np.zeros(2))
