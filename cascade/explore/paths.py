"""Where requests go: exit rates over budgets, and the flow along the paths. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade.core.records import FloatArray
from cascade.core.replay import Replay
from cascade.errors import ConfigurationError
from cascade.explore.drawing import HATCHES, PALETTE, QUIET, axes_or_new, dress, ink_on, note, use_plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Path = tuple[str, ...]
_BAR, _GAP = 0.36, 0.03
# Bands thinner than this carry no words.
_WORDY = 0.035
_MAX_LETTERS = 11


def exit_rates(replays: Mapping[float | None, Replay]) -> dict[Path, list[float]]:
    """Share of the items that are answered at the end of each path, one number per replay, by ascending budget.

    Examples
    --------
    >>> from cascade.core.outcomes import Outcomes
    >>> from cascade.core.policy import Policy
    >>> from cascade.core.service import ServiceTable
    >>> outcomes = Outcomes.from_predictions([[0, 1], [1, 1]], [[0.6, 0.9], [0.8, 0.9]], [1, 1])
    >>> chain = Policy.from_thresholds([0.7], ServiceTable.from_costs([1.0, 4.0]))
    >>> exit_rates({budget_ms: chain.replay(outcomes, budget_ms) for budget_ms in (1.0, 9.0)})
    {('stage0',): [1.0, 0.5], ('stage0', 'stage1'): [0.0, 0.5]}
    """
    ordered = [_shares(replays[budget_ms]) for budget_ms in _ascending(replays)]
    paths = dict.fromkeys(path for shares in ordered for path in shares)
    return {path: [shares.get(path, 0.0) for shares in ordered] for path in sorted(paths, key=len)}


def plot_exit_rates(replays: Mapping[float | None, Replay], *, axes: Axes | None = None) -> Axes:
    """Share of the items that are answered at the end of each path, stacked, over the budgets.

    Parameters
    ----------
    replays : mapping from budget to Replay
        At least two; the budget in milliseconds, or None for no deadline, which is drawn as a bar of its own. Each budget's
        shares are drawn up to the next one.
    axes : matplotlib Axes, optional
        To draw on; by default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ConfigurationError
        If there are fewer than two budgets beside None, or one is not above 0.
    MissingExtra
        If matplotlib is not installed.

    Notes
    -----
    The seven paths that most items take have bands of their own, the others share one.
    """
    budgets = [budget_ms for budget_ms in _ascending(replays) if budget_ms is not None]
    if len(budgets) < 2 or budgets[0] <= 0.0:
        raise ConfigurationError(f"expected replays under at least two budgets above 0 ms, got {list(replays)}")
    axes = axes_or_new(axes, 8.6, 4.8)
    x, free = np.array(budgets), None in replays
    width = np.log(x[-1] / x[0])
    bar = x[-1] * np.exp(np.array([0.04, 0.12]) * width)
    base = np.zeros(len(replays))
    for place, (name, rate) in enumerate(_bands(exit_rates(replays))):
        top = base + 100.0 * rate
        look: dict[str, Any] = {"facecolor": PALETTE[place], "hatch": HATCHES[place], "edgecolor": "white"}
        axes.fill_between(x, base[: len(x)], top[: len(x)], step="post", label=name, linewidth=0.0, **look)
        if free:
            axes.fill_between(bar, base[-1], top[-1], linewidth=0.0, **look)
        base = top
    if free:
        note(axes, "no\ndeadline", (float(np.sqrt(bar[0] * bar[1])), 101.0), colour=QUIET, ha="center", va="bottom")
    dress(axes, title="Where requests are answered", x="budget (ms, log scale)", y="share of the items (%)")
    use_plain_numbers(axes, log_x=True)
    axes.set_xlim(x[0], bar[1] if free else x[-1])
    axes.set_ylim(0.0, 100.0)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, title="answered after", reverse=True)
    return axes


def _bands(rates: Mapping[Path, Sequence[float]]) -> list[tuple[str, FloatArray]]:
    """Name and shares of every band from the bottom up: short paths first, then what rare paths sum to."""
    frequent = sorted(rates, key=lambda path: -sum(rates[path]))[: len(PALETTE) - 1]
    bands = [(" > ".join(path), np.array(rate)) for path, rate in rates.items() if path in frequent]
    rare = [rate for path, rate in rates.items() if path not in frequent]
    return [*bands, (f"{len(rare)} other paths", np.sum(rare, axis=0))] if rare else bands


@dataclass(frozen=True, slots=True)
class _Node:
    """Items that ran the same stages so far: where their band begins and ends, and how many answer here."""

    path: Path
    share: float
    answered: float
    low: float

    @property
    def high(self) -> float:
        return self.low + self.share


def plot_path_flow(result: Replay, *, axes: Axes | None = None) -> Axes:
    """Which share of the items goes where: one column per step, a band per path, grey where it answers.

    Parameters
    ----------
    result : Replay
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
    shares = _shares(result)
    depth = max(len(path) for path in shares)
    axes = axes_or_new(axes, 2.6 * (depth + 0.75), 4.8)
    stages = sorted({stage for path in shares for stage in path}, key=lambda name: _first_place(name, shares))
    colours = {stage: PALETTE[i % 8] for i, stage in enumerate(stages)}
    nodes = list(_nodes(shares, (), 0.0))
    for node in nodes:
        step, colour = len(node.path) - 1, colours[node.path[-1]]
        axes.bar(step, node.share, _BAR, node.low, align="edge", color=colour, edgecolor="white", linewidth=0.8)
        if node.share >= _WORDY:
            name = _short(node.path[-1])
            words = f"{name}\n{100.0 * node.share:.1f} %" if node.share >= 2 * _WORDY else name
            middle = (step + 0.5 * _BAR, node.low + 0.5 * node.share)
            axes.annotate(words, middle, ha="center", va="center", color=ink_on(colour), fontsize=8.5, weight="bold")
        _draw_answered(axes, node, step)
    _draw_bands(axes, nodes, colours)
    axes.set_xlim(-0.05, depth - 1 + _BAR + 0.75)
    axes.set_ylim(max(node.high for node in nodes) + 0.02, -0.02)
    axes.set_xticks([step + 0.5 * _BAR for step in range(depth)], [_ordinal(step) for step in range(depth)])
    axes.set_yticks([])
    axes.set_title(f"Which way {len(result.correct)} items go", loc="left", fontsize=12.5, pad=10)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return axes


