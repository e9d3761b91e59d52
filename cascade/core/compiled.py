"""How a function becomes a compiled kernel.

Compiled code is cached on disk where a cache directory can be written, and compiled afresh in memory where none can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """The function compiled by numba, cached on disk if a cache directory is writable."""
    try:
        return cast("_F", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        # numba raises when neither __pycache__ nor the user's cache directory can be written.
        return cast("_F", numba.njit(nogil=True)(function))
