"""What an input is made of: the text of its structure, and the bytes of its parts. Equal exactly for equal inputs.

Reads inputs and changes nothing. Torch is found among the modules that are loaded already, never imported.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cascade.errors import CacheKeyError

Part = Any
"""Something with contiguous bytes: bytes, a bytearray, or a C-contiguous array of plain numbers."""

_DEEPEST = 32
_PLAIN_KINDS = "biufcUS"
"""Kinds of dtype whose arrays hand out their bytes as they are."""
_ADVICE = "hand in key=, a function from an input to a str, bytes, number or tuple of these"


class Encoded(NamedTuple):
    """An input taken apart.

    Attributes
    ----------
    structure : bytes
        Types, dtypes, shapes and lengths; says where each part ends.
    parts : tuple of Part
        Views of the input where that can be.
    is_fixed : bool
        Whether nothing in the input can be changed by whoever holds it.
    """

    structure: bytes
    parts: tuple[Part, ...]
    is_fixed: bool


def encode(x: Any, on_device: str = "copy") -> Encoded:
    """The structure and the parts of an input.

    Parameters
    ----------
    x : object
        An array of any dtype but object, strides and order; a strided torch tensor; str, bytes, bytearray, int, float, complex,
        bool, None, a NumPy scalar; or tuples, lists and dicts of these.
    on_device : {"copy", "refuse"}
        Whether tensors that are not on the CPU are copied there, or refused.

    Raises
    ------
    CacheKeyError
        If a part of the input cannot be told from another one by its bytes.

    Notes
    -----
    Two inputs have the same structure and the same parts only if they are equal bit by bit and of the same types: 0.0 and -0.0
    differ, as do NaNs of different payload, 1 and 1.0, a tuple and a list, and dicts of different order. The order in memory of
    an array does not count: it is read in C order.

    Examples
    --------
    >>> encode(0.0) == encode(-0.0)
    False
    >>> encode(np.arange(6).reshape(2, 3).T).parts[0].tolist() == np.arange(6).reshape(2, 3).T.tolist()
    True
    """
    encoder = _Encoder(on_device)
    encoder.add(x, 0)
    return Encoded(b"".join(encoder.structure), tuple(encoder.parts), encoder.is_fixed)


def array_structure(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The structure of an array."""
    text = repr(dtype).encode()
    return b"a%d:%b%b" % (len(text), text, repr(shape).encode())


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether a C-contiguous array of this dtype hands out its bytes as they are."""
    return dtype.kind in _PLAIN_KINDS and type(dtype).__module__.startswith("numpy")


class _Encoder:
    __slots__ = ("_on_device", "is_fixed", "parts", "structure")

    def __init__(self, on_device: str) -> None:
        self.structure: list[bytes] = []
        self.parts: list[Part] = []
        self.is_fixed = True
        self._on_device = on_device

    def add(self, x: Any, depth: int) -> None:
        if depth > _DEEPEST:
            raise CacheKeyError(f"expected an input nested at most {_DEEPEST} deep, got one that is deeper: {_ADVICE}")
        kind = type(x)
        add = _BY_TYPE.get(kind)
        if add is not None:
            add(self, x)
        elif kind is tuple or kind is list:
            self.is_fixed &= kind is tuple
            self.structure.append(b"%b%d:" % (b"t" if kind is tuple else b"l", len(x)))
            for item in x:
                self.add(item, depth + 1)
        elif kind is dict:
            self.is_fixed = False
            self.structure.append(b"d%d:" % len(x))
            for key, item in x.items():
                self.add(key, depth + 1)
                self.add(item, depth + 1)
        elif isinstance(x, (np.ndarray, np.generic)):
            self._add_numpy(x)
        elif is_tensor(x):
            self.is_fixed = False
            self._add_tensor(x)
        else:
            raise CacheKeyError(
                "expected arrays, tensors, str, bytes, numbers, None, or tuples, lists and dicts of these, "
                f"got a {kind.__module__}.{kind.__qualname__}: {_ADVICE}"
            )

    def _add_numpy(self, x: Any) -> None:
        kind, dtype = type(x), x.dtype
        if dtype.hasobject:
            raise CacheKeyError(
                f"expected arrays whose bytes are their values, got one of dtype {dtype}, which holds references: "
                f"convert it to numbers or to a list, or {_ADVICE}"
            )
        if isinstance(x, np.generic):
            self.structure.append(b"g" + array_structure(dtype, ()))
            self.parts.append(x.tobytes())
            return
        if kind is not np.ndarray and kind is not np.memmap:
            raise CacheKeyError(
                f"expected plain NumPy arrays, got a {kind.__module__}.{kind.__qualname__}, which may say more than its bytes do: "
                f"convert it with numpy.asarray, or {_ADVICE}"
            )
        self.is_fixed = False
        self.structure.append(array_structure(dtype, x.shape))
        self.parts.append(_bytes_of(x))

    def _add_tensor(self, x: Any) -> None:
        torch = sys.modules["torch"]
        if type(x) not in (torch.Tensor, torch.nn.Parameter) or x.layout != torch.strided or x.is_quantized:
            raise CacheKeyError(
                f"expected plain, strided tensors, got a {type(x).__qualname__} of layout {x.layout}: "
                f"convert it with .to_dense() or .as_subclass(torch.Tensor), or {_ADVICE}"
            )
        device = x.device.type
        if device != "cpu" and self._on_device == "refuse":
            raise CacheKeyError(
                f"expected tensors on the CPU, since on_device='refuse', got one on {x.device}: "
                f"move it with .cpu(), allow on_device='copy', or {_ADVICE}"
            )
        text = f"{device} {x.dtype} {tuple(x.shape)}".encode()
        self.structure.append(b"p%d:%b" % (len(text), text))
        try:
            flat = x.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
            self.parts.append(flat.view(torch.uint8).numpy())
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise CacheKeyError(
                f"expected a tensor whose bytes can be read, got one on {x.device} of dtype {x.dtype}: {_ADVICE}"
            ) from error

    def _add_text(self, x: str) -> None:
        self._add_bytes(x.encode("utf-8", "surrogatepass"), b"s")

    def _add_bytes(self, x: bytes, tag: bytes = b"b") -> None:
        self.structure.append(b"%b%d:" % (tag, len(x)))
        self.parts.append(x)

    def _add_bytearray(self, x: bytearray) -> None:
        self.is_fixed = False
        self._add_bytes(bytes(x), b"B")

    def _add_int(self, x: int) -> None:
        self._add_bytes(x.to_bytes((x.bit_length() + 8) // 8, "little", signed=True), b"i")

    def _add_float(self, x: float) -> None:
        self._add_bytes(struct.pack("<d", x), b"f")

    def _add_complex(self, x: complex) -> None:
        self._add_bytes(struct.pack("<dd", x.real, x.imag), b"c")

    def _add_bool(self, x: bool) -> None:
        self.structure.append(b"T" if x else b"F")

    def _add_none(self, x: None) -> None:  # noqa: ARG002 - one of a table of functions
        self.structure.append(b"N")


# By exact type: a subclass may mean more than its value.
_BY_TYPE: dict[type, Callable[[_Encoder, Any], None]] = {
    str: _Encoder._add_text,
    bytes: _Encoder._add_bytes,
    bytearray: _Encoder._add_bytearray,
    int: _Encoder._add_int,
    float: _Encoder._add_float,
    complex: _Encoder._add_complex,
    bool: _Encoder._add_bool,
    type(None): _Encoder._add_none,
}


def is_tensor(x: Any) -> bool:
    """Whether this is a torch tensor; torch is loaded wherever there is one."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _bytes_of(x: Any) -> Part:
    """A C-contiguous array of the same bytes, flat where NumPy would not hand out those of its dtype."""
    contiguous = x if x.flags.c_contiguous else np.ascontiguousarray(x).reshape(x.shape)
    if type(x) is np.ndarray and is_plain(x.dtype):
        return contiguous
    return contiguous.reshape(-1).view(np.ndarray).view(np.uint8) if x.dtype.itemsize else b""
