"""The picture of the demo: accuracy against mean latency. Needs matplotlib, an optional dependency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cascade.cli.race import Measured
from cascade.core.frontier_points import ReferencePoint
from cascade.explore.curves import OperatingPoint, plot_operating_points
from cascade.explore.drawing import new_figure


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
    points = [OperatingPoint(row.budget_ms, row.mean_ms, row.accuracy, row.ci_low, row.ci_high) for row in cascade]
    models = [
        ReferencePoint(row.contestant, row.mean_ms, row.mean_ms, row.accuracy, row.ci_low, row.ci_high)
        for row in singles
    ]
    axes = plot_operating_points(points, models, axes=figure.add_subplot())
    axes.set_xlabel("mean latency of one image (ms, log scale)")
    axes.set_ylabel(f"accuracy on {cascade[0].n} held-out images (%), with 95 % intervals")
    axes.set_title("Handwritten digits: what a latency budget buys", loc="left", fontsize=13, pad=12)
    figure.savefig(path, format="png")
