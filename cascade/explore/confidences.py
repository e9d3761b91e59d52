"""Reliability diagrams: how often answers of each confidence are right. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cascade.calibration.reliability import Calibration, Reliability
from cascade.core.interval import wilson_interval
from cascade.errors import ConfigurationError
from cascade.explore.drawing import MARKERS, PALETTE, QUIET, axes_or_new, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ANSWERS = "answers"
"""Name of the policy's answers among the sources."""


def plot_reliability(
    found: Reliability, sources: Sequence[str] | None = None, *, min_items: int = 10, axes: Axes | None = None
) -> Axes:
    """Accuracy against mean confidence for each bin, beside the diagonal of confidences that can be taken at their word.

    A marker's area is the share of the items in its bin, its bar the 95 % interval of the accuracy there. Bins below the
    diagonal are too sure of themselves.

    Parameters
    ----------
    found : Reliability
    sources : sequence of str, optional
        Names of stages, sets of stages joined by ``" + "``, or ``"answers"``; by default all stages, and the answers if
        a policy was looked at.
    min_items : int
        Bins with fewer items are left out: they say next to nothing, and jump. They count in the calibration errors.
    axes : matplotlib Axes, optional
        To draw on; by default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ConfigurationError
        If a source is not known, or ``min_items`` is below 1.
    MissingExtra
        If matplotlib is not installed.
    """
    known = _sources(found)
    chosen = [*found.stages, *([ANSWERS] if found.answers is not None else [])] if sources is None else list(sources)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ConfigurationError(f"expected sources among {', '.join(known)}, got {', '.join(unknown)}")
    if min_items < 1:
        raise ConfigurationError(f"expected min_items of at least 1, got {min_items}")
    axes = axes_or_new(axes, 7.8, 5.2)
    axes.plot([0.0, 1.0], [0.0, 1.0], color=QUIET, linewidth=1.0, linestyle=":", label="as sure as right")
    for place, name in enumerate(chosen):
        _draw(axes, known[name], name, place, min_items)
    dress(axes, title="How far confidences can be trusted", x="mean confidence of the bin", y="share of right answers")
    axes.set_xlim(0.0, 1.02)
    axes.set_ylim(0.0, 1.02)
    axes.set_aspect("equal")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    return axes


def _sources(found: Reliability) -> dict[str, Calibration]:
    known = dict(found.stages)
    known.update({" + ".join(names): curve for names, curve in found.sets.items() if len(names) > 1})
    return known if found.answers is None else {**known, ANSWERS: found.answers}


def _draw(axes: Axes, curve: Calibration, name: str, place: int, min_items: int) -> None:
    filled = curve.counts >= min_items
    trust, shown, counts = curve.mean_confidence[filled], curve.accuracy[filled], curve.counts[filled]
    ends = np.array([wilson_interval(round(share * n), int(n)) for share, n in zip(shown, counts, strict=True)])
    colour, marker = PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
    axes.errorbar(trust, shown, yerr=np.abs(ends.T - shown), fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.55)
    axes.plot(trust, shown, color=colour, linewidth=1.1, alpha=0.75)
    axes.scatter(
        trust,
        shown,
        s=14.0 + 260.0 * counts / curve.n_items,
        marker=marker,
        color=colour,
        edgecolor="white",
        linewidth=0.7,
        zorder=3,
    )
    # The legend's markers all have one size.
    axes.plot([], [], color=colour, marker=marker, linewidth=1.1, label=f"{name}, ECE {curve.ece:.3f}")
