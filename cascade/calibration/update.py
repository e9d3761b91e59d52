"""Refit a policy on labelled feedback, and say on held-out feedback whether the new one is better than the old.

Pure but for a progress bar on request: the same policy, outcomes and seed give the same update.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import numpy as np

from cascade.calibration.feedback_rows import checked_earlier, checked_feedback, held_out_rows, joined_outcomes
from cascade.calibration.fit import fit_policy
from cascade.calibration.label_shift import check_labels
from cascade.calibration.paired import PairedDifference, paired_accuracy, paired_mean
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.replay import Replay


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """A refitted policy beside the one it was to improve, both on items that neither was fitted on.

    Attributes
    ----------
    policy : Policy
        The refitted one, whether it was accepted or not. It has no guarantee: certify it anew.
    previous : Policy
    accepted : bool
    reason : str
        Why, or why not.
    accuracy, previous_accuracy : float
    mean_ms, previous_mean_ms, mean_cost, previous_mean_cost : float
        Per item.
    accuracy_difference, ms_difference, cost_difference : PairedDifference
        New minus previous; each interval holds with probability 1 - delta.
    n_fit, n_check : int
        Items fitted on, and items compared on.
    version : int
        One more than that of the previous policy.
    digest, parent : str
        Identify the two policies by everything that is saved of them.
    """

    policy: Policy = field(repr=False)
    previous: Policy = field(repr=False)
    accepted: bool
    reason: str
    accuracy: float
    previous_accuracy: float
    accuracy_difference: PairedDifference
    mean_ms: float
    previous_mean_ms: float
    ms_difference: PairedDifference
    mean_cost: float
    previous_mean_cost: float
    cost_difference: PairedDifference
    n_fit: int
    n_check: int
    version: int
    digest: str
    parent: str

    def explain(self) -> str:
        """The comparison in words."""
        verdict = "accepted" if self.accepted else "not accepted"
        return (
            f"Version {self.version} ({self.digest[:8]}, from {self.parent[:8]}) is {verdict}: {self.reason}.\n"
            f"Fitted on {self.n_fit} items, compared on {self.n_check} others: accuracy {self.accuracy:.4f} against "
            f"{self.previous_accuracy:.4f}, {self.accuracy_difference}; {self.mean_ms:.4g} ms against "
            f"{self.previous_mean_ms:.4g}, {self.ms_difference}."
        )

    def __str__(self) -> str:
        return self.explain()


def update_policy(
    policy: Policy,
    outcomes: Outcomes,
    *,
    earlier: Outcomes | None = None,
    budget_ms: float | None = None,
    check_share: float = 1 / 3,
    delta: float = 0.05,
    max_loss: float = 0.005,
    version: int = 1,
    seed: int = 0,
    progress: bool = True,
) -> Update:
    """Refit a policy on labelled feedback, and accept it only if held-out feedback shows that it is better.

    Parameters
    ----------
    policy : Policy
        In force so far; its settings and service times are kept.
    outcomes : Outcomes
        Of the same stages on n labelled items that it was not fitted on, as from `Predictor.recorded_outcomes`.
    earlier : Outcomes, optional
        To fit on as well, but not to compare on: what the policy was fitted on, say.
    budget_ms : float, optional
        Time allowed for each item in the comparison; None: unlimited.
    check_share : float
        Share of ``outcomes``, in (0, 1), that is held out to compare on, drawn within each class.
    delta : float
        Probability, in (0, 1), of accepting a policy that is neither more accurate, nor faster at a loss of at most ``max_loss``.
    max_loss : float
        Accuracy, in [0, 1], that a faster policy may lose; no part where the policy has a ``cost_weight``.
    version : int
        Of ``policy``.
    seed : int
        Draws what is held out, and the folds of the fit.
    progress : bool
        Show a progress bar on standard error when the work is long.

    Returns
    -------
    Update
        Nothing is put into force: that is `Predictor.swap_policy`, with the ``policy`` of an accepted update.

    Raises
    ------
    DataError
        If fewer than 50 items are left to fit on or to compare on, or all labels are of one class.
    ReusedData
        If the policy was fitted on rows of ``outcomes``, which would favour it, or ``earlier`` holds some of them.
    PolicyMismatch
        If outcomes are of other stages or classes.
    ConfigurationError
        If the policy is a chain set by hand, or a number is out of range.

    Warns
    -----
    SmallSampleWarning
        If there are fewer than 50 items per stage to fit on.
    WeakConfidenceWarning
        If the confidence of a stage hardly ranks right answers above wrong ones.
    LabelShiftWarning
        If the labels of ``outcomes`` come in other shares than those that the policy was fitted on, by more than chance.

    Notes
    -----
    Accepted is a policy whose accuracy is surely higher, or one that is surely cheaper and surely loses no more than
    ``max_loss``. Each of the two is claimed falsely with probability delta / 2, about so as the intervals are approximate.
    Where the policy has a ``cost_weight``, an answer is worth its rightness less that times its cost, and accepted is a policy
    whose answers are surely worth more. The items are taken as independent draws of what is served.

    References
    ----------
    Bonett and Price (2012), Adjusted Wald confidence interval for a difference of binomial proportions based on paired data.

    Examples
    --------
    >>> from cascade.core.service import ServiceTable
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 900)
    >>> votes = rng.normal(size=(900, 2)) + np.outer(2 * labels - 1, [1.0, 2.0])
    >>> probs = 1.0 / (1.0 + np.exp(-2.0 * votes))
    >>> table = Outcomes.from_probs(np.stack([1.0 - probs, probs], axis=2), labels)
    >>> policy = fit_policy(table.take(np.arange(300)), ServiceTable.from_costs([1.0, 10.0]))
    >>> update = update_policy(policy, table.take(np.arange(300, 900)))
    >>> update.n_fit, update.n_check, update.version, update.accepted
    (400, 200, 2, False)
    """
    known = checked_feedback(policy, outcomes, check_share, delta, max_loss)
    check_labels(policy, known, stacklevel=3)
    is_held_out = held_out_rows(known.labels, check_share, np.random.default_rng(seed))
    fitted, held_out = known.take(~is_held_out), known.take(is_held_out)
    if earlier is not None:
        fitted = joined_outcomes(fitted, checked_earlier(policy, earlier, known))
    kept = {"cost_weight": policy.cost_weight, "level": policy.level}
    new = fit_policy(fitted, policy.service, policy.drop, seed, progress=progress, **kept)
    old_run, new_run = policy.replay(held_out, budget_ms), new.replay(held_out, budget_ms)
    accuracy = paired_accuracy(new_run.correct, old_run.correct, delta)
    spent = [paired_mean(new_run.time_ms, old_run.time_ms, delta), paired_mean(new_run.cost, old_run.cost, delta)]
    accepted, reason = _verdict(accuracy, spent[0], max_loss)
    if policy.cost_weight > 0.0:
        accepted, reason = _verdict_on_worth(new_run, old_run, policy.cost_weight, delta)
    if policy.guarantee is not None:
        reason += "; the guarantee of the previous policy does not carry over"
    return _update(
        policy,
        new,
        old_run,
        new_run,
        accepted=accepted,
        reason=reason,
        accuracy=accuracy,
        spent=spent,
        n_fit=fitted.n_items,
        version=version + 1,
    )


def policy_digest(policy: Policy) -> str:
    """32 hexadecimal digits that identify everything that is saved of a policy."""
    # Labels may be of any kind, those of a file may not.
    plain = replace(policy, classes=tuple(repr(label) for label in policy.classes))
    return blake2b(json.dumps(plain.to_dict(), sort_keys=True).encode(), digest_size=16).hexdigest()


def _update(
    old: Policy,
    new: Policy,
    old_run: Replay,
    new_run: Replay,
    *,
    accepted: bool,
    reason: str,
    accuracy: PairedDifference,
    spent: list[PairedDifference],
    n_fit: int,
    version: int,
) -> Update:
    return Update(
        policy=new,
        previous=old,
        accepted=accepted,
        reason=reason,
        accuracy=new_run.accuracy,
        previous_accuracy=old_run.accuracy,
        accuracy_difference=accuracy,
        mean_ms=new_run.mean_ms,
        previous_mean_ms=old_run.mean_ms,
        ms_difference=spent[0],
        mean_cost=new_run.mean_cost,
        previous_mean_cost=old_run.mean_cost,
        cost_difference=spent[1],
        n_fit=n_fit,
        n_check=len(new_run.correct),
        version=version,
        digest=policy_digest(new),
        parent=policy_digest(old),
    )


def _verdict(accuracy: PairedDifference, time_ms: PairedDifference, max_loss: float) -> tuple[bool, str]:
    if accuracy.ci_low > 0.0:
        return True, "it is more accurate"
    if time_ms.ci_high < 0.0 and accuracy.ci_low >= -max_loss:
        return True, f"it is faster and loses at most {max_loss:g} in accuracy"
    if accuracy.ci_high < 0.0:
        return False, "it is less accurate"
    if time_ms.ci_high < 0.0:
        return False, f"it is faster, but may lose more than {max_loss:g} in accuracy; more labelled items may tell"
    return False, "neither more accuracy nor less time shows; more labelled items may tell"


def _verdict_on_worth(new: Replay, old: Replay, cost_weight: float, delta: float) -> tuple[bool, str]:
    """Where accuracy has a price, an answer is worth its rightness less that."""
    worth = paired_mean(new.correct - cost_weight * new.cost, old.correct - cost_weight * old.cost, delta)
    said = f"accuracy less {cost_weight:g} per unit of cost changes by {worth}"
    if worth.ci_low > 0.0:
        return True, f"{said}: it is worth more"
    return False, f"{said}: it does not show to be worth more"
