"""Clients in a closed loop: each asks, waits for the answer, and asks again, as threads or as coroutines of one event loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from threading import Barrier, Thread
from time import perf_counter_ns
from typing import Any

import numpy as np

Ask = Callable[[int], Any]
AskAsync = Callable[[int], Awaitable[Any]]

_STRIDE = 37
"""Clients begin this many rows apart, so that they do not ask the same at once."""


@dataclass(frozen=True, slots=True)
class Took:
    """What a number of clients met with in one go.

    Attributes
    ----------
    requests_per_second : float
    p50_us, p99_us : float
        From asking to having the answer.
    """

    requests_per_second: float
    p50_us: float
    p99_us: float


def asked_by_threads(ask: Ask, n_clients: int, for_ms: float) -> Took:
    """As many threads ask for so long."""
    took: list[list[int]] = [[] for _ in range(n_clients)]
    start = Barrier(n_clients)

    def client(number: int) -> None:
        mine, i = took[number].append, number * _STRIDE
        start.wait()
        now = perf_counter_ns()
        until = now + int(for_ms * 1e6)
        while now < until:
            ask(i)
            i += 1
            began, now = now, perf_counter_ns()
            mine(now - began)

    threads = [Thread(target=client, args=(number,)) for number in range(n_clients)]
    gc.collect()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _summary(took)


async def asked_by_coroutines(ask: AskAsync, n_clients: int, for_ms: float) -> Took:
    """As many coroutines of the running loop ask for so long."""
    took: list[list[int]] = [[] for _ in range(n_clients)]

    async def client(number: int) -> None:
        mine, i = took[number].append, number * _STRIDE
        now = perf_counter_ns()
        until = now + int(for_ms * 1e6)
        while now < until:
            await ask(i)
            i += 1
            began, now = now, perf_counter_ns()
            mine(now - began)

    gc.collect()
    await asyncio.gather(*[client(number) for number in range(n_clients)])
    return _summary(took)


def _summary(took: list[list[int]]) -> Took:
    # Each client was busy all the time, until its own last answer.
    rate = sum(len(mine) / sum(mine) for mine in took if mine) * 1e9
    p50, p99 = np.quantile(np.concatenate([np.array(mine, np.int64) for mine in took]), (0.5, 0.99)) / 1e3
    return Took(rate, float(p50), float(p99))
