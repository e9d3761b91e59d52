"""Settings of serving that were tried in virtual time, and which of them to serve with.

Pure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from cascade.simulation.tables import milliseconds, percent, text_table


@dataclass(frozen=True, slots=True)
class Setting:
    """Knobs of serving.

    Attributes
    ----------
    n_lanes, max_batch : int
    headroom : float
    """

    n_lanes: int
    max_batch: int
    headroom: float


@dataclass(frozen=True, slots=True)
class Tried:
    """What one setting came to; means over the repetitions.

    Attributes
    ----------
    setting : Setting
    effective_accuracy, slo_attainment, attainment_of_admitted : float
    p99_ms : float
        0.99 quantile of the time to an answer, the highest of the repetitions; NaN without answers.
    utilisation : float
    attains : bool
        Whether ``slo_attainment`` is as high as was asked.
    behind, behind_error : float
        Effective accuracy that it lacks against the best of those that attain enough, on the same requests, and the standard
        error of that difference.
    """

    setting: Setting
    effective_accuracy: float
    slo_attainment: float
    attainment_of_admitted: float
    p99_ms: float
    utilisation: float
    attains: bool
    behind: float = 0.0
    behind_error: float = 0.0


@dataclass(frozen=True, slots=True)
class Tuning:
    """The setting to serve with, and all that were tried.

    Attributes
    ----------
    chosen : Setting
    min_attainment : float
        What was asked.
    tried : tuple of Tried
        The most accurate first, those that attain enough before the others.
    """

    chosen: Setting
    min_attainment: float
    tried: tuple[Tried, ...]

    @property
    def n_lanes(self) -> int:
        """Lanes to serve with."""
        return self.chosen.n_lanes

    @property
    def max_batch(self) -> int:
        """Largest batch to serve with."""
        return self.chosen.max_batch

    @property
    def headroom(self) -> float:
        """Share of the time to plan with."""
        return self.chosen.headroom

    @property
    def attains(self) -> bool:
        """Whether the chosen setting answers as large a share in time as was asked."""
        return next(row.attains for row in self.tried if row.setting == self.chosen)

    def to_dict(self) -> dict[str, Any]:
        """The result as values that JSON knows."""
        rows = [{**asdict(row), **asdict(row.setting)} for row in self.tried]
        for row in rows:
            del row["setting"]
            row["p99_ms"] = row["p99_ms"] if isfinite(row["p99_ms"]) else None
        return {**asdict(self.chosen), "attains": self.attains, "min_attainment": self.min_attainment, "tried": rows}

    def __str__(self) -> str:
        share = percent(self.min_attainment, 2)
        chosen = f"n_lanes={self.n_lanes}, max_batch={self.max_batch}, headroom={self.headroom:g}"
        why = f"of those that answer {share} in time, the fewest lanes within one standard error of the most accurate"
        if not self.attains:
            why = f"none answers {share} in time: these answer most in time; allow more time or lanes, or expect less load"
        rows = [_cells(row, row.setting == self.chosen) for row in self.tried]
        return f"{chosen}\n({why})\n\n{text_table(_HEADER, rows)}"


_HEADER = (
    "lanes",
    "max batch",
    "headroom",
    "effective acc.",
    "behind",
    "in time",
    "of admitted",
    "p99",
    "busy",
    "note",
)


def _cells(row: Tried, is_chosen: bool) -> list[str]:
    setting = row.setting
    return [
        str(setting.n_lanes),
        str(setting.max_batch),
        f"{setting.headroom:g}",
        percent(row.effective_accuracy, 2),
        f"{100.0 * row.behind:.2f} ± {100.0 * row.behind_error:.2f}",
        percent(row.slo_attainment, 2),
        percent(row.attainment_of_admitted, 2),
        milliseconds(row.p99_ms),
        percent(row.utilisation, 0),
        "chosen" if is_chosen else "" if row.attains else "too few in time",
    ]
