"""Whether one run of ``cascade bench`` is worse than another, beyond what chance explains. Pure but for the generator it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cascade.cli.bench_runs import BenchRun
from cascade.core.records import FloatArray
from cascade.errors import DataError

_N_RESAMPLES = 2000
ALPHA = 0.01
"""Probability that chance alone makes a comparison fail, over all figures together, were there no tolerance."""
_SLOW = 0.95
_POINT = 0.01

Statistic = Callable[[FloatArray, FloatArray], float]
"""Of two tables of (rounds, rows), the rows of which belong together: how much more the second is."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure beside that of the baseline.

    Attributes
    ----------
    figure : str
    before, now : float
    change, low, high : float
        How much more it is now, and what chance leaves open: shares of the figure before for times, else differences.
    limit : float
        The change that is borne.
    is_worse : bool
        Whether even the end of the interval that speaks for the new run is beyond the limit.
    """

    figure: str
    before: float
    now: float
    change: float
    low: float
    high: float
    limit: float
    is_worse: bool


def compared(baseline: BenchRun, now: BenchRun, *, tolerance: float, rng: np.random.Generator) -> list[Change]:
    """Every figure of two runs on the same rows.

    Parameters
    ----------
    baseline, now : BenchRun
    tolerance : float
        Share by which times may rise.
    rng : numpy.random.Generator

    Raises
    ------
    DataError
        If the runs are not of the same rows, stages and budget.

    Notes
    -----
    Rows are paired; both rows and rounds are drawn again (bootstrap), as rows differ and rounds meet the machine at other times. Times are
    multiples of a yardstick that was measured beside them, so that a machine that is slower altogether is no regression.

    References
    ----------
    Efron and Tibshirani, 1993, An Introduction to the Bootstrap.
    """
    _check_alike(baseline, now)
    tables = [("latency, typical", baseline.in_yards, now.in_yards, _typical_ratio, tolerance)]
    tables += [("latency, 0.95 quantile", baseline.in_yards, now.in_yards, _slow_ratio, tolerance)]
    shares = [("in time", baseline.in_time, now.in_time, _POINT)]
    if baseline.correct is not None and now.correct is not None:
        shares.append(("accuracy", baseline.correct, now.correct, 0.0))
    level = ALPHA / (len(tables) + len(shares))
    changes = [
        _time_change(name, (before, after), statistic, limit, (level, rng))
        for name, before, after, statistic, limit in tables
    ]
    changes += [
        _share_change(name, (before.astype(np.float64), after.astype(np.float64)), limit, (level, rng))
        for name, before, after, limit in shares
    ]
    return changes


def _time_change(
    name: str,
    tables: tuple[FloatArray, FloatArray],
    statistic: Statistic,
    limit: float,
    chance: tuple[float, np.random.Generator],
) -> Change:
    change, low, high = (float(np.expm1(value)) for value in _interval(tables, statistic, chance))
    figure = _typical if statistic is _typical_ratio else _slow
    before, now = figure(tables[0]), figure(tables[1])
    return Change(name, before, now, change, low, high, limit, low > limit)


def _share_change(
    name: str, tables: tuple[FloatArray, FloatArray], limit: float, chance: tuple[float, np.random.Generator]
) -> Change:
    change, low, high = _interval(tables, _difference, chance)
    before, now = float(tables[0].mean()), float(tables[1].mean())
    # No minus sign where nothing is borne.
    return Change(name, before, now, change, low, high, -limit or 0.0, high < -limit)


def _interval(
    tables: tuple[FloatArray, FloatArray], statistic: Statistic, chance: tuple[float, np.random.Generator]
) -> tuple[float, float, float]:
    """The statistic, and its interval when rows (paired) and rounds (of each run) are drawn again."""
    (before, now), (level, rng) = tables, chance
    found = np.empty(_N_RESAMPLES)
    for i in range(_N_RESAMPLES):
        rows = rng.integers(before.shape[1], size=before.shape[1])
        first = before[rng.integers(len(before), size=len(before))][:, rows]
        second = now[rng.integers(len(now), size=len(now))][:, rows]
        found[i] = statistic(first, second)
    low, high = np.quantile(found, [level, 1.0 - level])
    return statistic(before, now), float(low), float(high)


def _typical(table: FloatArray) -> float:
    return float(np.exp(np.log(np.median(table, axis=0)).mean()))


def _slow(table: FloatArray) -> float:
    return float(np.quantile(table, _SLOW))


def _typical_ratio(before: FloatArray, now: FloatArray) -> float:
    return float(np.log(np.median(now, axis=0) / np.median(before, axis=0)).mean())


def _slow_ratio(before: FloatArray, now: FloatArray) -> float:
    return float(np.log(_slow(now) / _slow(before)))


def _difference(before: FloatArray, now: FloatArray) -> float:
    return float(now.mean() - before.mean())


def _check_alike(baseline: BenchRun, now: BenchRun) -> None:
    if (baseline.stages, baseline.budget_ms) != (now.stages, now.budget_ms):
        raise DataError(
            f"expected the stages {baseline.stages} and the budget {baseline.budget_ms} of the baseline, got {now.stages} and "
            f"{now.budget_ms}: only runs on the same can be compared, so measure the baseline again"
        )
    if baseline.data != now.data:
        raise DataError(
            "expected the inputs and labels of the baseline, got others: pass the same --data, --labels and --rows, or measure the "
            "baseline again"
        )
