"""What the store holds about one input, in private copies, and how many bytes that takes.

Knows no lock and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from sys import getsizeof
from types import MappingProxyType
from typing import Any

import numpy as np

from cascade.caching.encoding import Part, is_tensor
from cascade.caching.keys import Token
from cascade.errors import ConfigurationError

Said = Mapping[str, Any]
"""By source (a stage's fingerprint, say): what it said about one input. Nobody writes into one."""

_ARRAY = np.ndarray
NOTHING: Said = MappingProxyType({})

_serials = count()
_PLAIN = (str, bytes, int, float, complex, bool, type(None), np.generic)
# Bytes beside the contents: objects, what allocators round up to, and the tables of an entry's place, age and order as they grow by
# doubling. Tests hold them against what is allocated.
_PER_ENTRY = 912
_PER_PART = 80
_PER_ARRAY = 144
_PER_TENSOR = 640


class Entry:
    """What was said about one input; never changed once made.

    Parameters
    ----------
    stored : tuple of Part
        The input, to be compared; empty where its hash alone proves it.
    said : mapping
    born_ms : float
        Instant at which the oldest part of it was said.
    epoch : int
        The oldest key that took part in it.

    Attributes
    ----------
    n_bytes : int
        What keeping it takes, its key included.
    serial : int
        No other entry of this process has it.
    """

    __slots__ = ("born_ms", "epoch", "n_bytes", "said", "serial", "stored")

    def __init__(self, token: Token, stored: tuple[Part, ...], said: Said, *, born_ms: float, epoch: int) -> None:
        self.stored, self.said, self.born_ms, self.epoch = stored, said, born_ms, epoch
        n_bytes = _PER_ENTRY + len(token[0]) + len(token[1])
        for part in stored:
            n_bytes += len(part) + _PER_PART
        # Names of sources are interned, and so held once for all entries.
        for value in said.values():
            n_bytes += value.nbytes + _PER_ARRAY if type(value) is _ARRAY else held_bytes(value)
        self.n_bytes = n_bytes
        self.serial = next(_serials)

    def joined(self, token: Token, said: Said) -> Entry:
        """The same with what else was said, after what is known already, which stays; and the whole stays as old as its oldest part."""
        return Entry(token, self.stored, {**self.said, **said, **self.said}, born_ms=self.born_ms, epoch=self.epoch)


def private(value: Any) -> Any:
    """A copy of what a stage said that shares no memory with it; arrays are read-only.

    Parameters
    ----------
    value : object
        An array of numbers, a tensor, str, bytes, a number or None; or tuples, lists and dicts of these.

    Raises
    ------
    ConfigurationError
        If it is anything else.
    """
    kind = type(value)
    if kind is _ARRAY and not value.dtype.hasobject:
        copy = value.copy()
        copy.setflags(write=False)
        return copy
    if kind is tuple or kind is list:
        return kind(map(private, value))
    if kind is dict:
        return {key: private(item) for key, item in value.items()}
    if isinstance(value, _PLAIN):
        return value
    if is_tensor(value):
        return value.detach().clone()
    raise ConfigurationError(
        "expected what a stage said as arrays of numbers, tensors, str, bytes, numbers, or tuples, lists and dicts of these, "
        f"got a {kind.__module__}.{kind.__qualname__}: hand in the encoded row instead"
    )


def copied(value: Any) -> Any:
    """A copy of what the store holds that whoever gets it may write into."""
    kind = type(value)
    if kind is _ARRAY:
        return value.copy()
    if kind is tuple or kind is list:
        return kind(map(copied, value))
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}
    return value.clone() if is_tensor(value) else value


def can_be_held(value: Any) -> bool:
    """Whether `private` can copy a value."""
    kind = type(value)
    if kind is tuple or kind is list:
        return all(map(can_be_held, value))
    if kind is dict:
        return all(can_be_held(item) for item in value.values())
    return (kind is _ARRAY and not value.dtype.hasobject) or isinstance(value, _PLAIN) or is_tensor(value)


def held_bytes(value: Any) -> int:
    """Bytes that keeping a private copy takes.

    Examples
    --------
    >>> 4000 <= held_bytes(np.zeros(1000, np.float32)) <= 4200
    True
    """
    kind = type(value)
    if kind is _ARRAY:
        n_bytes: int = value.nbytes
        return n_bytes + _PER_ARRAY
    if kind is tuple or kind is list:
        return getsizeof(value) + _PER_PART + sum(map(held_bytes, value))
    if kind is dict:
        return getsizeof(value) + _PER_PART + sum(held_bytes(key) + held_bytes(item) for key, item in value.items())
    if is_tensor(value):
        return int(value.element_size() * value.nelement()) + _PER_TENSOR
    return getsizeof(value) + _PER_PART
