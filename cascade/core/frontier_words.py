"""A curve as text and as a table for notebooks, from the columns that `Frontier.columns` makes.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from cascade.core.frontier_files import Columns
from cascade.core.html import table

CASCADE, SINGLE, ORACLE = "cascade", "single", "oracle"
"""Kinds of rows of the table that a curve is saved as."""
_MAX_POINTS = 12
_BEST = "the cheapest right stage for every item"


def in_text(columns: Columns, title: str, corners: Collection[str]) -> str:
    """A line for each of at most twelve points, each single stage and the oracle.

    Parameters
    ----------
    columns : Columns
    title : str
        The first line.
    corners : collection of str
        Names of the single stages that are corners of their convex hull.
    """
    interval = f"{100 * columns['confidence'][0]:.4g} % interval"
    lines = [title, f"{'mean ms':>10} {'mean cost':>10} {'accuracy':>9} {interval:>18} {'price':>10} {'budget ms':>10}"]
    for row in _shown(columns):
        numbers = f"{row['mean_ms']:10.4g} {row['mean_cost']:10.4g} {100 * row['accuracy']:7.2f} %"
        ends = f"{100 * row['ci_low']:8.2f} to {100 * row['ci_high']:6.2f}"
        beyond = f"{row['price']:10.3g} {row['budget_ms']:10.4g}" if row["kind"] == CASCADE else _said_of(row, corners)
        lines.append(f"{numbers} {ends} {beyond}")
    return "\n".join(lines)


def in_html(columns: Columns, title: str, corners: Collection[str]) -> str:
    """The same rows as a table."""
    interval = f"{100 * columns['confidence'][0]:.4g} % interval"
    rows = [
        [
            f"{row['name'] or CASCADE}{', on the hull' if row['name'] in corners else ''}",
            row["mean_ms"],
            row["mean_cost"],
            f"{100 * row['accuracy']:.2f} %",
            f"{100 * row['ci_low']:.2f} to {100 * row['ci_high']:.2f}",
            row["price"],
            row["budget_ms"],
        ]
        for row in _shown(columns)
    ]
    header = ["", "mean ms", "mean cost", "accuracy", interval, "price", "budget ms"]
    return table(header, rows, caption=title)


def _shown(columns: Columns) -> list[dict[str, Any]]:
    """The rows that are shown: of many points of the curve, some that lie evenly in time."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    points = [row for row in rows if row["kind"] == CASCADE]
    times = np.array([row["mean_ms"] for row in points])
    wanted = np.linspace(times[0], times[-1], min(_MAX_POINTS, len(times)))
    kept = np.unique(np.abs(times[:, None] - wanted).argmin(axis=0))
    return [*(points[i] for i in kept), *rows[len(points) :]]


def _said_of(row: dict[str, Any], corners: Collection[str]) -> str:
    if row["kind"] == ORACLE:
        return f"{row['name']}: {_BEST}"
    return f"{row['name']}, on the hull of single stages" if row["name"] in corners else str(row["name"])
