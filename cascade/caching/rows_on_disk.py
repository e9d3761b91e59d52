"""An entry as bytes and back, without pickle: a JSON text of its structure, then its arrays as they lie in memory.

Pure.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from xxhash import xxh3_128_digest

from cascade.caching.encoding import Part, is_plain
from cascade.caching.keys import Token

_FORMAT = 1
_CHECK_BYTES = 16
_JSON_TYPES = (str, int, float, bool, type(None))


class Row(NamedTuple):
    """An entry, as it is written down.

    Attributes
    ----------
    token : tuple of two bytes
    stored : tuple of bytearray
    said : dict
    born_at_ms : float
        By the calendar: milliseconds since 1970.
    generation : tuple of two int
        How often everything, and how often its namespace, had been declared void when it was found out.
    """

    token: Token
    stored: tuple[Part, ...]
    said: dict[str, Any]
    born_at_ms: float
    generation: tuple[int, int]


def packed(row: Row) -> bytes | None:
    """The row as bytes; None where nothing that was said can be written down.

    Examples
    --------
    >>> row = Row((b"digest", b"head"), (bytearray(b"x"),), {"small": np.array([0.25, 0.75])}, 5.0, (0, 0))
    >>> unpacked(packed(row)).said["small"].tolist()
    [0.25, 0.75]
    """
    blobs: list[bytes] = []
    described = {}
    for source, value in row.said.items():
        own: list[bytes] = []
        described_value = _describe(value, own)
        if described_value is not None:
            described[source] = described_value
            blobs += own
    if not described:
        return None
    digest, head = row.token
    header = {
        "format": _FORMAT,
        "token": [digest.hex(), head.hex()],
        "stored": [len(part) for part in row.stored],
        "said": described,
        "born_at_ms": row.born_at_ms,
        "generation": row.generation,
    }
    text = json.dumps(header).encode()
    body = b"".join([len(text).to_bytes(8, "little"), text, *(bytes(part) for part in row.stored), *blobs])
    return xxh3_128_digest(body) + body


def unpacked(data: Any) -> Row | None:
    """The row that these bytes are of; None if they are damaged or of another format."""
    if type(data) is not bytes or xxh3_128_digest(data[_CHECK_BYTES:]) != data[:_CHECK_BYTES]:
        return None
    start = _CHECK_BYTES + 8
    reader = _Reader(data, start + int.from_bytes(data[_CHECK_BYTES:start], "little"))
    header = json.loads(data[start : reader.at])
    if header["format"] != _FORMAT:
        return None
    stored = tuple([bytearray(reader.take(n)) for n in header["stored"]])
    said = {source: reader.value(described) for source, described in header["said"].items()}
    digest, head = map(bytes.fromhex, header["token"])
    all_of, tenant = header["generation"]
    return Row((digest, head), stored, said, header["born_at_ms"], (all_of, tenant))


def _describe(value: Any, blobs: list[bytes]) -> Any:
    """What a value is, for `_Reader.value`; its bytes are appended. None where it cannot be written down."""
    kind = type(value)
    if kind in _JSON_TYPES:
        return ["json", value]
    if kind is bytes:
        blobs.append(value)
        return ["bytes", len(value)]
    if kind is np.ndarray and is_plain(value.dtype):
        blobs.append(value.tobytes())
        return ["array", value.dtype.str, value.shape]
    if kind is tuple or kind is list:
        items = [_describe(item, blobs) for item in value]
    elif kind is dict and all(type(key) is str for key in value):
        items = [_describe(item, blobs) for item in value.values()]
    else:
        return None
    if None in items:
        return None
    return [kind.__name__, items] if kind is not dict else ["dict", items, [*value]]


class _Reader:
    __slots__ = ("_data", "at")

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def take(self, n_bytes: int) -> bytes:
        start, self.at = self.at, self.at + n_bytes
        return self._data[start : self.at]

    def value(self, described: Any) -> Any:
        match described:
            case ["json", value]:
                return value
            case ["bytes", n_bytes]:
                return self.take(n_bytes)
            case ["array", dtype, shape]:
                kind = np.dtype(dtype)
                n_bytes = kind.itemsize * int(np.prod(shape, dtype=np.int64))
                array = np.frombuffer(self.take(n_bytes), kind).reshape(shape).copy()
                array.setflags(write=False)
                return array
            case ["dict", items, names]:
                return dict(zip(names, map(self.value, items), strict=True))
            case [name, items]:
                return {"tuple": tuple, "list": list}[name](map(self.value, items))
        raise AssertionError(described)
