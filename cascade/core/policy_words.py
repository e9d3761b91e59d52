"""A policy as tables for notebooks. Pure."""

from __future__ import annotations

from cascade.core.guarantee import Guarantee
from cascade.core.html import paragraph, table
from cascade.core.times import StageTimes
from cascade.core.wording import Thresholds

MAX_SHOWN = 5
"""Stages up to which decisions are shown unasked: solving them takes 0.15 s with five stages, and 1.7 s with eight."""


def in_html(title: str, stages: tuple[str, ...], times: StageTimes, plan: Thresholds | None, level: float) -> str:
    """How long each stage takes and, where a plan is given, what happens after each set of stages without a deadline.

    Parameters
    ----------
    title : str
    stages : tuple of str
    times : StageTimes
        Of single items.
    plan : Thresholds or None
    level : float
        The quantile of the upper times.
    """
    times_ms = zip(stages, times.mean_ms.tolist(), times.upper_ms.tolist(), times.costs.tolist(), strict=True)
    by_stage = table(["stage", "mean ms", f"{level:g} quantile, ms", "cost"], times_ms, caption=title)
    if plan is None:
        return by_stage + paragraph("policy.explain(budget_ms=...) says what it does.")
    steps = [str(row).split(": ", 1) for row in plan]
    return by_stage + table(["without a deadline", ""], steps)


def titled(stages: tuple[str, ...], n_items: int, chain: tuple[float, ...] | None, guarantee: Guarantee | None) -> str:
    """What kind of policy it is, in one line."""
    made = f"fitted on {n_items} items" if chain is None else "thresholds set by hand"
    if guarantee is None:
        return f"Policy over {len(stages)} stages, {made}"
    promise = f"certified: {guarantee.risk} at most {guarantee.max_risk:.4g} from {guarantee.min_budget_ms:.4g} ms on"
    return f"Policy over {len(stages)} stages, {made}, {promise}"
