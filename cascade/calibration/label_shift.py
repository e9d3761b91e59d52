"""Whether labels come in other shares than those a policy was fitted on.

Pure: the few random tables of the exact test are drawn from a fixed seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.records import FloatArray, IntArray
from cascade.errors import ConfigurationError, LabelShiftWarning

ALARM = 0.01
"""p-value below which `check_labels` warns: its rate of false alarms."""
_LEAST_EXPECTED = 5.0
_N_DRAWS = 9999


@dataclass(frozen=True, slots=True, eq=False)
class LabelShift:
    """How labels are shared out in two samples, and how likely so large a difference is by chance.

    Attributes
    ----------
    classes : tuple of hashable
        The c labels met in either sample.
    fitted, checked : ndarray of int64, shape (c,)
        Items of each class.
    statistic : float
        Pearson's chi-square of the two rows of counts.
    p_value : float
        Probability of a statistic as large where both samples come from the same shares.
    exact : bool
        Whether the p-value counts random tables of the same margins, since expected counts are small; else it is the
        chi-square distribution's.
    """

    classes: tuple[Hashable, ...]
    fitted: IntArray
    checked: IntArray
    statistic: float
    p_value: float
    exact: bool

    @property
    def distance(self) -> float:
        """Total variation: the share of labels that would have to change for the shares to agree."""
        return float(0.5 * np.abs(self.fitted / self.fitted.sum() - self.checked / self.checked.sum()).sum())


def label_shift(fitted: Policy | Outcomes, outcomes: Outcomes) -> LabelShift:
    """Whether labels come in other shares than those of a policy's fit, or of other outcomes.

    Parameters
    ----------
    fitted : Policy or Outcomes
    outcomes : Outcomes
        Drawn apart from those.

    Returns
    -------
    LabelShift

    Raises
    ------
    ConfigurationError
        If the policy is a chain set by hand, which was fitted to no labels.

    Notes
    -----
    A small p-value says that there is a shift; `LabelShift.distance` says how large it is. With many items a shift too small
    to matter is found, with few a large one may be missed. The exact p-value is valid for any counts, and at least 0.0001.

    References
    ----------
    Pearson (1900), On the Criterion that a Given System of Deviations ... Arose from Random Sampling.
    Phipson and Smyth (2010), Permutation P-values Should Never Be Zero.

    Examples
    --------
    >>> answers = [["a"]] * 40, [[0.9]] * 40
    >>> even = Outcomes.from_predictions(*answers, ["a", "b"] * 20)
    >>> skewed = Outcomes.from_predictions(*answers, ["a"] * 39 + ["b"])
    >>> label_shift(even, skewed).p_value < 1e-4
    True
    """
    before, after = _counts(fitted), _counts(outcomes)
    classes = tuple(label for label in dict.fromkeys([*before, *after]) if before.get(label, 0) + after.get(label, 0))
    table = np.array([[counts.get(label, 0) for label in classes] for counts in (before, after)], np.int64)
    if len(classes) == 1:
        return LabelShift(classes, table[0], table[1], 0.0, 1.0, exact=True)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    exact = bool(expected.min() < _LEAST_EXPECTED)
    p_value = _exact_p(table, expected, statistic) if exact else float(chi2.sf(statistic, len(classes) - 1))
    return LabelShift(classes, table[0], table[1], statistic, p_value, exact)


def check_labels(policy: Policy, outcomes: Outcomes, stacklevel: int) -> LabelShift:
    """The same test, with a warning where chance does not explain the difference.

    Parameters
    ----------
    policy : Policy
    outcomes : Outcomes
        On which something is about to be said of the policy.
    stacklevel : int
        Of the warning; 2 is the caller.

    Warns
    -----
    LabelShiftWarning
        If the p-value is below 0.01; so of a hundred checks without a shift, one warns.

    Raises
    ------
    ConfigurationError
        If the policy is a chain set by hand.
    """
    shift = label_shift(policy, outcomes)
    if shift.p_value < ALARM:
        shares = shift.checked / shift.checked.sum() - shift.fitted / shift.fitted.sum()
        most = int(np.abs(shares).argmax())
        warnings.warn(
            f"expected labels in the shares that the policy was fitted on, got {100 * shift.distance:.1f} % of them elsewhere "
            f"(p = {shift.p_value:.2g}; most of all {shift.classes[most]!r}, {100 * shares[most]:+.1f} points): its biases and "
            "confidences are for the old shares; fit it again on labels like these",
            LabelShiftWarning,
            stacklevel=stacklevel,
        )
    return shift


def _counts(source: Policy | Outcomes) -> dict[Hashable, int]:
    """Items of each class."""
    if isinstance(source, Outcomes):
        counts = np.bincount(source.labels, minlength=len(source.classes))
    else:
        if source.evidence is None or source.n_items == 0:
            raise ConfigurationError(
                "expected a policy that was fitted to labels, got a chain set by hand: pass the outcomes it was set on"
            )
        # The prior that is kept has half an item added to every class.
        c = len(source.classes)
        counts = np.rint(source.evidence.prior() * (source.n_items + 0.5 * c) - 0.5).astype(np.int64)
    return dict(zip(source.classes, counts.tolist(), strict=True))


def _exact_p(table: IntArray, expected: FloatArray, statistic: float) -> float:
    """Share of random tables with these margins whose statistic is as large, the table itself counted in."""
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_hypergeometric(table.sum(axis=0), int(table[1].sum()), _N_DRAWS, method="marginals")
    # With both margins fixed, the squared deviations of the two rows are the same.
    weights = (1.0 / expected).sum(axis=0)
    as_large = (drawn - expected[1]) ** 2 @ weights >= statistic * (1.0 - 1e-9)
    return float((1 + as_large.sum()) / (1 + _N_DRAWS))
