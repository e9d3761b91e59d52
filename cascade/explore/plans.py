"""What a policy does over a grid of budgets and prices, by replaying recorded outcomes.

Pure but for a progress bar on request.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cascade.core.interval import wilson_interval
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.progress import with_progress
from cascade.core.records import IntArray
from cascade.core.replay import Replay
from cascade.core.wording import ANSWER, Thresholds
from cascade.explore.choices import Answered, Choice, Choices, rounded

N_BUDGETS = 24
_MAX_PRICES = 12
# Prices that change the expected time by less than this share are left out.
_VISIBLE = 0.04


def choices_of_policy(policy: Policy, outcomes: Outcomes, examples: IntArray, *, progress: bool) -> Choices:
    """What the policy does on the outcomes under every budget, without load and at prices that rise with it.

    Parameters
    ----------
    policy : Policy
    outcomes : Outcomes
    examples : ndarray of int64, shape (m,)
        Rows that are followed one by one.
    progress : bool
        Show a progress bar on standard error when the work is long.
    """
    budgets, prices = budgets_to_try(policy), prices_to_try(policy)
    levels = [
        tuple(_choice(policy, outcomes, budget_ms, price, examples) for price in _dearer(policy, budget_ms, prices))
        for budget_ms in with_progress(budgets, progress, desc="replaying", unit="budget")
    ]
    return Choices(tuple(budgets), tuple(levels))


def budgets_to_try(policy: Policy) -> list[float | None]:
    """From just too little for the fastest stage to enough for all stages in a row, then no deadline."""
    times = policy.times()
    first = [j for j, before in enumerate(policy.requires) if before < 0]
    least, most = float(times.upper_ms[first].min()), float(times.upper_ms.sum())
    return [*rounded(np.geomspace(0.9 * least, 1.02 * most, N_BUDGETS)), None]


def prices_to_try(policy: Policy) -> list[float]:
    """Prices above the one without load, each of which changes the expected time visibly; none for a chain."""
    if policy.statistics is None:
        return []
    last_ms, kept = policy.expected().mean_ms, list[float]()
    for price in policy.decisions().prices.tolist():
        mean_ms = policy.expected(price=price).mean_ms
        if price > policy.unloaded_price() and mean_ms < (1.0 - _VISIBLE) * last_ms:
            kept.append(price)
            last_ms = mean_ms
    places = np.linspace(0, len(kept) - 1, min(len(kept), _MAX_PRICES)).round().astype(int)
    return [kept[i] for i in places]


def _dearer(policy: Policy, budget_ms: float | None, prices: Sequence[float]) -> list[float | None]:
    """The price without load under this budget, which is written as None, and those above it."""
    return [None, *(price for price in prices if price > policy.unloaded_price(budget_ms))]


def _choice(
    policy: Policy, outcomes: Outcomes, budget_ms: float | None, price: float | None, examples: IntArray
) -> Choice:
    result = policy.replay(outcomes, budget_ms, price)
    n = outcomes.n_items
    low, high = wilson_interval(int(result.correct.sum()), n)
    thresholds = policy.thresholds(budget_ms, price)
    ruling = price if price is not None else _unloaded(policy, budget_ms)
    return Choice(
        result.accuracy,
        low,
        high,
        result.mean_ms,
        ruling,
        is_late=thresholds[0].intervals[0][2] == ANSWER,
        p99_ms=result.p99_ms,
        words=policy.explain(budget_ms, price),
        thresholds=_in_rows(thresholds),
        paths=tuple((" > ".join(path), count / n) for path, count in result.path_counts.items()),
        examples=tuple(_answered(result, examples)),
    )


def _unloaded(policy: Policy, budget_ms: float | None) -> float | None:
    return None if policy.statistics is None else policy.unloaded_price(budget_ms)


def _in_rows(thresholds: Thresholds) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (
            " + ".join(row.evidence) or "start",
            f"{low:.3f} to {high:.3f}",
            action if action == ANSWER else f"run {action}",
        )
        for row in thresholds
        for low, high, action in row.intervals
    )


def _answered(result: Replay, examples: IntArray) -> list[Answered]:
    paths = tuple(result.path_counts)
    return [
        Answered(
            paths[result.path_index[i]],
            str(result.labels[i]),
            float(result.confidence[i]),
            bool(result.correct[i]),
        )
        for i in examples
    ]
