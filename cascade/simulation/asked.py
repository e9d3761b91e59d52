"""What requests ask for, whenever they arrive: an item, a budget, a class; drawn with a seed.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from cascade.core.records import FloatArray, IntArray
from cascade.errors import DataError
from cascade.scheduling.messages import Priority


class Asked(TypedDict):
    """What every maker of a workload takes besides the pattern of arrivals.

    Attributes
    ----------
    n_items : int
        Number of recorded items that requests are drawn from, each as likely as the others.
    budget_ms : float, or mapping from float to float
        Time allowed; one for all, or budgets with their shares, such as ``{15.0: 0.3, 50.0: 0.7}``. By default infinite.
    priority : Priority, or mapping from Priority to float
        Likewise; by default normal.
    strict_share : float
        Share of the requests, in [0, 1], that are answered by their deadline even while a stage still runs for them.
    seed : int
    """

    n_items: int
    budget_ms: NotRequired[float | Mapping[float, float]]
    priority: NotRequired[Priority | Mapping[Priority, float]]
    strict_share: NotRequired[float]
    seed: NotRequired[int]


def arrival_rng(asked: Asked) -> np.random.Generator:
    """The random numbers that decide when requests arrive."""
    return np.random.default_rng([asked.get("seed", 0), 0])


def drawn(n: int, asked: Asked) -> tuple[FloatArray, IntArray, IntArray, NDArray[np.bool_]]:
    """Budgets, classes, items and strictness of n requests, each from random numbers of its own.

    Raises
    ------
    DataError
        If a number is outside its range, or a class is none.
    """
    seed, n_items = asked.get("seed", 0), asked["n_items"]
    strict_share = asked.get("strict_share", 0.0)
    if n_items < 1:
        raise DataError(f"expected n_items of at least 1, the number of recorded items, got {n_items}")
    if not 0.0 <= strict_share <= 1.0:
        raise DataError(f"expected strict_share in [0, 1], got {strict_share}")
    rngs = [np.random.default_rng([seed, stream]) for stream in range(1, 5)]
    budget_ms = _mixed(asked.get("budget_ms", inf), "budget_ms", n, rngs[0])
    priority = _mixed(asked.get("priority", Priority.NORMAL), "priority", n, rngs[1])
    if priority.dtype.kind not in "iu":
        raise DataError(
            f"expected a Priority, such as Priority.INTERACTIVE, or Priorities with shares, got {asked['priority']!r}"
        )
    return (
        budget_ms.astype(np.float64),
        priority.astype(np.int64),
        rngs[2].integers(0, n_items, n),
        rngs[3].random(n) < strict_share,
    )


def check_requests(parts: Sequence[NDArray[np.generic]], n: int) -> None:
    """Raise unless budgets, classes, items and strictness are of n requests and in range.

    Raises
    ------
    DataError
        If they are not.
    """
    lengths = [len(part) for part in parts]
    if lengths != [n] * 4:
        raise DataError(f"expected budget_ms, priority, item and is_strict of {n} requests, got the lengths {lengths}")
    budget_ms, priority, item, _ = (np.asarray(part) for part in parts)
    if not (budget_ms > 0.0).all():
        raise DataError(f"expected budgets above 0 ms, got {budget_ms[~(budget_ms > 0.0)][0]}")
    if not np.isin(priority, list(Priority)).all():
        raise DataError(f"expected priorities of {[int(c) for c in Priority]}, got {np.unique(priority).tolist()}")
    if (item < 0).any():
        raise DataError(f"expected indices of items from 0, got {item.min()}")


def _mixed(
    values: float | Mapping[float, float] | Mapping[Priority, float], name: str, n: int, rng: np.random.Generator
) -> NDArray[np.generic]:
    if not isinstance(values, Mapping):
        return np.full(n, values)
    shares = np.array(list(values.values()), np.float64)
    if not len(shares) or not (shares >= 0.0).all() or not np.isclose(shares.sum(), 1.0):
        raise DataError(f"expected shares of each {name} that sum to 1, such as {{15.0: 0.3, 50.0: 0.7}}, got {values}")
    return rng.choice(np.array(list(values)), n, p=shares / shares.sum())
