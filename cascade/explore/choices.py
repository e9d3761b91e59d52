"""What the sliders of the page choose among: budgets, loads and targets, and what is expected at each.

Pure. Everything that the page may say is computed and worded here; the page only looks it up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cascade.core.frontier import Frontier

HEADROOM = 0.8
"""Share of a lane's time that is planned, as a predictor does by default."""
_MAX_BUDGETS = 40
_MAX_PATHS = 12
_N_LOADS, _N_TARGETS = 16, 40
_SLACK = 1e-9
NO_TARGET = -1
"""Place of a budget where there is none."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What becomes of one example: the path it takes, what is answered, how sure, and whether it is right."""

    path: tuple[str, ...]
    label: str
    confidence: float
    is_right: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """What is expected at one budget and one price.

    Attributes
    ----------
    accuracy, ci_low, ci_high : float
        Share of right answers, and its interval.
    mean_ms : float
        Mean time per item.
    price : float or None
        Accuracy per millisecond; None for a chain set by hand, which has none.
    is_late : bool
        Whether not even the fastest stage fits the budget, so that it answers late.
    p99_ms : float or None
        0.99 quantile of the time over items; None where only the curve is known, as are the rest then.
    words : str
        The plan, as `Policy.explain` says it.
    thresholds : tuple of (after, confidence, action)
        The plan as a table.
    paths : tuple of (path, share)
        The most frequent first.
    examples : tuple of Answered
        One for each example.
    """

    accuracy: float
    ci_low: float
    ci_high: float
    mean_ms: float
    price: float | None
    is_late: bool = False
    p99_ms: float | None = None
    words: str = ""
    thresholds: tuple[tuple[str, str, str], ...] = ()
    paths: tuple[tuple[str, float], ...] = ()
    examples: tuple[Answered, ...] = ()

    @property
    def most_rps(self) -> float:
        """Requests per second that one lane carries so, one at a time."""
        return 1000.0 * HEADROOM / self.mean_ms if self.mean_ms else float("inf")


@dataclass(frozen=True, slots=True)
class Choices:
    """All there is to choose from.

    Attributes
    ----------
    budgets : tuple of float or None
        Milliseconds, ascending; None for no deadline.
    levels : tuple of tuples of Choice
        For every budget what there is, from the one without load to the cheapest.
    """

    budgets: tuple[float | None, ...]
    levels: tuple[tuple[Choice, ...], ...]

    @property
    def loads_rps(self) -> tuple[float, ...]:
        """Loads to choose from, in requests per second: none, then up to more than even the cheapest choice carries."""
        rates = [choice.most_rps for choice in self._all() if choice.mean_ms]
        if not rates:
            return (0.0,)
        return (0.0, *rounded(np.geomspace(0.7 * min(rates), 1.2 * max(rates), _N_LOADS)))

    @property
    def targets(self) -> tuple[float, ...]:
        """Accuracies to ask for, in steps that are easy to say."""
        least, most = (pick(choice.accuracy for choice in self._all()) for pick in (min, max))
        step = next(step for step in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05) if (most - least) / step <= _N_TARGETS)
        return tuple(round(k * step, 3) for k in range(int(least / step), int(most / step) + 2) if k * step <= 1.0)

    def level_at(self, budget_index: int, load_rps: float) -> tuple[int, bool]:
        """The first choice that carries the load under the budget; where none does, the cheapest, and False."""
        levels = self.levels[budget_index]
        for place, choice in enumerate(levels):
            if load_rps <= choice.most_rps * (1.0 + _SLACK):
                return place, True
        return len(levels) - 1, False

    def cheapest_budget(self, target: float, load_rps: float) -> int:
        """The place of the smallest budget that reaches an accuracy under a load; `NO_TARGET` if none does."""
        for place in range(len(self.budgets)):
            level, carries = self.level_at(place, load_rps)
            choice = self.levels[place][level]
            if carries and not choice.is_late and choice.accuracy >= target - _SLACK:
                return place
        return NO_TARGET

    def thinned(self) -> Choices:
        """Every other price, or where only the first is left every other budget, counted from the end."""
        if any(len(levels) > 1 for levels in self.levels):
            return Choices(self.budgets, tuple(levels[::2] for levels in self.levels))
        return Choices(self.budgets[::-2][::-1], self.levels[::-2][::-1])

    def to_dict(self) -> dict[str, Any]:
        """Everything in words and numbers, ready for JSON; texts that repeat are named by number."""
        known: dict[str, dict[Any, int]] = {"lines": {}, "rows": {}, "paths": {}, "labels": {}}
        starts = np.cumsum([0, *(len(levels) for levels in self.levels)]).tolist()
        loads, targets = self.loads_rps, self.targets
        found = [[self.level_at(place, load) for load in loads] for place in range(len(self.budgets))]
        return {
            "budgets": [budget_in_words(budget_ms) for budget_ms in self.budgets],
            "loads": [load_in_words(load) for load in loads],
            "targets": [{"value": target, "text": percent(target)} for target in targets],
            "at": [[starts[place] + level for level, _ in row] for place, row in enumerate(found)],
            "carries": [[int(carries) for _, carries in row] for row in found],
            "reach": [[self.cheapest_budget(target, load) for target in targets] for load in loads],
            "cells": [_cell(choice, known) for choice in self._all()],
            **{name: list(texts) for name, texts in known.items()},
        }

    def _all(self) -> Iterable[Choice]:
        return (choice for levels in self.levels for choice in levels)


