"""Differences between two rules on the same items, with intervals. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from cascade.core.records import FloatArray


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A mean of new minus old over the same items, with an interval.

    Attributes
    ----------
    mean, ci_low, ci_high : float
    """

    mean: float
    ci_low: float
    ci_high: float

    def __str__(self) -> str:
        return f"{self.mean:+.4g} ({self.ci_low:+.4g} to {self.ci_high:+.4g})"


def paired_accuracy(new: NDArray[np.bool_], old: NDArray[np.bool_], delta: float) -> PairedDifference:
    """Accuracy of new minus old over the same items, with the adjusted Wald interval for paired shares.

    Parameters
    ----------
    new, old : ndarray of bool, shape (n,)
    delta : float
        In (0, 1).

    Examples
    --------
    >>> right = np.arange(100) < 80
    >>> str(paired_accuracy(right, right, 0.05))
    '+0 (-0.02717 to +0.02717)'
    """
    n = len(new)
    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    # One more pair of each kind: without them no disagreement at all would pass for certainty.
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    reach = float(-ndtri(0.5 * delta)) * float(np.sqrt((up + down - (up - down) ** 2) / (n + 2)))
    return PairedDifference((gained - lost) / n, max(up - down - reach, -1.0), min(up - down + reach, 1.0))


def paired_mean(new: FloatArray, old: FloatArray, delta: float) -> PairedDifference:
    """Mean of new minus old over the same items, with Student's interval.

    Parameters
    ----------
    new, old : ndarray, shape (n,)
        With n of at least 2.
    delta : float
        In (0, 1).

    Examples
    --------
    >>> str(paired_mean(np.array([1.0, 2.0, 3.0]), np.zeros(3), 0.5))
    '+2 (+1.529 to +2.471)'
    """
    difference = new - old
    n, mean = len(difference), float(difference.mean())
    reach = float(stdtrit(n - 1, 1.0 - 0.5 * delta)) * float(difference.std(ddof=1) / np.sqrt(n))
    return PairedDifference(mean, mean - reach, mean + reach)
