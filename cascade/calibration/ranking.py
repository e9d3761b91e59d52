"""How well confidences tell right answers from wrong ones, and a warning where they do not.

Pure.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from cascade.core.outcomes import Outcomes
from cascade.core.records import FloatArray
from cascade.errors import WeakConfidenceWarning

WEAK_AUROC = 0.6
"""Below this, thresholds on a confidence do little better than chance."""
_LEAST_EACH = 10
"""Right and wrong answers that it takes before a ranking is called weak: normal intervals need some of both."""
_ONE_SIDED = float(norm.ppf(0.95))


class Ranking(NamedTuple):
    """How well confidences tell right answers from wrong ones: the AUROC, and its standard error."""

    auroc: float
    error: float


def ranking_of(confidence: FloatArray, correct: NDArray[np.bool_]) -> Ranking:
    """AUROC of confidence (n,) against correctness (n,), with its standard error.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988), Comparing the Areas under Two or More Correlated ROC Curves.
    Sun and Xu (2014), Fast Implementation of DeLong's Algorithm.
    """
    right, wrong = confidence[correct], confidence[~correct]
    if not (len(right) and len(wrong)):
        return Ranking(np.nan, np.nan)
    ranks = rankdata(confidence)
    # For each right answer the share of wrong ones below it, and for each wrong one the share of right ones above.
    beaten = (ranks[correct] - rankdata(right)) / len(wrong)
    beaten_by = 1.0 - (ranks[~correct] - rankdata(wrong)) / len(right)
    if min(len(right), len(wrong)) < 2:
        return Ranking(float(beaten.mean()), np.nan)
    error = np.sqrt(beaten.var(ddof=1) / len(right) + beaten_by.var(ddof=1) / len(wrong))
    return Ranking(float(beaten.mean()), float(error))


def warn_of_weak_confidence(outcomes: Outcomes, stacklevel: int) -> None:
    """Warn of stages whose confidence does not rank: an AUROC below 0.6 by more than chance.

    Notes
    -----
    Chance means the upper end of the one-sided 95 % interval of the AUROC: a stage of 0.6 or more is named in at most
    about one fit of twenty, and where there are fewer than ten right or ten wrong answers, none is.

    Warns
    -----
    WeakConfidenceWarning
    """
    weak: list[str] = []
    for j, name in enumerate(outcomes.stages):
        correct = outcomes.correct[:, j]
        if min(int(correct.sum()), int((~correct).sum())) < _LEAST_EACH:
            continue
        auroc, error = ranking_of(outcomes.confidence[:, j], correct)
        if auroc + _ONE_SIDED * error < WEAK_AUROC:
            weak.append(f"{name!r} (AUROC {auroc:.2f}, at most {auroc + _ONE_SIDED * error:.2f} at 95 %)")
    if weak:
        warnings.warn(
            f"expected a confidence that ranks right answers above wrong ones (AUROC of at least {WEAK_AUROC}), got next to "
            f"none of it from stage {', '.join(weak)}: an exit there is close to a coin toss; check that its scores belong "
            "to these items and labels, give it another confidence (such as the margin), or leave the stage out",
            WeakConfidenceWarning,
            stacklevel=stacklevel,
        )