def choices_of_curve(curve: Frontier) -> Choices:
    """The points of a curve by the budget that they need, the most accurate first."""
    needed = np.unique(curve.budget_ms)
    shown = needed[np.unique(np.linspace(0, len(needed) - 1, min(len(needed), _MAX_BUDGETS)).round().astype(int))]
    columns = (curve.accuracy, curve.ci_low, curve.ci_high, curve.mean_ms, curve.price)
    points = [Choice(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
    levels = [
        tuple(points[i] for i in reversed(range(len(curve))) if curve.budget_ms[i] <= budget_ms) for budget_ms in shown
    ]
    return Choices((*shown.tolist(), None), (*levels, tuple(reversed(points))))


def rounded(values: Iterable[float]) -> tuple[float, ...]:
    """Three digits of each value, without repeats.

    Examples
    --------
    >>> rounded([1.2345, 1.2346, 99.99])
    (1.23, 100.0)
    """
    return tuple(dict.fromkeys(float(f"{value:.3g}") for value in values))


def percent(share: float) -> str:
    """A share as the page says it."""
    return f"{100.0 * share:.1f} %"


def interval(low: float, high: float) -> str:
    """An interval of shares as the page says it."""
    return f"{100.0 * low:.1f} to {100.0 * high:.1f} %"


def milliseconds(value: float) -> str:
    """A duration as the page says it."""
    return f"{value:.4g} ms"


def budget_in_words(budget_ms: float | None) -> str:
    """A budget as the page says it."""
    return "no deadline" if budget_ms is None else milliseconds(budget_ms)


def load_in_words(load_rps: float) -> str:
    """A load as the page says it."""
    return f"{load_rps:g} requests a second" if load_rps else "no load"


def _cell(choice: Choice, known: dict[str, dict[Any, int]]) -> dict[str, Any]:
    return {
        "accuracy": choice.accuracy,
        "low": choice.ci_low,
        "high": choice.ci_high,
        "ms": choice.mean_ms,
        "late": int(choice.is_late),
        "said": [
            percent(choice.accuracy),
            interval(choice.ci_low, choice.ci_high),
            milliseconds(choice.mean_ms),
            "" if choice.p99_ms is None else milliseconds(choice.p99_ms),
            "" if choice.price is None else f"{choice.price:.3g}",
            f"{float(f'{choice.most_rps:.3g}'):g} a second",
        ],
        "words": [_number(known["lines"], line) for line in choice.words.splitlines()],
        "thresholds": [_number(known["rows"], row) for row in choice.thresholds],
        "paths": [
            [_number(known["paths"], path), round(share, 6), percent(share)] for path, share in _frequent(choice)
        ],
        "examples": [_example(example, known) for example in choice.examples],
    }


def _frequent(choice: Choice) -> Sequence[tuple[str, float]]:
    """The paths that most items take, and what the others sum to."""
    shown, rest = choice.paths[:_MAX_PATHS], choice.paths[_MAX_PATHS:]
    return [*shown, (f"{len(rest)} other paths", sum(share for _, share in rest))] if rest else shown


def _example(example: Answered, known: dict[str, dict[Any, int]]) -> Sequence[Any]:
    path, label = _number(known["paths"], " > ".join(example.path)), _number(known["labels"], example.label)
    return [path, label, f"{example.confidence:.2f}", int(example.is_right)]


def _number(known: dict[Any, int], text: Any) -> int:
    return known.setdefault(text, len(known))
