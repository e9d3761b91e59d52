"""Points of a curve, and what a cascade is compared with.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One point of a `Frontier`; the fields are those of its arrays."""

    price: float
    budget_ms: float
    mean_ms: float
    mean_cost: float
    accuracy: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True, slots=True)
class ReferencePoint:
    """What a cascade is compared with: one stage alone, or the oracle.

    Attributes
    ----------
    name : str
    mean_ms, mean_cost : float
        Mean time in milliseconds and mean cost per item; of an exit, with the exits before it.
    accuracy, ci_low, ci_high : float
        Share of right answers and the ends of its interval.
    """

    name: str
    mean_ms: float
    mean_cost: float
    accuracy: float
    ci_low: float
    ci_high: float
