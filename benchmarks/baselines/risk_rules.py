"""How others choose the last price of a path whose losses never fall: the naive way, Learn-then-Test by Hoeffding and Bentkus, and
conformal risk control.

Losses are in [0, 1], of shape (n, L), and no column is below the one before it. Every rule gives the index of the last price it
accepts, -1 for none.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import binom


def naive(losses: np.ndarray, limit: float) -> int:
    """The last price whose mean loss on the sample is within the limit."""
    return int(np.searchsorted(losses.mean(axis=0), limit + 1e-12, side="right")) - 1


def conformal_risk_control(losses: np.ndarray, limit: float) -> int:
    """The last price with (n mean + 1) / (n + 1) within the limit: bounds the expected risk, not its probability.

    Angelopoulos, Bates, Fisch, Lei and Schuster (2024), Conformal Risk Control.
    """
    n = len(losses)
    return int(np.searchsorted((n * losses.mean(axis=0) + 1.0) / (n + 1.0), limit + 1e-12, side="right")) - 1


def hoeffding_bentkus(losses: np.ndarray, limit: float, delta: float) -> int:
    """The last price before the first that is not proved: fixed-sequence Learn-then-Test.

    Angelopoulos, Bates, Candès, Jordan and Lei (2022), Learn then Test; Bates et al. (2021), Distribution-Free, Risk-Controlling
    Prediction Sets.
    """
    refused = hoeffding_bentkus_p_values(losses.mean(axis=0), len(losses), limit) > delta
    return int(refused.argmax()) - 1 if refused.any() else losses.shape[1] - 1


def hoeffding_bentkus_p_values(means: np.ndarray, n: int, limit: float) -> np.ndarray:
    """The smaller of both p-values for the claim that the risk is above the limit, shape (L,)."""
    below = np.minimum(means, limit)
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(below > 0.0, below * np.log(below / limit), 0.0)
    apart = kept + (1.0 - below) * np.log((1.0 - below) / (1.0 - limit))
    # The ceiling of a mean times n must not be lifted by rounding.
    bentkus = np.e * binom.cdf(np.ceil(n * means - 1e-9), n, limit)
    return np.minimum(np.exp(-n * apart), bentkus)
