"""Instants at which requests arrive: drawn from point processes, or read from records.

Chance comes in as a generator.
"""

from __future__ import annotations

from math import inf
from os import PathLike
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike

from cascade.core.records import FloatArray
from cascade.errors import DataError

_MOST_ARRIVALS = 50_000_000


def bursty_arrivals(rate_rps: float, duration_ms: float, cv: float, rng: np.random.Generator) -> FloatArray:
    """Renewals with gamma distributed times between them, of this coefficient of variation."""
    _check_period(rate_rps, duration_ms)
    if not 0.0 < cv < inf:
        raise DataError(f"expected cv above 0, such as 1 for Poisson and 4 for bursts, got {cv}")
    shape, mean_ms = cv**-2, 1000.0 / rate_rps
    parts, last_ms = [], 0.0
    while last_ms < duration_ms:
        n = int((duration_ms - last_ms) / mean_ms * 1.1) + 64
        part = last_ms + np.cumsum(rng.gamma(shape, mean_ms / shape, n))
        parts.append(part)
        last_ms = float(part[-1])
    arrival_ms = np.concatenate(parts)
    return np.asarray(arrival_ms[arrival_ms < duration_ms])


def modulated_arrivals(
    rates_rps: ArrayLike, stay_ms: ArrayLike, duration_ms: float, rng: np.random.Generator
) -> FloatArray:
    """Poisson arrivals whose rate jumps between states that last exponentially distributed times."""
    rates, stays = np.asarray(rates_rps, np.float64), np.asarray(stay_ms, np.float64)
    if rates.ndim != 1 or rates.shape != stays.shape or len(rates) < 2:
        raise DataError(
            f"expected a rate and a stay for each of two or more states, got shapes {rates.shape} and {stays.shape}"
        )
    if not (np.isfinite(rates).all() and (rates >= 0.0).all() and rates.any()):
        raise DataError(f"expected finite rates, not negative, got {rates.tolist()}")
    if not (np.isfinite(stays).all() and (stays > 0.0).all()):
        raise DataError(f"expected finite stays above 0 ms, got {stays.tolist()}")
    _check_period(float(rates.max()), duration_ms)
    parts, now_ms, state = [], 0.0, int(rng.integers(len(rates)))
    while now_ms < duration_ms:
        end_ms = min(now_ms + rng.exponential(stays[state]), duration_ms)
        n = rng.poisson(rates[state] * (end_ms - now_ms) / 1000.0)
        parts.append(np.sort(rng.uniform(now_ms, end_ms, n)))
        now_ms, state = end_ms, int((state + 1 + rng.integers(len(rates) - 1)) % len(rates))
    return np.concatenate(parts)


def diurnal_arrivals(
    rate_rps: float, duration_ms: float, swing: float, period_ms: float, rng: np.random.Generator
) -> FloatArray:
    """Poisson arrivals whose rate follows a sine, lowest at 0."""
    _check_period(rate_rps, duration_ms)
    if not 0.0 <= swing <= 1.0 or not 0.0 < period_ms < inf:
        raise DataError(f"expected swing in [0, 1] and period_ms above 0, got {swing} and {period_ms}")
    # Thinning: draw at the highest rate, keep each arrival with the share of it that holds then.
    highest_rps = rate_rps * (1.0 + swing)
    n = rng.poisson(highest_rps * duration_ms / 1000.0)
    arrival_ms = np.sort(rng.uniform(0.0, duration_ms, n))
    share = (1.0 - swing * np.cos(2.0 * np.pi * arrival_ms / period_ms)) / (1.0 + swing)
    return np.asarray(arrival_ms[rng.random(n) < share])


def compressed_arrivals(arrival_ms: ArrayLike, rate_rps: float | None, duration_ms: float | None) -> FloatArray:
    """Recorded arrivals from 0 on, their time scaled to a mean rate and cut at a duration."""
    given = np.asarray(arrival_ms)
    if given.ndim != 1 or not len(given) or given.dtype.kind not in "iuf" or not np.isfinite(given).all():
        raise DataError(f"expected finite instants of shape (m,), got shape {given.shape} of type {given.dtype}")
    times = given.astype(np.float64) - float(given[0])
    if (np.diff(times) < 0.0).any():
        raise DataError("expected instants of arrival that ascend: sort them")
    if rate_rps is not None:
        if not 0.0 < rate_rps < inf:
            raise DataError(f"expected rate_rps above 0, got {rate_rps}")
        if not times[-1]:
            raise DataError("expected arrivals at two instants at least, to scale them to a rate")
        times *= 1000.0 * (len(times) - 1) / (rate_rps * times[-1])
    if duration_ms is not None:
        if not duration_ms > 0.0:
            raise DataError(f"expected duration_ms above 0, got {duration_ms}")
        times = times[times < duration_ms]
    return times


def load_arrivals(path: str | PathLike[str]) -> FloatArray:
    """Instants of arrival from a file."""
    place = Path(path)
    kind = place.suffix.lower()
    if kind not in {".npy", ".npz", ".csv"}:
        raise DataError(f"expected a file ending in .npy, .npz or .csv, got {str(place)!r}")
    try:
        return _of_csv(place) if kind == ".csv" else _of_arrays(place)
    except (ValueError, EOFError, IndexError, BadZipFile) as error:
        raise DataError(f"cannot read instants of arrival from {str(place)!r}: {error}") from error


def _of_arrays(place: Path) -> FloatArray:
    # Opened here, for numpy leaves a file open that is no archive after all.
    with place.open("rb") as file:
        try:
            arrays = np.load(file, allow_pickle=False)
        except ValueError as error:
            # numpy's own words advise to unpickle it, which would run code.
            raise ValueError("it does not read as arrays of numbers, saved with numpy.save or numpy.savez") from error
        if isinstance(arrays, np.ndarray):
            return arrays
        names = ["arrival_ms"] if "arrival_ms" in arrays.files else arrays.files
        if len(names) != 1:
            raise DataError(f"expected an array arrival_ms, or a single one, got {sorted(names)}")
        return np.asarray(arrays[names[0]])


def _of_csv(place: Path) -> FloatArray:
    first, *rest = place.read_text(encoding="utf-8-sig").splitlines() or [""]
    names = [name.strip() for name in first.split(",")]
    column = names.index("arrival_ms") if "arrival_ms" in names else 0
    rows = rest if not _is_number(names[column]) else [first, *rest]
    return np.array([float(row.split(",")[column]) for row in rows if row.strip()])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_period(rate_rps: float, duration_ms: float) -> None:
    if not 0.0 < rate_rps < inf or not 0.0 < duration_ms < inf:
        raise DataError(f"expected rate_rps and duration_ms finite and above 0, got {rate_rps} and {duration_ms}")
    if rate_rps * duration_ms / 1000.0 > _MOST_ARRIVALS:
        raise DataError(
            f"expected at most {_MOST_ARRIVALS} requests, got {rate_rps} a second for {duration_ms} ms: take a shorter time"
        )
