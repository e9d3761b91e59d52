"""How many threads a model computes with: read, limited for a while, and put back.

Two families count: the intra-op threads of torch, and the BLAS and OpenMP pools that threadpoolctl finds. Both limits
reach beyond the calling thread in part: torch hands its number on to threads made later, and OpenBLAS has one
pool per process. Whoever measures limits first and measures then, alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from cascade.errors import ConfigurationError


def torch_threads() -> int:
    """Number of intra-op threads that torch uses in the calling thread."""
    import torch

    return torch.get_num_threads()


@contextmanager
def limit_torch_threads(n: int) -> Iterator[None]:
    """Let torch use ``n`` intra-op threads in the calling thread, then as many as before.

    Raises
    ------
    ConfigurationError
        If ``n`` is not an integer of at least 1.
    """
    import torch

    _check_thread_count(n)
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pool_threads() -> int:
    """Number of threads of the largest BLAS or OpenMP pool in this process; 1 if there is none.

    Notes
    -----
    Libraries loaded after the first call are noticed at the next `limit_pool_threads`: finding them takes
    milliseconds, reading them microseconds.
    """
    return max((pool.num_threads for pool in _pools().lib_controllers), default=1)


@contextmanager
def limit_pool_threads(n: int) -> Iterator[None]:
    """Let every BLAS and OpenMP pool use ``n`` threads, then as many as before.

    Raises
    ------
    ConfigurationError
        If ``n`` is not an integer of at least 1.
    """
    _check_thread_count(n)
    _pools.cache_clear()
    with _pools().limit(limits=n):
        yield


def all_threads() -> int:
    """The larger of `torch_threads`, where torch is loaded, and `pool_threads`."""
    return max(pool_threads(), torch_threads() if "torch" in sys.modules else 1)


@contextmanager
def limit_all_threads(n: int) -> Iterator[None]:
    """Let torch, where it is loaded, and every pool use ``n`` threads, then as many as before.

    Raises
    ------
    ConfigurationError
        If ``n`` is not an integer of at least 1.
    """
    if "torch" not in sys.modules:
        with limit_pool_threads(n):
            yield
        return
    with limit_torch_threads(n), limit_pool_threads(n):
        yield


@lru_cache(maxsize=1)
def _pools() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _check_thread_count(n: Any) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ConfigurationError(f"expected a number of threads of at least 1, got {n!r}")
