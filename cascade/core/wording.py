"""Decisions in words: threshold rows for reading, and the plan for a budget as text.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from cascade.core.html import table
from cascade.core.induction import STOP
from cascade.core.prices import Expected
from cascade.core.table import DecisionTable
from cascade.core.times import StageTimes

ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What happens once a set of stages has run.

    Attributes
    ----------
    evidence : tuple of str
        Names of the stages that have run; empty at the start.
    intervals : tuple of (low, high, action)
        Intervals of confidence, ascending, each with ``"answer"`` or the name of the stage that runs next.
    """

    evidence: tuple[str, ...]
    intervals: tuple[tuple[float, float, str], ...]

    @property
    def exit_at(self) -> float | None:
        """Smallest confidence from which on this set answers; None if it never does at full confidence."""
        low, _, action = self.intervals[-1]
        return low if action == ANSWER else None

    def __str__(self) -> str:
        if not self.evidence:
            return f"start: run {self.intervals[0][2]}" if self.intervals[0][2] != ANSWER else "start: no stage fits"
        return f"after {' + '.join(self.evidence)}: {_intervals_in_words(self.intervals)}"


@dataclass(frozen=True, slots=True)
class Thresholds(Sequence[ThresholdRow]):
    """The rows for every set of stages that a request can reach under one budget."""

    rows: tuple[ThresholdRow, ...]

    @overload
    def __getitem__(self, index: int) -> ThresholdRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ThresholdRow]: ...
    def __getitem__(self, index: int | slice) -> ThresholdRow | Sequence[ThresholdRow]:
        """Row, or rows, by position."""
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ThresholdRow]:
        return iter(self.rows)

    def __str__(self) -> str:
        return "\n".join(str(row) for row in self.rows)

    def _repr_html_(self) -> str:
        return table([], [str(row).split(": ", 1) for row in self.rows])


def threshold_rows(
    table: DecisionTable, stages: tuple[str, ...], times: StageTimes, budget_ms: float | None
) -> Thresholds:
    """One row per set of stages a fresh request can reach, each stage taking its mean time."""
    allowed = float("inf") if budget_ms is None else float(budget_ms)
    rows, seen, waiting = [], {0}, [0]
    while waiting:
        evidence_set = waiting.pop(0)
        members = [j for j in range(len(stages)) if evidence_set >> j & 1]
        left_ms = allowed - float(times.mean_ms[members].sum())
        starts = table.intervals(evidence_set, left_ms)
        if evidence_set == 0:
            starts = [(0.0, starts[0][1])]
        ends = [*(low for low, _ in starts[1:]), 1.0]
        named = [(low, high, ANSWER if j == STOP else stages[j]) for (low, j), high in zip(starts, ends, strict=True)]
        rows.append(ThresholdRow(tuple(stages[j] for j in members), tuple(named)))
        for j in dict.fromkeys(j for _, j in starts if j != STOP):
            after = evidence_set | 1 << j
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return Thresholds(tuple(rows))


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a plan is made under, for its explanation.

    Attributes
    ----------
    budget_ms : float or None
    fastest : str
        Name of the stage that answers first.
    needed_ms, level : float
        Time that this stage stays within, and with which probability.
    n_items : int
        Number of labelled items behind the expectations.
    costs_count : bool
        Whether costs other than time weigh in the decisions.
    """

    budget_ms: float | None
    fastest: str
    needed_ms: float
    level: float
    n_items: int
    costs_count: bool

    def __str__(self) -> str:
        return "without a deadline" if self.budget_ms is None else f"for {self.budget_ms:.4g} ms"

    @property
    def late(self) -> str:
        """What happens where no stage fits."""
        needs = f"Even {self.fastest} needs {self.needed_ms:.4g} ms ({self.level:g} quantile of its time)"
        return f"{needs}; by default it answers all the same, late"


def explain_chain(rows: Thresholds, under: Circumstances) -> str:
    """A chain set by hand, in words."""
    lines = [f"Plan {under}, thresholds set by hand:", *(f"  {row}" for row in rows)]
    if _is_infeasible(rows):
        return "\n".join([*lines, f"{under.late}."])
    return "\n".join([*lines, "Expected accuracy: unknown for thresholds set by hand; replay them over outcomes."])


def explain_plan(rows: Thresholds, under: Circumstances, outlook: Expected, best: Expected) -> str:
    """A fitted plan in words, with what it expects and what it gives up.

    Parameters
    ----------
    rows : Thresholds
    under : Circumstances
    outlook, best : Expected
        Of this plan, and of the plan for the same budget when a millisecond is worth next to nothing.
    """
    lines = [f"Plan {under}:", *(f"  {row}" for row in rows)]
    if _is_infeasible(rows):
        return "\n".join([*lines, f"{under.late}, with an expected accuracy of {outlook.accuracy:.4f}."])
    lines.append(
        f"Expected: accuracy {outlook.accuracy:.4f}, {_spent(outlook)} on average "
        f"(cross-fitted on {under.n_items} labelled items)."
    )
    given_up, saved_ms = 100.0 * (best.accuracy - outlook.accuracy), best.mean_ms - outlook.mean_ms
    dearer = "the best plan that fits, time being free" if under.costs_count else "the most accurate plan that fits"
    if saved_ms <= 0.0:
        lines.append(f"Nothing is given up: this is {dearer}.")
    else:
        points = f"{given_up:.2f}" if given_up >= 0.005 else "less than 0.01"
        lines.append(f"Given up against {dearer}: {points} points of accuracy, to save {saved_ms:.4g} ms on average.")
    return "\n".join(lines)


def _is_infeasible(rows: Thresholds) -> bool:
    return rows[0].intervals[0][2] == ANSWER


def _spent(outlook: Expected) -> str:
    """Time and cost; a cost that is the time itself is said once."""
    time = f"{outlook.mean_ms:.4g} ms"
    return time if outlook.mean_cost == outlook.mean_ms else f"{time} and cost {outlook.mean_cost:.4g}"


def _intervals_in_words(intervals: tuple[tuple[float, float, str], ...]) -> str:
    parts = []
    for low, _, action in reversed(intervals):
        does = "answer" if action == ANSWER else f"run {action}"
        if low <= 0.0:
            parts.append(does if len(intervals) == 1 else f"else {does}")
        else:
            parts.append(f"{does} {'from' if parts else 'at confidence >='} {_confidence(low)}")
    return ", ".join(parts)


def _confidence(value: float) -> str:
    """Three digits, or as many as tell the value from one."""
    for n_digits in (3, 4, 5):
        shown = f"{value:.{n_digits}f}"
        if float(shown) < 1.0 or value >= 1.0:
            return shown
    return f"{value:.6f}"
