"""What every method is reduced to before it is compared: the settings worth keeping, and what each does on either half."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Items:
    """What K models said about n items, as the methods compared read it.

    Attributes
    ----------
    labels : ndarray of int, shape (n,)
    predicted : ndarray of int, shape (n, K)
        May hold labels that are never true.
    confidence : ndarray, shape (n, K)
        The models' own, uncalibrated.
    probs : ndarray, shape (n, K, c), or None
        None where the models give a label and one number only.
    features : ndarray, shape (n, d), or None
        Of the inputs, for what decides before any model has run; None where the inputs are not known.
    n_labels : int
        How many labels occur, as truth or as answer.
    features_cost : float
        What it costs to read the features of one input and to decide by them, in the unit of the models' costs.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    probs: np.ndarray | None
    features: np.ndarray | None
    n_labels: int
    features_cost: float = 0.0

    @property
    def correct(self) -> np.ndarray:
        """Whether each model is right, shape (n, K)."""
        return self.predicted == self.labels[:, None]

    def take(self, rows: np.ndarray) -> Items:
        """Some of the items, in the given order."""
        probs, features = (None if a is None else a[rows] for a in (self.probs, self.features))
        said = self.labels[rows], self.predicted[rows], self.confidence[rows]
        return Items(*said, probs, features, self.n_labels, self.features_cost)

    @property
    def n_models(self) -> int:
        """Number of models K."""
        return self.predicted.shape[1]


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """Mean cost and accuracy of P settings on the half they were picked on and on the other one; arrays (P,)."""

    seen_cost: np.ndarray
    seen_accuracy: np.ndarray
    cost: np.ndarray
    accuracy: np.ndarray

    def on_hull(self) -> OperatingPoints:
        """Those of them that no random mixture of two others beats on the half they are picked on, the cheapest first."""
        kept = hull(self.seen_cost, self.seen_accuracy)
        return OperatingPoints(self.seen_cost[kept], self.seen_accuracy[kept], self.cost[kept], self.accuracy[kept])

    def dearer_by(self, cost: float) -> OperatingPoints:
        """The same settings where every item costs so much more."""
        return OperatingPoints(self.seen_cost + cost, self.seen_accuracy, self.cost + cost, self.accuracy)


def joined(*parts: OperatingPoints) -> OperatingPoints:
    """The hull of all settings of several variants of one method."""
    names = ("seen_cost", "seen_accuracy", "cost", "accuracy")
    return OperatingPoints(*(np.concatenate([getattr(part, name) for part in parts]) for name in names)).on_hull()


def hull(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Indices of the corners of the upper concave hull, from the cheapest point to the most accurate one.

    Mixing its corners is at least as accurate as the best single setting within a cost, and picks less of the noise.

    Examples
    --------
    >>> hull(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, 0.6, 0.9, 0.8])).tolist()
    [0, 2]
    """
    order = np.lexsort((-accuracy, cost))
    climbing = order[accuracy[order] > np.concatenate([[-np.inf], np.maximum.accumulate(accuracy[order])[:-1]])]
    corners: list[int] = []
    for i in climbing.tolist():
        while len(corners) > 1 and _below(corners[-2], corners[-1], i, cost, accuracy):
            corners.pop()
        corners.append(i)
    return np.array(corners, np.int64)


def _below(left: int, middle: int, right: int, cost: np.ndarray, accuracy: np.ndarray) -> bool:
    """Whether the middle point lies on or below the line between the other two."""
    rise, run = accuracy[right] - accuracy[left], cost[right] - cost[left]
    return bool((accuracy[middle] - accuracy[left]) * run <= rise * (cost[middle] - cost[left]))
