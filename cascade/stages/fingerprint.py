"""A hash of what a function is, the same in every process that defines it the same way.

Sees the function's module, name, bytecode, constants, defaults and closure, as far as these are plain values, arrays or
functions. What a function reads from elsewhere (a global, an object, a file) is not seen: say ``version=`` there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))


def digest(*parts: bytes | str) -> str:
    """Hash of the parts, each with its length, as 32 hexadecimal digits.

    Examples
    --------
    >>> digest("ab", "c") == digest("a", "bc")
    False
    """
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def function_fingerprint(function: Callable[..., Any]) -> str:
    """Hash of a callable: a function, a method, a `functools.partial` or an object with ``__call__``.

    Parameters
    ----------
    function : callable

    Returns
    -------
    str
        32 hexadecimal digits; equal in another process for the same definition and the same Python version.

    Examples
    --------
    >>> function_fingerprint(lambda batch: batch + 1) == function_fingerprint(lambda batch: batch + 2)
    False
    """
    return digest(*_parts(function, frozenset()))


def preparation_version(prepare: Callable[[Any], Any] | None, name: str | None, checked: str) -> str:
    """Hash of all that happens to an input before the first stage.

    Parameters
    ----------
    prepare : callable or None
    name : str or None
        What to call it, instead of looking into its code.
    checked : str
        What is checked afterwards.

    Examples
    --------
    >>> preparation_version(None, None, "") == preparation_version(abs, None, "")
    False
    >>> preparation_version(abs, "1", "") == preparation_version(abs, "2", "")
    False
    """
    if prepare is None:
        return digest("", checked)
    return digest(function_fingerprint(prepare) if name is None else f"named {name}", checked)


def _parts(value: Any, seen: frozenset[int]) -> Iterator[bytes | str]:
    """What identifies a value; ``seen`` holds the ids on the way to it, since a recursive function closes over itself."""
    if isinstance(value, _PLAIN):
        yield from (type(value).__name__, repr(value))
        return
    if id(value) in seen:
        yield "<recursive>"
        return
    seen |= {id(value)}
    if isinstance(value, np.ndarray) and value.dtype != object:
        yield from ("array", str(value.dtype), str(value.shape), np.ascontiguousarray(value).tobytes())
    elif isinstance(value, np.generic):
        yield from (type(value).__name__, repr(value))
    elif isinstance(value, CodeType):
        yield from ("code", value.co_code, " ".join((*value.co_names, *value.co_varnames)))
        yield from _parts(value.co_consts, seen)
    elif isinstance(value, (list, tuple)):
        yield from (type(value).__name__, str(len(value)))
        for item in value:
            yield from _parts(item, seen)
    elif isinstance(value, (set, frozenset)):
        yield from (type(value).__name__, *sorted(digest(*_parts(item, seen)) for item in value))
    elif isinstance(value, dict):
        yield from ("dict", str(len(value)))
        for key, item in value.items():
            yield from _parts(key, seen)
            yield from _parts(item, seen)
    else:
        yield from _callable_parts(value, seen)


def _callable_parts(value: Any, seen: frozenset[int]) -> Iterator[bytes | str]:
    if isinstance(value, FunctionType):
        yield from (str(value.__module__), value.__qualname__)
        cells = tuple(_cell_contents(cell) for cell in value.__closure__ or ())
        for part in (value.__code__, value.__defaults__, value.__kwdefaults__, cells):
            yield from _parts(part, seen)
    elif isinstance(value, MethodType):
        yield from _parts(value.__func__, seen)
        yield from _parts(value.__self__, seen)
    elif isinstance(value, partial):
        yield "partial"
        yield from _parts((value.func, value.args, value.keywords), seen)
    elif isinstance(value, type) or not callable(value):
        yield _qualified_name(value if isinstance(value, type) else type(value))
    elif hasattr(value, "__qualname__"):
        yield _qualified_name(value)
    else:
        yield _qualified_name(type(value))
        # NumPy 1 gives its ufuncs a name and no qualified name.
        yield str(getattr(value, "__name__", ""))
        yield from _parts(getattr(type(value).__call__, "__code__", None), seen)
        yield from _parts(getattr(value, "__dict__", None), seen)


def _cell_contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return "<empty>"


def _qualified_name(value: Any) -> str:
    return f"{getattr(value, '__module__', None)}.{value.__qualname__}"
