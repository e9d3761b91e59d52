"""Small tables for notebooks: plain HTML without styles, so that it looks as the notebook around it does, light or dark.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

# Notebooks would typeset what stands between two dollar signs as a formula.
_NO_FORMULAS = "tex2jax_ignore mathjax_ignore"


def table(header: Sequence[object], rows: Iterable[Sequence[object]], *, caption: object = "") -> str:
    """A table as HTML; every cell is text, and is escaped.

    Parameters
    ----------
    header : sequence
        Names of the columns; empty for a table without a head, whose first column then names the rows.
    rows : iterable of sequences
        Each with one cell per column. A float is shown with four digits, None as an empty cell.
    caption : object
        A line above the table; empty for none.

    Examples
    --------
    >>> table(["stage", "mean ms"], [["<small>", 0.25]])
    '<table class="tex2jax_ignore mathjax_ignore"><thead><tr><th>stage</th><th>mean ms</th></tr></thead><tbody><tr><td>&lt;small&gt;</td><td>0.25</td></tr></tbody></table>'
    """
    title = f"<caption>{_cell(caption)}</caption>" if caption else ""
    head = f"<thead><tr>{''.join(f'<th>{_cell(name)}</th>' for name in header)}</tr></thead>" if header else ""
    body = "".join(f"<tr>{_cells(row, named=not header)}</tr>" for row in rows)
    return f'<table class="{_NO_FORMULAS}">{title}{head}<tbody>{body}</tbody></table>'


def paragraph(text: object) -> str:
    """One paragraph as HTML, escaped; its lines stay lines.

    Examples
    --------
    >>> paragraph('''risk < 1 %
    ... for 5 ms''')
    '<p class="tex2jax_ignore mathjax_ignore">risk &lt; 1 %<br>for 5 ms</p>'
    """
    lines = "<br>".join(escape(line) for line in str(text).splitlines())
    return f'<p class="{_NO_FORMULAS}">{lines}</p>'


def _cells(row: Sequence[object], *, named: bool) -> str:
    tags = ["th" if named and i == 0 else "td" for i in range(len(row))]
    return "".join(f"<{tag}>{_cell(value)}</{tag}>" for tag, value in zip(tags, row, strict=True))


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case float():
            return escape(f"{value:.4g}")
        case _:
            return escape(str(value))
