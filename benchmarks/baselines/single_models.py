"""What the models reach alone, and by sending a share of the items to one and the rest to another."""

from __future__ import annotations

import numpy as np
from baselines.operating_points import Items, OperatingPoints


def best_single(accuracy: np.ndarray, costs: np.ndarray, limit: float) -> int | None:
    """The most accurate model within a cost, None where there is none.

    Parameters
    ----------
    accuracy, costs : ndarray, shape (K,)
    limit : float
    """
    allowed = np.flatnonzero(costs <= limit + 1e-9)
    return int(allowed[accuracy[allowed].argmax()]) if len(allowed) else None


def best_mixture(accuracy: np.ndarray, costs: np.ndarray, limit: float) -> np.ndarray | None:
    """The share of items for each model that is most accurate at a mean cost within the limit: the convex hull.

    Parameters
    ----------
    accuracy, costs : ndarray, shape (K,)
    limit : float

    Returns
    -------
    ndarray of shape (K,), or None
        Shares, at most two of them not zero; None where not even one model is within the limit.
    """
    single = best_single(accuracy, costs, limit)
    if single is None:
        return None
    shares = np.eye(len(costs))[single]
    for low in range(len(costs)):
        for high in range(len(costs)):
            if costs[low] < limit < costs[high]:
                part = (limit - costs[low]) / (costs[high] - costs[low])
                mixed = (1.0 - part) * np.eye(len(costs))[low] + part * np.eye(len(costs))[high]
                if mixed @ accuracy > shares @ accuracy:
                    shares = mixed
    return shares


def mixtures(seen: Items, served: Items, costs: np.ndarray) -> OperatingPoints:
    """Every model alone, of which two may be mixed: the convex hull as operating points."""
    return OperatingPoints(costs, seen.correct.mean(axis=0), costs, served.correct.mean(axis=0)).on_hull()
