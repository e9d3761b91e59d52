"""Pre-routing: a classifier on the input chooses the one model that runs.

For every model the probability that it is right is learned from features of the input; the model runs for which that probability,
less a price times its cost, is highest. A path of prices gives the operating points. Needs the inputs.

The classifier is no free gift: what it costs to read the features and to decide by them is added to the cost of every item that is
routed. Where that is dear, it pays to route a share of the items and to send the others to the cheapest model unseen.

References
----------
Ding, Mallick, Wang, Sim, Mukherjee, Ruhle, Lakshmanan and Awadallah (2024), Hybrid LLM: Cost-Efficient and Quality-Aware Query
Routing. Ong, Almahairi, Wu, Chiang, Wu, Gonzalez, Kadous and Stoica (2024), RouteLLM: Learning to Route LLMs with Preference Data.
Dalal and Triggs (2005), Histograms of Oriented Gradients for Human Detection (the features of images).
"""

from __future__ import annotations

import numpy as np
from baselines.logistic import learned
from baselines.operating_points import Items, OperatingPoints

N_PRICES = 400
N_CELLS, N_DIRECTIONS = 4, 8
RIDGE = 300.0
"""Log-loss without an item: on CIFAR-10 images .477 at 3, .459 at 300, .457 at 3000; on digits .242, .235, .242."""


def pre_routing(seen: Items, served: Items, costs: np.ndarray) -> OperatingPoints | None:
    """A path of prices; None where the inputs are not known."""
    if seen.features is None or served.features is None:
        return None
    quality = learned(seen.features, seen.correct, served.features, RIDGE)
    done = [_routed(q, items.correct, costs) for q, items in zip(quality, (seen, served), strict=True)]
    # All of the path: its hull was worse on CIFAR-10 and on digits.
    routed = OperatingPoints(done[0][0], done[0][1], done[1][0], done[1][1]).dearer_by(seen.features_cost)
    return routed if seen.features_cost == 0.0 else _with_unrouted(routed, seen, served, costs)


def _with_unrouted(routed: OperatingPoints, seen: Items, served: Items, costs: np.ndarray) -> OperatingPoints:
    """The path, and behind it the setting that is best mixed with the cheapest model for all, and that model."""
    cheapest = int(costs.argmin())
    before, after = (items.correct[:, cheapest].mean() for items in (seen, served))
    best = ((routed.seen_accuracy - before) / (routed.seen_cost - costs[cheapest])).argmax()
    return OperatingPoints(
        np.append(routed.seen_cost, [routed.seen_cost[best], costs[cheapest]]),
        np.append(routed.seen_accuracy, [routed.seen_accuracy[best], before]),
        np.append(routed.cost, [routed.cost[best], costs[cheapest]]),
        np.append(routed.accuracy, [routed.accuracy[best], after]),
    )


def _routed(quality: np.ndarray, correct: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean cost and accuracy at every price, each of shape (N_PRICES,)."""
    everyone, steps = np.arange(len(quality)), np.diff(np.sort(costs))
    prices = np.geomspace(1e-5 / costs.max(), 3.0 / steps[steps > 0].min(), N_PRICES)
    chosen = [(quality - price * costs).argmax(axis=1) for price in prices]
    return np.array([costs[c].mean() for c in chosen]), np.array([correct[everyone, c].mean() for c in chosen])


def image_features(images: np.ndarray) -> np.ndarray:
    """What a cheap classifier reads of images (n, h, w, 3) or (n, h, w): small ones whole, else colours and edges by cell.

    Parameters
    ----------
    images : ndarray, of any real type
    """
    pixels = images.astype(np.float32) / max(float(images.max()), 1e-9)
    if pixels[0].size <= 64:
        return pixels.reshape(len(pixels), -1)
    grey = pixels.mean(axis=3) if pixels.ndim == 4 else pixels
    dy, dx = np.gradient(grey, axis=(1, 2))
    strength, direction = np.hypot(dx, dy), ((np.arctan2(dy, dx) / np.pi + 1.0) * N_DIRECTIONS / 2.0).astype(int)
    edges = np.stack([strength * (direction % N_DIRECTIONS == d) for d in range(N_DIRECTIONS)], axis=3)
    colours = pixels.reshape(*grey.shape, -1)
    parts = [_by_cell(edges), _by_cell(colours), _by_cell(colours**2), strength.mean(axis=(1, 2))[:, None]]
    return np.concatenate([np.sqrt(parts[0]), *parts[1:]], axis=1)


def _by_cell(values: np.ndarray) -> np.ndarray:
    """Means over a grid of cells, shape (n, N_CELLS * N_CELLS * m), of values (n, h, w, m)."""
    n, h, w, m = values.shape
    cells = values.reshape(n, N_CELLS, h // N_CELLS, N_CELLS, w // N_CELLS, m)
    return cells.mean(axis=(2, 4)).reshape(n, -1)
