"""Accuracy against mean time: a frontier with its intervals, single stages, and operating points. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cascade.core.frontier import Frontier
from cascade.core.frontier_points import ReferencePoint
from cascade.core.interval import wilson_interval
from cascade.core.replay import Replay
from cascade.explore.drawing import CASCADE, PALETTE, QUIET, SINGLE, axes_or_new, dress, note, use_plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Points whose means are closer than this factor share a label.
_NEAR = 1.5


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a cascade does under one budget.

    Attributes
    ----------
    budget_ms : float or None
        Time allowed; None for no deadline.
    mean_ms : float
        Mean time per item.
    accuracy, ci_low, ci_high : float
        Share of right answers and the ends of its 95 % interval.
    """

    budget_ms: float | None
    mean_ms: float
    accuracy: float
    ci_low: float
    ci_high: float

    @classmethod
    def of(cls, result: Replay, budget_ms: float | None) -> OperatingPoint:
        """The point that a replay under this budget shows, with its Wilson interval."""
        low, high = wilson_interval(int(result.correct.sum()), len(result.correct))
        return cls(budget_ms, result.mean_ms, result.accuracy, low, high)


def plot_frontier(curve: Frontier, points: Sequence[OperatingPoint] = (), *, axes: Axes | None = None) -> Axes:
    """The curve with the band of its intervals, every stage alone, the oracle, and what policies do under budgets.

    Parameters
    ----------
    curve : Frontier
    points : sequence of OperatingPoint
        Of policies on other items, each marked with its budget.
    axes : matplotlib Axes, optional
        To draw on; by default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    axes = axes_or_new(axes)
    percent = 100.0 * curve.accuracy
    axes.fill_between(
        curve.mean_ms, 100.0 * curve.ci_low, 100.0 * curve.ci_high, color=CASCADE, alpha=0.18, linewidth=0.0
    )
    lone = "o" if len(curve) == 1 else ""
    axes.plot(curve.mean_ms, percent, color=CASCADE, linewidth=1.8, marker=lone, label="cascade, out of fold")
    _draw_singles(axes, curve.singles, label="one stage alone")
    axes.plot(
        [curve.oracle.mean_ms],
        [100.0 * curve.oracle.accuracy],
        marker="*",
        markersize=11.0,
        linestyle="",
        color=QUIET,
        label="oracle: the cheapest right stage",
    )
    if points:
        _draw_points(axes, points, label="policy under a budget", colour=PALETTE[2], fmt="D")
    about = f"{curve.n_items} items" + ("" if curve.n_groups is None else f" in {curve.n_groups} groups")
    _finish(axes, "What a mean time buys", f"accuracy on {about} (%)\nwith {100 * curve.confidence:.4g} % intervals")
    return axes


def plot_operating_points(
    points: Sequence[OperatingPoint], singles: Sequence[ReferencePoint] = (), *, axes: Axes | None = None
) -> Axes:
    """What a cascade was measured to do under several budgets, beside single models.

    Parameters
    ----------
    points : sequence of OperatingPoint
        One per budget, in any order.
    singles : sequence of ReferencePoint
        Models that answer alone.
    axes : matplotlib Axes, optional
        To draw on; by default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    axes = axes_or_new(axes)
    _draw_singles(axes, singles, label="one model for every item")
    _draw_points(axes, points, label="cascade, one point per budget", colour=CASCADE, fmt="o-")
    _finish(axes, "What a latency budget buys", "accuracy (%), with 95 % intervals")
    return axes


def _draw_singles(axes: Axes, singles: Sequence[ReferencePoint], *, label: str) -> None:
    if not singles:
        return
    _errorbars(axes, singles, label=label, colour=SINGLE, fmt="s")
    for single in singles:
        note(axes, single.name, (single.mean_ms, 100.0 * single.ci_low), colour=SINGLE, ha="center", va="top")


def _draw_points(axes: Axes, points: Sequence[OperatingPoint], *, label: str, colour: str, fmt: str) -> None:
    ascending = sorted(points, key=lambda point: point.mean_ms)
    _errorbars(axes, ascending, label=label, colour=colour, fmt=fmt)
    for together in _neighbours(ascending):
        # The curve rises to the right, so there is room for long words on the left.
        end, top = together[-1].mean_ms, max(point.ci_high for point in together)
        side = "center" if len(together) == 1 else "right"
        note(axes, budgets_in_words(together), (end, 100.0 * top), colour=colour, ha=side, va="bottom")


def _errorbars(
    axes: Axes, points: Sequence[OperatingPoint | ReferencePoint], *, label: str, colour: str, fmt: str
) -> None:
    axes.errorbar(
        [point.mean_ms for point in points],
        [100.0 * point.accuracy for point in points],
        yerr=[
            [100.0 * (point.accuracy - point.ci_low) for point in points],
            [100.0 * (point.ci_high - point.accuracy) for point in points],
        ],
        label=label,
        fmt=fmt,
        color=colour,
        elinewidth=1.0,
        capsize=3.0,
        markersize=6.0,
        linewidth=1.8,
    )


def _finish(axes: Axes, title: str, y: str) -> None:
    dress(axes, title=title, x="mean time per item (ms, log scale)", y=y)
    use_plain_numbers(axes, log_x=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}" if value <= 100.0 else "")
    axes.margins(x=0.09, y=0.09)
    axes.legend(loc="lower right", frameon=False)


def _neighbours(points: Sequence[OperatingPoint]) -> list[list[OperatingPoint]]:
    """Points, ascending in mean time, in groups too close to be labelled apart."""
    groups: list[list[OperatingPoint]] = []
    for point in points:
        if groups and point.mean_ms < _NEAR * groups[-1][-1].mean_ms:
            groups[-1].append(point)
        else:
            groups.append([point])
    return groups


def budgets_in_words(points: Sequence[OperatingPoint]) -> str:
    """The budgets of a group of points.

    Examples
    --------
    >>> point = OperatingPoint(2.0, 1.0, 0.9, 0.8, 1.0)
    >>> budgets_in_words([point, OperatingPoint(5.0, 1.1, 0.9, 0.8, 1.0)])
    'within 2 or 5 ms'
    """
    limits = sorted(point.budget_ms for point in points if point.budget_ms is not None)
    *first, last = [f"{limit_ms:.4g}" for limit_ms in limits] or [""]
    within = [f"within {', '.join(first)}{' or ' if first else ''}{last} ms"] if limits else []
    free = ["or no deadline" if limits else "no deadline"] if len(limits) < len(points) else []
    return "\n".join([*within, *free])
