"""Decisions in words: threshold rows for reading, and the plan for a budget as text.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

from cascade.core.induction import STOP, StageTimes
from cascade.core.table import DecisionTable

ANSWER = "answer"


class Outlook(Protocol):
    """What a fresh request may expect."""

    @property
    def accuracy(self) -> float:
        """Expected accuracy."""
        ...

    @property
    def mean_ms(self) -> float:
        """Expected service time in milliseconds."""
        ...

    @property
    def mean_cost(self) -> float:
        """Expected cost in the user's unit."""
        ...


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


def explain_chain(rows: Thresholds, budget_ms: float | None) -> str:
    """A chain set by hand, in words."""
    lines = [f"Plan {_allowed(budget_ms)}, thresholds set by hand:", *(f"  {row}" for row in rows)]
    return "\n".join([*lines, "Expected accuracy: unknown for thresholds set by hand; replay them over outcomes."])


def explain_plan(rows: Thresholds, budget_ms: float | None, outlook: Outlook, best: Outlook, n_items: int) -> str:
    """A fitted plan in words, with what it expects and what it gives up against the most accurate one that fits."""
    lines = [f"Plan {_allowed(budget_ms)}:", *(f"  {row}" for row in rows)]
    if rows[0].intervals[0][2] == ANSWER:
        return "\n".join([*lines, "Not even the fastest stage fits; the setting infeasible= says what happens then."])
    lines.append(
        f"Expected: accuracy {outlook.accuracy:.4f}, {outlook.mean_ms:.4g} ms and cost {outlook.mean_cost:.4g} on average "
        f"(cross-fitted on {n_items} labelled items)."
    )
    given_up, saved_ms = max(best.accuracy - outlook.accuracy, 0.0), best.mean_ms - outlook.mean_ms
    if saved_ms > 0.0:
        lines.append(
            f"Given up against the most accurate plan that fits: {100 * given_up:.2f} points of accuracy, "
            f"for {saved_ms:.4g} ms less on average."
        )
    else:
        lines.append("Nothing is given up: this is the most accurate plan that fits.")
    return "\n".join(lines)


def _allowed(budget_ms: float | None) -> str:
    return "without a deadline" if budget_ms is None else f"for {budget_ms:.4g} ms"


def _intervals_in_words(intervals: tuple[tuple[float, float, str], ...]) -> str:
    if len(intervals) == 1:
        return "answer" if intervals[0][2] == ANSWER else f"run {intervals[0][2]}"
    parts = []
    for low, high, action in reversed(intervals):
        does = "answer" if action == ANSWER else f"run {action}"
        if low <= 0.0:
            parts.append(f"below, {does}")
        elif high >= 1.0:
            parts.append(f"at confidence >= {low:.3f} {does}")
        else:
            parts.append(f"from {low:.3f} {does}")
    return "; ".join(parts)
