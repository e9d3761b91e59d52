"""Keys of inputs: a seeded hash of all their bytes, with what proves that two inputs of one hash are the same.

Reads inputs and calls the user's key function; no clock, no lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from xxhash import xxh3_128, xxh3_128_digest

from cascade.caching.encoding import Part, encode, is_plain
from cascade.errors import CacheKeyError, ConfigurationError

Token = tuple[bytes, bytes]
"""Hash of the bytes, and the scope with the structure of the input."""

_ARRAY = np.ndarray
_copy = bytearray().join
"""The bytes of arrays. A bytearray made of an array of a single integer would be as long as that says."""
_digest: Callable[[Any, int], bytes] = xxh3_128_digest
SEED_BYTES = 40
_MAX_HEADS = 1024
_DEVICES = ("copy", "refuse")
_PLAIN_KEYS = (str, bytes, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a key belongs to: equal inputs of different scopes have different keys.

    Attributes
    ----------
    namespace : str
        A tenant, say.
    version : str
        Of what happens to an input before the first stage.
    tenant, prefix : bytes
        How every key of the namespace starts, and how every key of the scope does.
    """

    namespace: str
    version: str
    tenant: bytes
    prefix: bytes


def scope_of(namespace: str, version: str) -> Scope:
    """The scope of a namespace and a version.

    Examples
    --------
    >>> scope_of("a", "bc").prefix == scope_of("ab", "c").prefix
    False
    """
    if not isinstance(namespace, str) or not isinstance(version, str):
        raise ConfigurationError(f"expected namespace and version to be str, got {namespace!r} and {version!r}")
    tenant = _with_length(namespace)
    return Scope(namespace, version, tenant, tenant + _with_length(version))


def tenant_of(token: Token) -> bytes:
    """The part of a key that stands for its namespace.

    Examples
    --------
    >>> scope = scope_of("a", "2")
    >>> tenant_of((b"digest", scope.prefix + b"structure")) == scope.tenant
    True
    """
    head = token[1]
    return head[: 4 + int.from_bytes(head[:4], "little")]


class Key:
    """What one input is looked up by.

    Attributes
    ----------
    token : tuple of two bytes
    parts : tuple of Part
        What a stored copy is compared with; empty where the hash alone has to prove it.
    source : object
        The input; None where it cannot change.
    scope : Scope
    epoch, valid_from : int
        Time, counted in invalidations: when the key was made, and since when entries of its namespace are valid.
    vector : ndarray or None
        The input's embedding, once it was asked for.
    """

    __slots__ = ("epoch", "parts", "scope", "source", "token", "valid_from", "vector")

    def __init__(
        self, token: Token, parts: tuple[Part, ...], source: Any, scope: Scope, since: tuple[int, int]
    ) -> None:
        self.token, self.parts, self.source, self.scope = token, parts, source, scope
        self.epoch, self.valid_from = since
        self.vector: Any = None

    def is_same(self, other: Key) -> bool:
        """Whether both are keys of equal inputs, as these are now."""
        if self.token != other.token:
            return False
        mine, others = self.parts, other.parts
        return mine is others or private_parts(mine) == others


