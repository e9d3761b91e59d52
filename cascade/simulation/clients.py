"""Clients that wait for an answer before they ask again.

Chance comes in as a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from cascade.core.records import FloatArray, IntArray
from cascade.errors import DataError
from cascade.simulation.asked import Asked, arrival_rng, check_requests, drawn


@dataclass(frozen=True, slots=True, eq=False)
class ClosedLoop:
    """Clients of which each sends its next request when its last one has ended and it has thought for a while.

    `closed_loop` draws one.

    Attributes
    ----------
    first_ms : ndarray, shape (clients,)
        When each client sends its first request, ascending.
    think_ms, budget_ms : ndarray, shape (m,)
        For the request of each number, in the order of arrival: what its client waits after it has ended; the time allowed.
    priority, item : ndarray of int64, shape (m,)
    is_strict : ndarray of bool, shape (m,)

    Raises
    ------
    DataError
        If there are more clients than requests, the lengths differ, or a value is outside its range.
    """

    first_ms: FloatArray
    think_ms: FloatArray
    budget_ms: FloatArray
    priority: IntArray
    item: IntArray
    is_strict: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n = len(self.think_ms)
        if not 0 < len(self.first_ms) <= n:
            raise DataError(f"expected at least one client and a request for each, got {len(self.first_ms)} and {n}")
        for name, values in (("first_ms", self.first_ms), ("think_ms", self.think_ms)):
            if not (np.isfinite(values).all() and (values >= 0.0).all()):
                raise DataError(f"expected {name} finite and not negative")
        if (np.diff(self.first_ms) < 0.0).any():
            raise DataError("expected first_ms ascending")
        check_requests((self.budget_ms, self.priority, self.item, self.is_strict), n)

    @property
    def n_requests(self) -> int:
        """The number of requests m of all clients together."""
        return len(self.think_ms)

    def first_arrivals_ms(self) -> FloatArray:
        """The instants of arrival that are known beforehand: those of the first request of each client."""
        return self.first_ms


def closed_loop(n_clients: int, think_ms: float, n_requests: int, **asked: Unpack[Asked]) -> ClosedLoop:
    """Clients that think for exponentially distributed times, before their first request too.

    Parameters
    ----------
    n_clients : int
    think_ms : float
        Mean; 0: the next request follows at once.
    n_requests : int
        Of all clients together.
    **asked
        As in `Asked`.

    Raises
    ------
    DataError
        If a number is outside its range.

    Examples
    --------
    >>> closed_loop(4, 10.0, 100, n_items=50, budget_ms=20.0).n_requests
    100
    """
    if not (0 < n_clients <= n_requests and 0.0 <= think_ms < inf):
        raise DataError(
            f"expected 1 to {n_requests} clients, the number of requests, and think_ms of at least 0, "
            f"got {n_clients} and {think_ms}"
        )
    rng = arrival_rng(asked)
    first_ms = np.sort(rng.exponential(think_ms, n_clients))
    return ClosedLoop(first_ms, rng.exponential(think_ms, n_requests), *drawn(n_requests, asked))
