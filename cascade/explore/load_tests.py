"""What a load test showed: latencies against the budget, and how it went over time. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade.core.records import FloatArray
from cascade.errors import ConfigurationError
from cascade.explore.drawing import DASHES, PALETTE, QUIET, axes_or_new, dress, note, use_plain_numbers
from cascade.simulation.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LINES = 8


def plot_latency(reports: Report | Mapping[str, Report], *, axes: Axes | None = None) -> Axes:
    """Share of all offered requests that are answered within each latency, with the budgets as upright lines.

    A request without an answer never counts, so a curve ends at the share of answers, and where it crosses the line of its
    budget it shows the SLO attainment.

    Parameters
    ----------
    reports : Report or mapping from str to Report
        One curve for each name and budget.
    axes : matplotlib Axes, optional
        To draw on; by default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ConfigurationError
        If there are more than eight curves, or none.
    MissingExtra
        If matplotlib is not installed.
    """
    named = {"": reports} if isinstance(reports, Report) else dict(reports)
    lines = [line for name, report in named.items() for line in _lines(name, report)]
    if not 0 < len(lines) <= _MOST_LINES:
        raise ConfigurationError(
            f"expected one to {_MOST_LINES} curves, one per report and budget, got {len(lines)}: draw fewer at a time"
        )
    axes = axes_or_new(axes)
    for place, (label, latency_ms, n) in enumerate(lines):
        share = 100.0 * np.arange(1, len(latency_ms) + 1) / n
        look: dict[str, Any] = {"color": PALETTE[place], "linestyle": DASHES[place % len(DASHES)]}
        axes.step(latency_ms, share, where="post", linewidth=1.8, label=label, **look)
    budgets = np.unique(np.concatenate([report.budget_ms for report in named.values()]))
    for budget_ms in budgets[np.isfinite(budgets)]:
        axes.axvline(budget_ms, color=QUIET, linewidth=1.0, linestyle=(0, (1, 2)))
        note(axes, f"{budget_ms:g} ms", (budget_ms, 2.0), colour=QUIET, ha="left", va="bottom")
    dress(axes, title="Latency against the budget", x="latency (ms, log scale)", y="answered, of all requests (%)")
    use_plain_numbers(axes, log_x=True)
    axes.set_ylim(0.0, 102.0)
    axes.legend(loc="upper left", frameon=False)
    return axes


def plot_timeline(report: Report, n_bins: int = 60, *, axes: Any = None) -> tuple[Axes, Axes, Axes, Axes]:
    """Load, price, accuracy and attainment over time, one above the other.

    Each figure is about the requests that arrived in a period; the price is about the batches that started in it.

    Parameters
    ----------
    report : Report
    n_bins : int
        Equal periods from 0 to the last outcome.
    axes : sequence of four matplotlib Axes, optional
        To draw on, from top to bottom; by default those of a new figure.

    Returns
    -------
    tuple of four matplotlib Axes

    Raises
    ------
    ConfigurationError
        If there is to be no period.
    MissingExtra
        If matplotlib is not installed.
    """
    if n_bins < 1:
        raise ConfigurationError(f"expected n_bins of at least 1, got {n_bins}")
    load, price, accuracy, attained = _four(axes)
    seconds, counts, width_s = _periods(report, n_bins)
    load.step(seconds, counts / width_s, where="mid", color=PALETTE[0], linewidth=1.5)
    start_ms, prices = report.price_over_time(n_bins)
    price.step(start_ms / 1000.0, prices, where="post", color=PALETTE[1], linewidth=1.5)
    right = _shares(report, report.correct & report.in_time, n_bins)
    in_time = _shares(report, report.in_time, n_bins)
    accuracy.plot(seconds, 100.0 * right, color=PALETTE[2], linewidth=1.5)
    attained.plot(seconds, 100.0 * in_time, color=PALETTE[3], linewidth=1.5)
    dress(load, title="A load test over time", x="", y="requests\nper second")
    dress(price, title="", x="", y="price\nper ms")
    dress(accuracy, title="", x="", y="right and\nin time (%)")
    dress(attained, title="", x="time of arrival (s)", y="in time (%)")
    load.set_ylim(bottom=0.0)
    price.set_ylim(bottom=0.0)
    attained.set_ylim(min(95.0, 100.0 * float(np.nanmin(in_time)) - 2.0), 100.5)
    load.set_xlim(0.0, report.duration_ms / 1000.0)
    return load, price, accuracy, attained


def _lines(name: str, report: Report) -> Iterator[tuple[str, FloatArray, int]]:
    """Label, ascending latencies of the answers, and number of requests, for every budget."""
    for budget_ms in np.unique(report.budget_ms):
        rows = report.budget_ms == budget_ms
        allowed = f"within {budget_ms:g} ms" if np.isfinite(budget_ms) else "no deadline"
        attained = f"{100.0 * float(report.in_time[rows].mean()):.1f} % in time"
        latency_ms = np.sort(report.latency_ms[rows & report.is_answered])
        yield ", ".join([*([name] if name else []), allowed, attained]), latency_ms, int(rows.sum())


def _four(axes: Any) -> tuple[Axes, Axes, Axes, Axes]:
    if axes is not None:
        load, price, accuracy, attained = axes
        return load, price, accuracy, attained
    first = axes_or_new(None, 8.0, 6.6)
    figure = first.figure
    first.remove()
    load, price, accuracy, attained = figure.subplots(4, 1, sharex=True)
    return load, price, accuracy, attained


def _periods(report: Report, n_bins: int) -> tuple[FloatArray, FloatArray, float]:
    """Middle of every period in seconds, requests that arrived in it, and its length."""
    width_s = report.duration_ms / 1000.0 / n_bins
    counts = np.bincount(_period_of(report, n_bins), minlength=n_bins)
    return width_s * np.arange(0.5, n_bins, dtype=np.float64), counts.astype(np.float64), width_s


def _shares(report: Report, hits: Any, n_bins: int) -> FloatArray:
    """Share of the requests of every period; NaN where none arrived."""
    which = _period_of(report, n_bins)
    total = np.bincount(which, minlength=n_bins)
    return np.asarray(np.bincount(which, hits, n_bins) / np.where(total > 0, total, np.nan), np.float64)


def _period_of(report: Report, n_bins: int) -> Any:
    return np.minimum((report.arrival_ms / report.duration_ms * n_bins).astype(np.int64), n_bins - 1)
