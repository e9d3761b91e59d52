"""Answer the same images under the same budget in several ways, timed by the same lines.

May read a clock and call whatever answers; knows neither models nor policies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from cascade.clock import Clock
from cascade.core.interval import wilson_interval

Answer = Callable[[Any], tuple[Hashable, tuple[str, ...]]]
"""From one image to its label and the names of the stages that ran."""

_N_WARM = 20
# Contestants take turns in blocks: each has its caches warm, as in service, and a busy spell of the machine hits all.
_BLOCK = 25


@dataclass(frozen=True, slots=True)
class Measured:
    """How one contestant did on all images under one budget.

    Attributes
    ----------
    contestant : str
    budget_ms : float or None
    n : int
        Number of images.
    accuracy, ci_low, ci_high : float
        Share of right labels, late ones included, and its 95 % Wilson interval.
    mean_ms, p50_ms, p99_ms : float
        Latency from the call to the answer.
    in_time : float
        Share of answers within the budget; 1 without one.
    path_shares : mapping from str to float
        Share of images per path, the most frequent first; a path reads ``"small > big"``.
    """

    contestant: str
    budget_ms: float | None
    n: int
    accuracy: float
    ci_low: float
    ci_high: float
    mean_ms: float
    p50_ms: float
    p99_ms: float
    in_time: float
    path_shares: Mapping[str, float]


def race(
    contestants: Mapping[str, Answer],
    images: Sequence[Any],
    labels: Sequence[Hashable],
    *,
    budget_ms: float | None,
    warm_up: Sequence[Any],
    clock: Clock,
) -> list[Measured]:
    """Every image answered by every contestant, one image a call.

    Parameters
    ----------
    contestants : mapping from str to callable
        How each one answers an image.
    images : sequence of n images
    labels : sequence of n labels
        The truth.
    budget_ms : float or None
        What counts as in time; the contestants know it already.
    warm_up : sequence of images
        Answered first and not measured.
    clock : Clock

    Returns
    -------
    list of Measured
        One per contestant, in their order.
    """
    for answer in contestants.values():
        for image in warm_up[:_N_WARM]:
            answer(image)
    laps: dict[str, list[tuple[bool, float, tuple[str, ...]]]] = {name: [] for name in contestants}
    for start in range(0, len(images), _BLOCK):
        rows = range(start, min(start + _BLOCK, len(images)))
        for name, answer in contestants.items():
            laps[name] += [_lap(answer, images[row], labels[row], clock) for row in rows]
    return [_measured(name, budget_ms, laps[name]) for name in contestants]


def _lap(answer: Answer, image: Any, truth: Hashable, clock: Clock) -> tuple[bool, float, tuple[str, ...]]:
    start_ms = clock.now_ms()
    label, path = answer(image)
    latency_ms = clock.now_ms() - start_ms
    return label == truth, latency_ms, path


def _measured(
    contestant: str, budget_ms: float | None, laps: Sequence[tuple[bool, float, tuple[str, ...]]]
) -> Measured:
    n = len(laps)
    n_right = sum(right for right, _, _ in laps)
    latencies_ms = np.array([latency_ms for _, latency_ms, _ in laps])
    paths = Counter(" > ".join(path) for _, _, path in laps)
    low, high = wilson_interval(n_right, n)
    return Measured(
        contestant=contestant,
        budget_ms=budget_ms,
        n=n,
        accuracy=n_right / n,
        ci_low=low,
        ci_high=high,
        mean_ms=float(latencies_ms.mean()),
        p50_ms=float(np.quantile(latencies_ms, 0.5)),
        p99_ms=float(np.quantile(latencies_ms, 0.99)),
        in_time=float((latencies_ms <= (inf if budget_ms is None else budget_ms)).mean()),
        path_shares={path: count / n for path, count in paths.most_common()},
    )
