"""Requests to serve in virtual time: when they arrive, how much time each has, how urgent it is, and what it asks.

Chance comes in as a seed. The same seed gives the same items, budgets and classes under every pattern of arrivals.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from os import PathLike
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade.core.records import FloatArray, IntArray
from cascade.errors import DataError
from cascade.simulation.arrivals import (
    bursty_arrivals,
    compressed_arrivals,
    diurnal_arrivals,
    load_arrivals,
    modulated_arrivals,
)
from cascade.simulation.asked import Asked, arrival_rng, check_requests, drawn


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """m requests that arrive whatever becomes of the earlier ones.

    Attributes
    ----------
    arrival_ms : ndarray, shape (m,)
        Ascending, not negative.
    budget_ms : ndarray, shape (m,)
        Time allowed, above 0; infinite for no deadline.
    priority : ndarray of int64, shape (m,)
        `Priority`.
    item : ndarray of int64, shape (m,)
        Index of the recorded item that each request asks for.
    is_strict : ndarray of bool, shape (m,)
        Whether it is answered by its deadline even while a stage still runs for it.

    Raises
    ------
    DataError
        If there is no request, the lengths differ, or a value is outside its range.
    """

    arrival_ms: FloatArray
    budget_ms: FloatArray
    priority: IntArray
    item: IntArray
    is_strict: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n = len(self.arrival_ms)
        if not n:
            raise DataError("expected at least one request, got none: raise the rate or the duration")
        if not (
            np.isfinite(self.arrival_ms).all() and self.arrival_ms[0] >= 0.0 and (np.diff(self.arrival_ms) >= 0).all()
        ):
            raise DataError("expected instants of arrival that ascend from 0 or later, all finite")
        check_requests((self.budget_ms, self.priority, self.item, self.is_strict), n)

    @property
    def n_requests(self) -> int:
        """The number of requests m."""
        return len(self.arrival_ms)

    def __repr__(self) -> str:
        return f"Workload({self.n_requests} requests in {self.arrival_ms[-1] / 1000.0:.4g} s)"

    @property
    def mean_rate_rps(self) -> float:
        """Requests per second from 0 to the last arrival; infinite if all arrive at 0."""
        last_ms = float(self.arrival_ms[-1])
        return 1000.0 * self.n_requests / last_ms if last_ms else inf

    def first_arrivals_ms(self) -> FloatArray:
        """The instants of arrival that are known beforehand: all of them."""
        return self.arrival_ms


def poisson(rate_rps: float, duration_ms: float, **asked: Unpack[Asked]) -> Workload:
    """Independent arrivals at a constant rate.

    Parameters
    ----------
    rate_rps, duration_ms : float
    **asked
        As in `Asked`.

    Raises
    ------
    DataError
        If a number is outside its range, or no request happens to arrive.

    Examples
    --------
    >>> workload = poisson(200.0, 10_000.0, n_items=500, budget_ms={15.0: 0.3, 50.0: 0.7}, seed=1)
    >>> round(workload.mean_rate_rps)
    202
    """
    return gamma(rate_rps, duration_ms, cv=1.0, **asked)


def gamma(rate_rps: float, duration_ms: float, *, cv: float = 4.0, **asked: Unpack[Asked]) -> Workload:
    """Bursts and lulls: gamma distributed times between arrivals.

    Parameters
    ----------
    rate_rps, duration_ms : float
    cv : float
        Standard deviation of the times between arrivals over their mean: 1 is Poisson, 4 is bursty.
    **asked
        As in `Asked`.

    Raises
    ------
    DataError
        If a number is outside its range, or no request happens to arrive.
    """
    return _asking(bursty_arrivals(rate_rps, duration_ms, cv, arrival_rng(asked)), asked)


def mmpp(rates_rps: ArrayLike, stay_ms: ArrayLike, duration_ms: float, **asked: Unpack[Asked]) -> Workload:
    """A rate that jumps: a Markov-modulated Poisson process.

    Parameters
    ----------
    rates_rps : array-like of shape (s,)
        Rate in each of the states, of which the next is drawn from the others, each as likely.
    stay_ms : array-like of shape (s,)
        Mean of the exponentially distributed stay in each.
    duration_ms : float
    **asked
        As in `Asked`.

    Raises
    ------
    DataError
        If a number is outside its range, or no request happens to arrive.
    """
    return _asking(modulated_arrivals(rates_rps, stay_ms, duration_ms, arrival_rng(asked)), asked)


def diurnal(
    rate_rps: float, duration_ms: float, *, swing: float = 0.8, period_ms: float | None = None, **asked: Unpack[Asked]
) -> Workload:
    """A rate that rises and falls like a sine, lowest at the beginning.

    Parameters
    ----------
    rate_rps : float
        Mean over a period.
    duration_ms : float
    swing : float
        The rate goes from ``(1 - swing)`` to ``(1 + swing)`` times the mean; in [0, 1].
    period_ms : float, optional
        By default the whole duration.
    **asked
        As in `Asked`.

    Raises
    ------
    DataError
        If a number is outside its range, or no request happens to arrive.
    """
    period_ms = duration_ms if period_ms is None else period_ms
    return _asking(diurnal_arrivals(rate_rps, duration_ms, swing, period_ms, arrival_rng(asked)), asked)


def recorded(
    arrival_ms: ArrayLike, *, rate_rps: float | None = None, duration_ms: float | None = None, **asked: Unpack[Asked]
) -> Workload:
    """Arrivals as they were recorded, their time compressed or stretched to a mean rate.

    Parameters
    ----------
    arrival_ms : array-like of shape (m,)
        Ascending; the first becomes 0.
    rate_rps : float, optional
        By default the time is left as it is.
    duration_ms : float, optional
        Arrivals from here on are left out, after compression; by default none.
    **asked
        As in `Asked`.

    Raises
    ------
    DataError
        If the arrivals do not ascend, or a number is outside its range.

    Examples
    --------
    >>> recorded([100.0, 300.0, 700.0], rate_rps=5.0, n_items=5).arrival_ms.tolist()
    [0.0, 133.33333333333331, 400.0]
    """
    return _asking(compressed_arrivals(arrival_ms, rate_rps, duration_ms), asked)


def from_file(
    path: str | PathLike[str],
    *,
    rate_rps: float | None = None,
    duration_ms: float | None = None,
    **asked: Unpack[Asked],
) -> Workload:
    """Arrivals from a file, as `recorded` takes them.

    Parameters
    ----------
    path : str or path-like
        A ``.npy`` array; a ``.npz`` file with the array ``arrival_ms`` or with a single one; or CSV, whose column
        ``arrival_ms``, else the first, is read. In milliseconds.
    rate_rps, duration_ms, **asked
        As in `recorded`.

    Raises
    ------
    DataError
        If the file is damaged or holds no such array, or as in `recorded`.
    FileNotFoundError
        If there is none.
    """
    return recorded(load_arrivals(path), rate_rps=rate_rps, duration_ms=duration_ms, **asked)


def _asking(arrival_ms: FloatArray, asked: Asked) -> Workload:
    return Workload(arrival_ms, *drawn(len(arrival_ms), asked))
