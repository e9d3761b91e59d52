"""Figures over simulated requests, as numbers and as text.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import isfinite, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.records import FloatArray
from cascade.simulation.tables import milliseconds, percent

QUANTILES = (0.5, 0.9, 0.99, 0.999)
HEADER = ("requests", "number", "in time", "of admitted", "effective acc.", "p50", "p99", "p99.9")
_SHARES = ("slo_attainment", "attainment_of_admitted", "effective_accuracy", "accuracy_of_answers")


class Ending(IntEnum):
    """How a request ended.

    Answered as planned or from less than was planned; refused on arrival, too late to start, given up so that others are in
    time, or for want of a stage that works.
    """

    ANSWERED = 1
    DEGRADED = 2
    REJECTED = 3
    EXPIRED = 4
    SHED = 5
    FAILED = 6


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures over some of the requests.

    Attributes
    ----------
    n_requests : int
    slo_attainment : float
        In-time answers over all offered requests.
    attainment_of_admitted : float
        In-time answers over all requests that were not refused on arrival; NaN if all were.
    effective_accuracy : float
        Share of right answers in time over all offered requests: a late or a missing answer counts as wrong.
    accuracy_of_answers : float
        Share of right answers over all answers, late ones included; NaN without any.
    latency_ms : mapping from float to float
        Quantiles of the time from arrival to answer, over the answers; NaN without any.
    """

    n_requests: int
    slo_attainment: float
    attainment_of_admitted: float
    effective_accuracy: float
    accuracy_of_answers: float
    latency_ms: dict[float, float]


def figures_of(
    ending: NDArray[np.uint8], in_time: NDArray[np.bool_], correct: NDArray[np.bool_], latency_ms: FloatArray
) -> Figures:
    """Figures over n requests, at least one, each array of shape (n,)."""
    answered = ending <= Ending.DEGRADED
    n_admitted = int((ending != Ending.REJECTED).sum())
    waited_ms = latency_ms[answered]
    return Figures(
        n_requests=len(in_time),
        slo_attainment=float(in_time.mean()),
        attainment_of_admitted=float(in_time.sum()) / n_admitted if n_admitted else nan,
        effective_accuracy=float((correct & in_time).mean()),
        accuracy_of_answers=float(correct[answered].mean()) if answered.any() else nan,
        latency_ms={level: float(np.quantile(waited_ms, level)) if len(waited_ms) else nan for level in QUANTILES},
    )


def table_row(name: str, figures: Figures) -> list[str]:
    """Cells under `HEADER`."""
    return [
        name,
        str(figures.n_requests),
        percent(figures.slo_attainment, 2),
        percent(figures.attainment_of_admitted, 2),
        percent(figures.effective_accuracy, 2),
        *(milliseconds(figures.latency_ms[level]) for level in (0.5, 0.99, 0.999)),
    ]


def plain_figures(figures: Figures) -> dict[str, Any]:
    """The figures as values that JSON knows."""
    return {
        "n_requests": figures.n_requests,
        **{name: number_or_none(getattr(figures, name)) for name in _SHARES},
        "latency_ms": {f"{level:g}": number_or_none(ms) for level, ms in figures.latency_ms.items()},
    }


def number_or_none(value: float) -> float | None:
    """The value, None where it is not a number or infinite, which JSON does not know."""
    return value if isfinite(value) else None
