"""Bootstrap intervals of many means over the same items. Pure but for a progress bar on request."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from cascade.core.progress import with_progress
from cascade.core.records import FloatArray, IntArray

Packed = NDArray[np.uint8]
"""Eight truth values a byte, as `numpy.packbits` makes them."""


def bootstrap_intervals(
    packed: Sequence[Packed],
    units: IntArray,
    rng: np.random.Generator,
    *,
    n_bootstrap: int,
    confidence: float,
    progress: bool = False,
) -> FloatArray:
    """Percentile intervals of the share of true values in each of m rows, shape (2, m).

    Parameters
    ----------
    packed : sequence of m ndarrays
        Truth values of the same n items.
    units : ndarray of int64, shape (n,)
        What is drawn with replacement: the number of each item's group, 0 to G - 1; items 0 to n - 1 by themselves.
    rng : numpy.random.Generator
    n_bootstrap : int
    confidence : float
    progress : bool

    Notes
    -----
    The same draws serve every row. Only what changes from row to row is counted, so that m rows that are alike cost little
    more than one: O(n + changes) time for each of the ``n_bootstrap`` draws.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap.
    """
    sizes = np.bincount(units)
    changes, n_units = _changes(packed, units), len(sizes)
    shares = np.empty((n_bootstrap, len(packed)))
    for b in with_progress(range(n_bootstrap), progress, desc="resampling", unit="draw"):
        drawn = np.bincount(rng.integers(0, n_units, n_units), minlength=n_units).astype(np.float64)
        shares[b] = np.cumsum(changes @ drawn) / (sizes @ drawn)
    tail = 0.5 * (1.0 - confidence)
    # Sums of changes may leave [0, 1] by a rounding error.
    return np.asarray(np.clip(np.quantile(shares, [tail, 1.0 - tail], axis=0), 0.0, 1.0))


def _changes(packed: Sequence[Packed], units: IntArray) -> csr_array:
    """What each row adds to the one before it, summed over every unit, (m, G)."""
    n = len(units)
    nothing = np.zeros_like(packed[0])
    values, columns, ends = [], [], [0]
    for before, after in pairwise([nothing, *packed]):
        at = np.flatnonzero(np.unpackbits(before ^ after, count=n))
        values.append(np.where(np.unpackbits(after, count=n)[at], 1.0, -1.0))
        columns.append(units[at])
        ends.append(ends[-1] + len(at))
    shape = (len(packed), int(units.max()) + 1)
    changes = csr_array((np.concatenate(values), np.concatenate(columns), np.array(ends)), shape=shape)
    changes.sum_duplicates()
    return changes
