"""Keys tell inputs apart, belong to a scope, and notice when an input was changed."""

import numpy as np
import pytest

from cascade.caching import keys as keys_module
from cascade.caching.keys import SEED_BYTES, KeyMaker, first_equal, private_parts, scope_of
from cascade.errors import CacheKeyError, ConfigurationError

SEED = bytes(range(SEED_BYTES))
SCOPE = scope_of("", "")
START = (0, 0)


def maker(compare_up_to=1 << 20, function=None, seed=SEED):
    return KeyMaker(seed, compare_up_to, "copy", function)


def key(x, scope=SCOPE, **settings):
    return maker(**settings).key(x, scope, START)


def test_equal_inputs_have_the_same_key_and_others_another():
    x = np.arange(6, dtype="f4")
    assert key(x).is_same(key(x.copy()))
    assert not key(x).is_same(key(x + 1))


def test_the_short_way_for_arrays_of_a_known_shape_makes_the_same_keys():
    one, x = maker(), np.arange(6, dtype="f4").reshape(2, 3)
    first, second = one.key(x, SCOPE, START), one.key(x, SCOPE, START)
    turned = one.key(np.asfortranarray(x), SCOPE, START)
    assert first.token == second.token == turned.token
    assert one.key(x.reshape(3, 2), SCOPE, START).token != first.token
    assert one.key(x.view("i4"), SCOPE, START).token != first.token


def test_keys_of_other_namespaces_versions_and_seeds_differ():
    tokens = {
        key("x").token,
        key("x", scope_of("a", "")).token,
        key("x", scope_of("", "a")).token,
        key("x", scope_of("b", "")).token,
        key("x", scope_of("a", "b")).token,
        key("x", scope_of("ab", "")).token,
        key("x", seed=bytes(SEED_BYTES)).token,
    }
    assert len(tokens) == 7


def test_larger_inputs_are_told_apart_by_a_secret_hash_and_not_kept():
    x = np.arange(1000, dtype="f4")
    small, large = key(x), key(x, compare_up_to=3999)
    assert (len(small.token[0]), len(small.parts)) == (16, 1)
    assert (len(large.token[0]), large.parts) == (32, ())
    assert maker(compare_up_to=3999).copied(large) == ()
    x[500] = -1
    assert maker(compare_up_to=3999).copied(large) is None
    assert key(x, compare_up_to=3999).token != large.token
    others = bytes(8) + bytes([1] * 32), bytes(8) + bytes([2] * 32)
    assert key(x, compare_up_to=0, seed=others[0]).token != key(x, compare_up_to=0, seed=others[1]).token


@pytest.mark.parametrize("compare_up_to", [0, 1 << 20])
def test_the_hash_knows_where_a_part_ends(compare_up_to):
    one, other = key(("ab", "c"), compare_up_to=compare_up_to), key(("a", "bc"), compare_up_to=compare_up_to)
    assert one.token != other.token


def test_the_short_way_is_not_taken_beyond_the_limit():
    one, x = maker(compare_up_to=100), np.zeros(1000)
    assert one.key(x, SCOPE, START).parts == one.key(x, SCOPE, START).parts == ()


def test_inputs_of_equal_hash_are_not_the_same(monkeypatch):
    monkeypatch.setattr(keys_module, "_digest", lambda part, seed: bytes(16))
    one, other = key(np.zeros(3)), key(np.ones(3))
    assert one.token == other.token
    assert not one.is_same(other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: (x := np.zeros(4), x),
        lambda: (x := np.zeros((4, 4)), x[:, ::2]),
        lambda: (x := np.zeros(4), {"a": x, "b": 1}),
        lambda: (x := np.zeros(4), ["a", (x,)]),
        lambda: (x := np.zeros(4, "M8[s]"), x),
    ],
    ids=["array", "view", "dict", "list", "instants"],
)
@pytest.mark.parametrize("compare_up_to", [0, 1 << 20])
def test_a_change_after_the_key_was_made_is_noticed(make, compare_up_to):
    memory, x = make()
    one = maker(compare_up_to)
    for _ in range(2):
        made = one.key(x, SCOPE, START)
        assert one.is_unchanged(made)
        memory[..., 0] += 1
        assert not one.is_unchanged(made)
        assert one.copied(made) is None


def test_a_container_that_was_changed_beyond_keys_has_changed():
    x = ["a"]
    made = key(x)
    x.append(object())
    assert maker().copied(made) is None


def test_copies_do_not_follow_the_input():
    x = np.zeros(4)
    one = maker()
    made = one.key(x, SCOPE, START)
    kept = one.copied(made)
    x[0] = 7
    assert kept == (bytearray(32),)
    assert kept != made.parts


