"""Cascade and the published rules at equal cost: fitted on the same items, picked on them, measured on the same others.

Every method is a list of operating points. At a stated cost the two neighbouring points are mixed whose costs on the items that serve
lie around it; of several such pairs, the one that was more accurate on the items that fit. No label of the items that serve is used.

Two rules may look at the input before any model has run. What it costs to read its features is part of their cost. They are also
shown as if it were free, for reference: that is no peer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from baselines.agreement import agreement_based
from baselines.cascade_routing import cascade_routing
from baselines.operating_points import Items, OperatingPoints
from baselines.post_hoc import post_hoc_deferral
from baselines.pre_routing import image_features, pre_routing
from baselines.single_models import mixtures
from baselines.uncertainty import low_entropy, margin, max_probability
from harness.datasets import Ladder
from harness.price_path import PricePath, neighbours_at

from cascade.core.outcomes import Outcomes

OURS = "cascade"
PEERS: Mapping[str, Callable[[Items, Items, np.ndarray], OperatingPoints | None]] = {
    "hull": mixtures,
    "max prob": max_probability,
    "margin": margin,
    "entropy": low_entropy,
    "agreement": agreement_based,
    "cascade routing": cascade_routing,
    "post-hoc": post_hoc_deferral,
    "pre-routing": pre_routing,
}
LOOKING_AT_INPUTS = ("cascade routing", "pre-routing")
FREE = ", features free"
"""Ends the name of a rule that is shown for reference, with what it reads of the inputs for nothing."""
N_COSTS = 15


@dataclass(frozen=True, slots=True)
class Split:
    """One half of a ladder to fit on and one to serve."""

    train: Outcomes
    test: Outcomes
    seen: Items
    served: Items


def costs_between(costs: np.ndarray, others: Sequence[float] = ()) -> list[float]:
    """Mean costs from the cheapest model to the dearest, closer where they are small, and some others."""
    low, high = float(costs.min()), float(costs.max())
    grid = low + (high - low) * np.linspace(0.0, 1.0, N_COSTS) ** 2
    return sorted({*(round(float(cost), 3) for cost in grid), *others})


def items_of(ladder: Ladder) -> Items:
    """A ladder as the published rules read it."""
    said = ladder.outcomes
    probs = None if said.log_probs is None else np.exp(said.log_probs.astype(np.float64))
    features = None if ladder.images is None else image_features(ladder.images)
    n_labels = len(said.classes)
    return Items(said.labels, said.predicted, said.confidence, probs, features, n_labels, ladder.features_cost)


def split_of(ladder: Ladder, items: Items, seed: int, n_fit: int | None = None) -> Split:
    """Half of the items at random, or the first ``n_fit`` of that half, to fit on; the other half to serve."""
    order = np.random.default_rng(seed).permutation(ladder.outcomes.n_items)
    half = len(order) // 2
    fit, serve = order[:half][:n_fit], order[half:]
    return Split(ladder.outcomes.take(fit), ladder.outcomes.take(serve), items.take(fit), items.take(serve))


def points_of_path(seen: PricePath, served: PricePath) -> OperatingPoints:
    """A path of prices as operating points, every one of them: neighbouring prices differ little, corners of a hull by luck."""
    return OperatingPoints(seen.mean_cost, seen.accuracy, served.mean_cost, served.accuracy)


def matched(points: OperatingPoints, limits: Sequence[float]) -> np.ndarray:
    """Accuracy at each mean cost on the half that serves, NaN below the cheapest point."""
    pairs = [neighbours_at(points.cost, points.seen_accuracy, limit) for limit in limits]
    accuracy = points.accuracy
    return np.array([np.nan if p is None else (1.0 - p[2]) * accuracy[p[0]] + p[2] * accuracy[p[1]] for p in pairs])


def peers_at(split: Split, costs: np.ndarray, limits: Sequence[float]) -> dict[str, np.ndarray]:
    """Accuracy of every published rule that the data allows at each mean cost; those that look at inputs also as if that were free."""
    found = {name: peer(split.seen, split.served, costs) for name, peer in PEERS.items()}
    if split.seen.features_cost > 0.0:
        free = [replace(items, features_cost=0.0) for items in (split.seen, split.served)]
        found |= {name + FREE: PEERS[name](*free, costs) for name in LOOKING_AT_INPUTS}
    return {name: matched(points, limits) for name, points in found.items() if points is not None}
