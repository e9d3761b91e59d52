"""Three atoms in place of a distribution known by its mean and a few quantiles.

Pure: arrays in, arrays out.
"""

from __future__ import annotations

import numpy as np

from cascade.core.records import FloatArray

ATOM_WEIGHTS = np.array([0.5, 0.4, 0.1])
ATOM_WEIGHTS.setflags(write=False)


def three_atoms(mean: FloatArray, quantiles: FloatArray, levels: FloatArray) -> FloatArray:
    """Atoms of K distributions, to be weighted with `ATOM_WEIGHTS`, that keep their means.

    Parameters
    ----------
    mean : ndarray of shape (K,)
    quantiles : ndarray of shape (Q, K)
        None negative.
    levels : ndarray of shape (Q,)
        Ascending levels of the quantiles, in (0, 1).

    Returns
    -------
    ndarray of shape (K, 3)
        Typical of the lower half, of the next 40 % and of the uppermost 10 %; ascending, none negative.

    Notes
    -----
    The upper two are read off the quantiles, the lowest is what the mean leaves for it. Rare spikes make
    straight lines between quantiles overstate the tail, which would push the lowest below anything seen;
    so the lowest lies at most as far below the median as the 0.9 quantile lies above it, and the
    uppermost takes up the rest.

    Examples
    --------
    >>> uniform = three_atoms(np.array([0.5]), np.array([[0.5], [0.9], [0.99]]), np.array([0.5, 0.9, 0.99]))
    >>> uniform.round(2).tolist()
    [[0.25, 0.7, 0.95]]
    """
    median, upper = (_at_level(quantiles, levels, level) for level in (0.5, 0.9))
    middle = 0.5 * (median + upper)
    slowest = _mean_above(quantiles, levels, 0.9)
    low_weight, middle_weight, high_weight = ATOM_WEIGHTS
    rest = (mean - middle_weight * middle - high_weight * slowest) / low_weight
    lowest = np.clip(rest, np.maximum(2.0 * median - upper, 0.0), median)
    highest = np.maximum((mean - low_weight * lowest - middle_weight * middle) / high_weight, middle)
    values = np.stack([lowest, middle, highest], axis=-1)
    total = values @ ATOM_WEIGHTS
    kept: FloatArray = values * np.divide(mean, total, out=np.ones_like(mean), where=total > 0.0)[:, None]
    return kept


def _at_level(quantiles: FloatArray, levels: FloatArray, level: float) -> FloatArray:
    """Quantiles (Q, K) read at one level: (K,); constant outside the profiled levels."""
    return np.array([np.interp(level, levels, column) for column in quantiles.T])


def _mean_above(quantiles: FloatArray, levels: FloatArray, level: float) -> FloatArray:
    """Mean of the part of the distribution above a level, quantiles (Q, K) joined by straight lines: (K,)."""
    knots = [level, *levels[levels > level].tolist(), 1.0]
    heights = np.stack([_at_level(quantiles, levels, knot) for knot in knots])
    widths = np.diff(knots) / (1.0 - level)
    area: FloatArray = widths @ (0.5 * (heights[1:] + heights[:-1]))
    return area