def test_the_users_key_decides_which_inputs_are_the_same():
    by_name = {"function": lambda x: x["name"]}
    assert key({"name": "a", "at": 1}, **by_name).is_same(key({"name": "a", "at": 2}, **by_name))
    assert not key({"name": "a"}, **by_name).is_same(key({"name": "b"}, **by_name))
    assert key({"name": "a"}, **by_name).token != key("a").token


@pytest.mark.parametrize(
    ("returned", "shown"),
    [
        ([1], "got a list"),
        (np.zeros(2), "got a ndarray"),
        ({"a": 1}, "got a dict"),
        (("a", [1]), "got a tuple with a list"),
        (bytearray(b"a"), "got a bytearray"),
        (object(), "got a object"),
    ],
)
def test_a_users_key_that_can_be_changed_is_refused(returned, shown):
    with pytest.raises(CacheKeyError, match=f"expected key= to return .* {shown}"):
        key("x", function=lambda x: returned)


def test_a_users_key_that_fails_says_why():
    with pytest.raises(CacheKeyError, match="key= raised ZeroDivisionError") as caught:
        key("x", function=lambda x: 1 / 0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("returned", ["a", b"a", 1, 1.5, True, None, ("a", (1, None)), np.int64(3)])
def test_values_that_nobody_can_change_are_keys(returned):
    assert key("x", function=lambda x: returned).is_same(key("y", function=lambda x: returned))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compare_up_to": -1}, "compare_up_to"),
        ({"compare_up_to": 1.5}, "compare_up_to"),
        ({"function": "name"}, "expected key to be a function"),
        ({"seed": b"short"}, "seed"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        maker(**settings)
    with pytest.raises(ConfigurationError, match="on_device"):
        KeyMaker(SEED, 0, "maybe", None)


def test_a_namespace_is_a_text():
    with pytest.raises(ConfigurationError, match="expected namespace and version to be str, got 3"):
        scope_of(3, "")


def test_many_shapes_are_not_remembered_for_ever():
    one = maker()
    for n in range(3000):
        one.key(np.zeros(n, "u1"), SCOPE, START)
    assert len(one._heads) <= 1024


def test_duplicates_in_a_batch_point_at_the_first_of_them(monkeypatch):
    rows = [np.zeros(2), np.ones(2), np.zeros(2), np.ones(2)]
    assert first_equal([key(row) for row in rows]) == [0, 1, 0, 1]
    monkeypatch.setattr(keys_module, "_digest", lambda part, seed: bytes(16))
    assert first_equal([key(row) for row in rows[:3]]) == [0, 1, 0]


@pytest.mark.parametrize("x", [np.array(5), np.array(5, "u1"), np.array([3]), np.zeros(0, "i8")], ids=repr)
def test_copies_of_small_arrays_of_integers_are_their_bytes(x):
    one = maker()
    for _ in range(2):
        made = one.key(x, SCOPE, START)
        assert bytes(one.copied(made)[0]) == x.tobytes()
        assert one.copied(made) == made.parts


def test_bytes_are_not_copied():
    text = b"a question"
    assert private_parts((text,))[0] is text


def test_the_keys_of_rows_are_those_of_the_rows_alone():
    rows = [
        *np.arange(6.0, dtype="f4").reshape(3, 2),
        np.arange(2),
        np.arange(4.0)[::2],
        "a",
        [1, 2],
        np.ones((2, 2)),
        np.arange(2),
    ]
    scope = scope_of("", "")
    for prepare in (lambda maker: None, lambda maker: [maker.key(row, scope, (0, 0)) for row in rows]):
        maker = KeyMaker(bytes(SEED_BYTES), 1 << 20, "copy", None)
        # Whether dtypes and shapes have been met before.
        prepare(maker)
        keys = maker.keys(rows, scope, (3, 1))
        for row, key in zip(rows, keys, strict=True):
            assert key.is_same(maker.key(row, scope, (3, 1)))
            assert (key.epoch, key.valid_from) == (3, 1)
            assert maker.is_unchanged(key)


def test_rows_without_a_key_have_none():
    maker = KeyMaker(bytes(SEED_BYTES), 1 << 20, "copy", None)
    keys = maker.keys([object(), np.arange(2), np.array([None])], scope_of("", ""), (0, 0))
    assert [key is None for key in keys] == [True, False, True]
    by_user = KeyMaker(bytes(SEED_BYTES), 1 << 20, "copy", lambda x: int(x[0]) // 10)
    first, second, third = by_user.keys([np.array([11]), np.array([12]), np.array([21])], scope_of("", ""), (0, 0))
    assert first.is_same(second)
    assert not first.is_same(third)
