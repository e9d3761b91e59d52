"""p-values for the claim that a mean loss is above a limit, valid in finite samples.

Pure. Small p-values speak for a risk at most ``limit``: P(p <= delta) <= delta whenever the true mean is larger.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from cascade.core.records import FloatArray, IntArray

_BOLDEST = 0.9
"""Largest share of the capital that one bet may lose."""


def binomial_p_value(n_losses: IntArray | int, n: IntArray | int, limit: float) -> FloatArray:
    """P(Binomial(n, limit) <= n_losses): exact for losses of 0 and 1.

    Parameters
    ----------
    n_losses, n : int, or ndarray of int of one shape
    limit : float
        In (0, 1).

    Returns
    -------
    ndarray
        Of the same shape; 1 where ``n`` is 0.

    Examples
    --------
    >>> float(binomial_p_value(0, 299, 0.01)) < 0.05 < float(binomial_p_value(0, 298, 0.01))
    True
    """
    losses, items = np.asarray(n_losses, np.float64), np.asarray(n, np.float64)
    # The lower tail as a regularised beta function; written with 1 - limit it keeps its digits where it is small.
    tail = betainc(np.maximum(items - losses, 1.0), losses + 1.0, 1.0 - limit)
    return np.asarray(np.where(losses >= items, 1.0, tail))


def betting_p_value(values: FloatArray, limit: float, delta: float) -> float:
    """p-value for the claim that values in [0, 1] have a mean above ``limit``: one over the most that bets against it won.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Independent, in an order that does not depend on them.
    limit : float
        In (0, 1).
    delta : float
        Level at which the bets are made to win most; the p-value is valid at every level.

    Notes
    -----
    Each bet is a share of the capital that depends on earlier values only, so the capital is a non-negative
    supermartingale under the claim, and exceeds 1 / delta with probability at most delta (Ville's inequality).

    References
    ----------
    Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting.

    Examples
    --------
    >>> betting_p_value(np.zeros(400), limit=0.01, delta=0.05) < 0.05
    True
    """
    n = values.shape[0]
    if n == 0:
        return 1.0
    counts = np.arange(1, n + 1)
    mean = (0.5 + np.cumsum(values)) / (counts + 1)
    variance = (0.25 + np.cumsum((values - mean) ** 2)) / (counts + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    bets = np.minimum(np.sqrt(2.0 * np.log(1.0 / delta) / (n * before)), _BOLDEST / (1.0 - limit))
    capital = np.cumsum(np.log1p(-bets * (values - limit)))
    return float(np.exp(-max(float(capital.max()), 0.0)))


def n_without_loss(limit: float, delta: float) -> int:
    """Items that are enough for a risk of ``limit`` at level ``delta`` if none of them shows a loss.

    Examples
    --------
    >>> n_without_loss(0.01, 0.05)
    299
    """
    return int(np.ceil(np.log(delta) / np.log1p(-limit)))
