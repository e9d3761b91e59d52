"""The picture of the demo: accuracy against mean latency. Needs matplotlib, an optional dependency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.cli.race import Measured
from cascade.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue and vermilion of the palette of Okabe and Ito, told apart by every kind of colour vision; the markers differ too.
_CASCADE, _SINGLE, _FAINT = "#0072B2", "#D55E00", "#dddddd"
# Points whose means are closer than this factor share a label.
_NEAR = 1.5


def new_figure() -> Figure:
    """An empty figure of the picture's size, bound to no screen.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(
            "expected matplotlib to draw the curve, and it is not installed: pip install 'cascade-inference[plots]'"
        ) from error
    return Figure(figsize=(8.4, 5.4), dpi=150, layout="constrained")


def draw_curve(cascade: Sequence[Measured], singles: Sequence[Measured], path: Path) -> None:
    """Write the accuracy of the cascade under each budget and of each model alone against mean latency, as PNG.

    Parameters
    ----------
    cascade : sequence of Measured
        One per budget.
    singles : sequence of Measured
        One per model, named after it.
    path : Path

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    _dress(axes, n=cascade[0].n)
    by_latency = sorted(cascade, key=lambda row: row.mean_ms)
    _points(axes, singles, label="one model for every image", colour=_SINGLE, fmt="s")
    _points(axes, by_latency, label="cascade, one point per budget", colour=_CASCADE, fmt="o-")
    for row in singles:
        _note(axes, row.contestant, (row.mean_ms, row.ci_low), colour=_SINGLE, ha="center", va="top")
    for together in _neighbours(by_latency):
        # The curve rises to the right, so there is room for long words on the left.
        end, top = together[-1].mean_ms, max(row.ci_high for row in together)
        side = "center" if len(together) == 1 else "right"
        _note(axes, _budgets(together), (end, top), colour=_CASCADE, ha=side, va="bottom")
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, format="png")


def _dress(axes: Axes, n: int) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.09, y=0.09)
    axes.set_xlabel("mean latency of one image (ms, log scale)")
    axes.set_ylabel(f"accuracy on {n} held-out images (%), with 95 % intervals")
    axes.set_title("Handwritten digits: what a latency budget buys", loc="left", fontsize=13, pad=12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}" if value <= 100.0 else "")
    axes.grid(which="major", color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _points(axes: Axes, points: Sequence[Measured], *, label: str, colour: str, fmt: str) -> None:
    axes.errorbar(
        [row.mean_ms for row in points],
        [100.0 * row.accuracy for row in points],
        yerr=[
            [100.0 * (row.accuracy - row.ci_low) for row in points],
            [100.0 * (row.ci_high - row.accuracy) for row in points],
        ],
        label=label,
        fmt=fmt,
        color=colour,
        elinewidth=1.0,
        capsize=3.0,
        markersize=6.5,
        linewidth=1.8,
    )


def _note(axes: Axes, text: str, at: tuple[float, float], *, colour: str, ha: str, va: str) -> None:
    """Text above or below a place given as milliseconds and a share, readable across lines."""
    from matplotlib.patheffects import withStroke

    axes.annotate(
        text,
        (at[0], 100.0 * at[1]),
        xytext=(0.0, 4.0 if va == "bottom" else -4.0),
        textcoords="offset points",
        ha=ha,
        va=va,
        color=colour,
        fontsize=9.5,
        path_effects=[withStroke(linewidth=3.0, foreground="white")],
    )


def _neighbours(points: Sequence[Measured]) -> list[list[Measured]]:
    """Points, ascending in latency, in groups too close to be labelled apart."""
    groups: list[list[Measured]] = []
    for row in points:
        if groups and row.mean_ms < _NEAR * groups[-1][-1].mean_ms:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _budgets(points: Sequence[Measured]) -> str:
    """The budgets of a group of points in words."""
    limits = sorted(row.budget_ms for row in points if row.budget_ms is not None)
    *first, last = [f"{limit_ms:g}" for limit_ms in limits] or [""]
    within = [f"within {', '.join(first)}{' or ' if first else ''}{last} ms"] if limits else []
    free = ["or no deadline" if limits else "no deadline"] if len(limits) < len(points) else []
    return "\n".join([*within, *free])