class KeyMaker:
    """Makes keys.

    Parameters
    ----------
    seed : bytes
        Secret, `SEED_BYTES` long: keys of different seeds have nothing in common.
    compare_up_to : int
        Inputs of at most this many bytes are compared with a stored copy; larger ones are told apart by a keyed cryptographic
        hash of 256 bits.
    on_device : {"copy", "refuse"}
        Tensors that are not on the CPU.
    function : callable or None
        The user's: input in, a str, bytes, number, None or tuple of these out.
    """

    def __init__(self, seed: bytes, compare_up_to: int, on_device: str, function: Callable[[Any], Any] | None) -> None:
        if len(seed) != SEED_BYTES:
            raise ConfigurationError(f"expected a seed of {SEED_BYTES} bytes, got {len(seed)}")
        if not isinstance(compare_up_to, int) or compare_up_to < 0:
            raise ConfigurationError(f"expected compare_up_to as a number of bytes >= 0, got {compare_up_to!r}")
        if on_device not in _DEVICES:
            raise ConfigurationError(f"expected on_device to be one of {_DEVICES}, got {on_device!r}")
        if function is not None and not callable(function):
            raise ConfigurationError(f"expected key to be a function of an input, or None, got {function!r}")
        self._seed, self._secret = int.from_bytes(seed[:8], "little"), seed[8:]
        self._heads: dict[Any, bytes] = {}
        self._compare_up_to, self._on_device, self._function = compare_up_to, on_device, function

    def key(self, x: Any, scope: Scope, since: tuple[int, int]) -> Key:
        """The key of an input.

        Raises
        ------
        CacheKeyError
            If the input, or what the user's function makes of it, cannot be told from others.
        """
        if self._function is not None:
            return self._users_key(x, scope, since)
        if type(x) is _ARRAY:
            # Known from earlier inputs of this dtype and shape: plain, and small enough to be compared.
            head = self._heads.get((scope.prefix, x.dtype, x.shape))
            if head is not None and x.flags.c_contiguous:
                return Key((_digest(x, self._seed), head), (x,), x, scope, since)
        try:
            encoded = encode(x, self._on_device)
        except (RuntimeError, ValueError, MemoryError) as error:
            if isinstance(error, CacheKeyError):
                raise
            # Changed while it is being read, or no room for a copy of it.
            raise CacheKeyError(f"the bytes of the input cannot be read: {error}") from error
        parts, head = encoded.parts, scope.prefix + encoded.structure
        token, is_compared = self._token(parts, head)
        if type(x) is _ARRAY and is_compared and is_plain(x.dtype):
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            self._heads[scope.prefix, x.dtype, x.shape] = head
        return Key(token, parts if is_compared else (), None if encoded.is_fixed else x, scope, since)

    def keys(self, items: Iterable[Any], scope: Scope, since: tuple[int, int]) -> list[Key | None]:
        """The keys of the rows of one batch; None where there is none."""
        keys: list[Key | None] = []
        seed, heads, prefix = self._seed, self._heads if self._function is None else {}, scope.prefix
        dtype = shape = head = None
        for x in items:
            if type(x) is _ARRAY:
                if x.dtype is not dtype or x.shape != shape:
                    dtype, shape = x.dtype, x.shape
                    head = heads.get((prefix, dtype, shape))
                if head is not None and x.flags.c_contiguous:
                    keys.append(Key((_digest(x, seed), head), (x,), x, scope, since))
                    continue
                dtype = None
            try:
                keys.append(self.key(x, scope, since))
            except CacheKeyError:
                keys.append(None)
        return keys

    def _users_key(self, x: Any, scope: Scope, since: tuple[int, int]) -> Key:
        assert self._function is not None
        try:
            value = self._function(x)
        except Exception as error:
            raise CacheKeyError(f"key= raised {error!r}: mend it, or leave key= out") from error
        if not _is_plain_key(value):
            raise CacheKeyError(
                "expected key= to return a str, bytes, number, None or tuple of these, which nobody can change, "
                f"got {_shown(value)}: return a tuple of numbers, or the bytes"
            )
        encoded = encode(value)
        token, _ = self._token(encoded.parts, scope.prefix + b"u" + encoded.structure)
        return Key(token, encoded.parts, None, scope, since)

    def copied(self, key: Key) -> tuple[Part, ...] | None:
        """Private copies of what the stored input is compared with; None if the input has changed since the key was made."""
        source = key.source
        if source is None:
            return private_parts(key.parts)
        if key.parts and key.parts[0] is source:
            copy = _copy((source,))
            return (copy,) if _digest(copy, self._seed) == key.token[0] else None
        try:
            encoded = encode(source, self._on_device)
        except Exception:  # noqa: BLE001 - changed into something without a key, or while it is being read
            return None
        parts = private_parts(encoded.parts) if key.parts else encoded.parts
        token, is_compared = self._token(parts, key.scope.prefix + encoded.structure)
        if token != key.token:
            return None
        return parts if is_compared else ()

    def is_unchanged(self, key: Key) -> bool:
        """Whether the input is still what the key was made of."""
        return key.source is None or self.copied(key) is not None

    def _token(self, parts: tuple[Part, ...], head: bytes) -> tuple[Token, bool]:
        """The token, and whether the parts are small enough to be compared."""
        if len(parts) == 1:
            part = parts[0]
            n_bytes = part.nbytes if isinstance(part, _ARRAY) else len(part)
            if n_bytes <= self._compare_up_to:
                return (_digest(part, self._seed), head), True
        elif sum(part.nbytes if isinstance(part, _ARRAY) else len(part) for part in parts) <= self._compare_up_to:
            return (_hash_of(parts, xxh3_128(seed=self._seed)), head), True
        return (_hash_of(parts, blake2b(key=self._secret, digest_size=32)), head), False


def private_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Copies that compare with other parts by their bytes, many at a time; bytes, which cannot change, as they are."""
    return tuple([part if type(part) is bytes else _copy((part,)) for part in parts])


def first_equal(keys: Iterable[Key | None]) -> list[int]:
    """For each of the keys of one batch, the place of the first that is the same; its own where there is no key.

    Examples
    --------
    >>> maker = KeyMaker(bytes(40), 1 << 20, "copy", None)
    >>> keys = [maker.key(x, scope_of("", ""), (0, 0)) for x in ("a", "b", "a")]
    >>> first_equal([*keys, None])
    [0, 1, 0, 3]
    """
    firsts: dict[Token, tuple[int, Key]] = {}
    places = []
    for place, key in enumerate(keys):
        if key is None:
            places.append(place)
            continue
        first, known = firsts.setdefault(key.token, (place, key))
        places.append(first if known is key or key.is_same(known) else place)
    return places


def _hash_of(parts: tuple[Part, ...], state: Any) -> bytes:
    for part in parts:
        state.update(part)
    digest: bytes = state.digest()
    return digest


def _with_length(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(4, "little") + data


def _is_plain_key(value: Any) -> bool:
    if type(value) is tuple:
        return all(_is_plain_key(item) for item in value)
    return type(value) in _PLAIN_KEYS or (isinstance(value, np.generic) and not value.dtype.hasobject)


def _shown(value: Any) -> str:
    if type(value) is tuple:
        return "a tuple with " + next(_shown(item) for item in value if not _is_plain_key(item))
    return f"a {type(value).__qualname__}"