def _nodes(shares: Mapping[Path, float], before: Path, low: float) -> Iterator[_Node]:
    """The groups of items below a path, the bands of one column apart, those that answer above those that go on."""
    step = len(before)
    heads: dict[Path, float] = {}
    for path, share in shares.items():
        if path[:step] == before and len(path) > step:
            heads[path[: step + 1]] = heads.get(path[: step + 1], 0.0) + share
    for head, share in sorted(heads.items(), key=lambda entry: -entry[1]):
        answered = shares.get(head, 0.0)
        yield _Node(head, share, answered, low)
        below = list(_nodes(shares, head, low + answered + (_GAP if answered else 0.0)))
        yield from below
        low = max([low + share, *(node.high for node in below)]) + _GAP


def _draw_answered(axes: Axes, node: _Node, step: int) -> None:
    if not node.answered:
        return
    axes.bar(step + _BAR, node.answered, 0.06, node.low, align="edge", color="#bbbbbb", linewidth=0.0)
    if node.answered >= 0.5 * _WORDY:
        at = (step + _BAR + 0.06, node.low + 0.5 * node.answered)
        note(axes, f"answered {100.0 * node.answered:.1f} %", at, colour="#333333", ha="left", va="center")


def _draw_bands(axes: Axes, nodes: list[_Node], colours: Mapping[str, str]) -> None:
    """From every group to the groups that it splits into."""
    by_path = {node.path: node for node in nodes}
    used = {node.path: node.low + node.answered for node in nodes}
    rise = np.linspace(0.0, 1.0, 40)
    ease = rise * rise * (3.0 - 2.0 * rise)
    for node in nodes:
        parent = by_path.get(node.path[:-1])
        if parent is None:
            continue
        start = used[parent.path]
        used[parent.path] += node.share
        x = len(node.path) - 2 + _BAR + rise * (1.0 - _BAR)
        low = start + (node.low - start) * ease
        axes.fill_between(x, low, low + node.share, color=colours[node.path[-1]], alpha=0.32, linewidth=0.0, zorder=0)


def _shares(result: Replay) -> dict[Path, float]:
    return {path: count / len(result.correct) for path, count in result.path_counts.items()}


def _short(name: str) -> str:
    """The beginning and the end of a name that would be wider than its bar."""
    return name if len(name) <= _MAX_LETTERS else f"{name[:5]}…{name[-5:]}"


def _first_place(stage: str, shares: Mapping[Path, float]) -> tuple[int, float]:
    """How early a stage runs, then how seldom."""
    places = [path.index(stage) for path in shares if stage in path]
    return min(places), -sum(share for path, share in shares.items() if stage in path)


def _ascending(replays: Mapping[float | None, Replay]) -> list[float | None]:
    return sorted(replays, key=lambda budget_ms: inf if budget_ms is None else budget_ms)


def _ordinal(step: int) -> str:
    return ("first stage", "second", "third", "fourth")[step] if step < 4 else f"{step + 1}th"
