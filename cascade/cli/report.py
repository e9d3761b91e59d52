"""What the demo found out, as a value, as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cascade.cli.race import Measured
from cascade.cli.text import path_mix, percent, short, text_table
from cascade.core.service import ServiceTable


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the demo found out.

    Attributes
    ----------
    seed : int
    sizes : mapping from str to int
        Number of images in each part of the data.
    service : ServiceTable
    budgets : sequence of sequence of Measured
        Per budget, the last without a deadline: the cascade, the largest model that fits, the smallest model.
    singles : sequence of Measured
        Each model alone, without a deadline, in the order of the stages.
    explained_ms : float
        The budget that the explanation is for.
    explanation : str
        The plan under that budget in words.
    seconds : mapping from str to float
        How long each phase took.
    """

    seed: int
    sizes: Mapping[str, int]
    service: ServiceTable
    budgets: Sequence[Sequence[Measured]]
    singles: Sequence[Measured]
    explained_ms: float
    explanation: str
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The report as values that JSON knows."""
        return {
            "seed": self.seed,
            "sizes": dict(self.sizes),
            "seconds": dict(self.seconds),
            "singles": [asdict(row) for row in self.singles],
            "budgets": [asdict(row) for rows in self.budgets for row in rows],
            "explained_ms": self.explained_ms,
            "explanation": self.explanation,
            "service": self.service.to_dict(),
        }

    def __str__(self) -> str:
        sizes = ", ".join(f"{n} {part.replace('_', '-')}" for part, n in self.sizes.items())
        seconds = ", ".join(f"{phase} {took:.1f} s" for phase, took in self.seconds.items())
        return "\n\n".join(
            [
                f"Images: {sizes}; disjoint, every digit in the same share. All numbers below are on the held-out ones.",
                f"The models, each alone on every image (service times as measured beforehand):\n{_singles_table(self)}",
                f"One image a call, under a budget:\n{_budgets_table(self)}",
                f"The paths the cascade took, as shares of the images:\n{_paths_table(self)}",
                f"What the cascade does with {self.explained_ms:g} ms, as predictor.explain says:\n{self.explanation}",
                f"Time taken: {seconds}.",
            ]
        )


def _singles_table(report: Report) -> str:
    service = report.service
    fastest_ms = min(service.mean_at(j, 1) for j in range(service.n_stages))
    rows = [
        [
            row.contestant,
            short(service.mean_at(j, 1)),
            short(service.quantile_at(j, 1, 0.99)),
            f"{service.mean_at(j, 1) / fastest_ms:.0f} x",
            *_accuracy_cells(row),
        ]
        for j, row in enumerate(report.singles)
    ]
    return text_table(
        ["model", "mean ms", "p99 ms", "cost", "accuracy", "95 % interval"], rows, right=frozenset({1, 2, 3, 4})
    )


def _budgets_table(report: Report) -> str:
    rows: list[list[str]] = []
    for measured in report.budgets:
        rows += [_cells(row, first=position == 0) for position, row in enumerate(measured)]
        rows.append([])
    header = ["budget", "answered by", "accuracy", "95 % interval", "mean ms", "p50 ms", "p99 ms", "in time"]
    return text_table(header, rows[:-1], right=frozenset({0, 2, 4, 5, 6, 7}))


def _cells(row: Measured, *, first: bool) -> list[str]:
    return [
        _budget(row) if first else "",
        row.contestant,
        *_accuracy_cells(row),
        short(row.mean_ms),
        short(row.p50_ms),
        short(row.p99_ms),
        percent(row.in_time),
    ]


def _paths_table(report: Report) -> str:
    rows = [[_budget(measured[0]), path_mix(measured[0].path_shares)] for measured in report.budgets]
    return text_table(["budget", "path mix"], rows, right=frozenset({0}))


def _budget(row: Measured) -> str:
    return "none" if row.budget_ms is None else f"{row.budget_ms:g} ms"


def _accuracy_cells(row: Measured) -> list[str]:
    return [percent(row.accuracy, 2), f"{percent(row.ci_low)} to {percent(row.ci_high)}"]
