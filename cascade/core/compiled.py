"""How a function becomes a compiled kernel.

Compiled code is cached on disk where a cache directory can be written, and compiled afresh in memory where none can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """The function compiled by numba, cached on disk if a cache directory is writable; other threads run meanwhile."""
    return _compiled(function, nogil=True)


def compiled_brief(function: _F) -> _F:
    """The same for what takes microseconds: it keeps the interpreter's lock.

    To let go of the lock costs little, to get it back from a thread that took it up to a switch interval, 5 ms by default.
    """
    return _compiled(function, nogil=False)


def _compiled(function: _F, *, nogil: bool) -> _F:
    try:
        return cast("_F", numba.njit(cache=True, nogil=nogil)(function))
    except RuntimeError:
        # numba raises when neither __pycache__ nor the user's cache directory can be written.
        return cast("_F", numba.njit(nogil=nogil)(function))
