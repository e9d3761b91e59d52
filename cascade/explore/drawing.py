"""What the pictures share: colours, markers, empty axes, and text that stays readable across lines.

The only module that imports matplotlib, an optional dependency; the others ask it for axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cascade.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
"""Colours of Okabe and Ito, told apart by every kind of colour vision; markers and hatches differ too."""
CASCADE, SINGLE = PALETTE[0], PALETTE[1]
FAINT, QUIET = "#dddddd", "#666666"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "//", "..", "\\\\", "xx", "--", "oo", "++")
DASHES = ("-", "--", "-.", ":")
# Of 255, as the eye weighs the three colours.
_BRIGHT = 140.0
_MISSING = "expected matplotlib to draw, and it is not installed: pip install 'cascade-inference[plots]'"


def new_figure(width: float = 8.4, height: float = 5.4) -> Figure:
    """An empty figure, bound to no screen.

    Parameters
    ----------
    width, height : float
        In inches, of 150 pixels each.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(_MISSING) from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def axes_or_new(axes: Axes | None, width: float = 7.6, height: float = 4.8) -> Axes:
    """The axes that were given, else those of a new figure of pyplot, which a notebook shows and ``plt.show()`` too.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    if axes is not None:
        return axes
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise MissingExtra(_MISSING) from error
    return plt.subplots(figsize=(width, height), dpi=110, layout="constrained")[1]


def ink_on(colour: str) -> str:
    """White or black, whichever reads better on a colour given as ``#rrggbb``.

    Examples
    --------
    >>> ink_on("#0072B2"), ink_on("#E69F00")
    ('white', 'black')
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < _BRIGHT else "black"


def dress(axes: Axes, *, title: str, x: str, y: str) -> None:
    """Words around the picture, a faint grid, and no frame above or to the right."""
    axes.set_title(title, loc="left", fontsize=12.5, pad=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(which="major", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def use_plain_numbers(axes: Axes, *, log_x: bool) -> None:
    """Numbers as they are spoken along x, on a logarithmic scale if wanted."""
    if log_x:
        axes.set_xscale("log")
        from matplotlib.ticker import LogLocator, NullFormatter

        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def note(axes: Axes, text: str, at: tuple[float, float], *, colour: str, ha: str, va: str) -> None:
    """Text beside a place in data coordinates, readable across lines."""
    from matplotlib.patheffects import withStroke

    axes.annotate(
        text,
        at,
        xytext=({"left": 6.0, "right": -6.0}.get(ha, 0.0), {"bottom": 4.0, "top": -4.0}.get(va, 0.0)),
        textcoords="offset points",
        ha=ha,
        va=va,
        color=colour,
        fontsize=9.5,
        path_effects=[withStroke(linewidth=3.0, foreground="white")],
    )
