"""Figures as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in aligned columns, the first one flush left, the others flush right.

    Examples
    --------
    >>> print(text_table(["stage", "ms"], [["small", "0.2"], ["big", "11"]]))
    stage   ms
    small  0.2
    big     11
    """
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = []
    for row in (header, *rows):
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.lstrip().ljust(widths[0]), *others]).rstrip())
    return "\n".join(lines)


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage; a dash if there is none.

    Examples
    --------
    >>> percent(0.125), percent(float("nan"))
    ('12.5 %', '-')
    """
    return "-" if isnan(share) else f"{100.0 * share:.{decimals}f} %"


def milliseconds(value: float) -> str:
    """A duration with three digits; a dash if there is none.

    Examples
    --------
    >>> milliseconds(4.25), milliseconds(float("inf")), milliseconds(float("nan"))
    ('4.25 ms', 'any time', '-')
    """
    if isnan(value):
        return "-"
    return (
        f"{value:.3g} ms"
        if isfinite(value) and value < 1000.0
        else f"{value:.0f} ms"
        if isfinite(value)
        else "any time"
    )
