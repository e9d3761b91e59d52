"""How far a share that was counted may be from the share that holds."""

from __future__ import annotations

from math import sqrt

# Two-sided 95 % of the normal distribution.
_Z = 1.959963984540054


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share.

    Parameters
    ----------
    n_right : int
        Between 0 and ``n``.
    n : int
        At least 1.

    References
    ----------
    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference".

    Examples
    --------
    >>> low, high = wilson_interval(95, 100)
    >>> round(low, 3), round(high, 3)
    (0.888, 0.978)
    """
    share, z2 = n_right / n, _Z**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # Where none or all are right, rounding could push a bound past the share.
    return max(min(centre - half, share), 0.0), min(max(centre + half, share), 1.0)
