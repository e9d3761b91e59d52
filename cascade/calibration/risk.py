"""Certify a policy: the cheapest load price up to which a risk stays bounded, proved on data that nothing was fitted on.

Pure but for the count of how often the same data have certified a policy in this process.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.calibration.certification import Found, PricesToTest, Promise, Sample, highest_price, lowest_abstention
from cascade.calibration.checks import group_numbers
from cascade.calibration.label_shift import check_labels
from cascade.core.alignment import aligned, check_same_stages
from cascade.core.certificate import Certificate
from cascade.core.guarantee import MOST_ACCURATE, RISKS, Guarantee
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.replay import fastest_stage
from cascade.core.row_marks import digest_of_rows
from cascade.errors import ConfigurationError

_uses: Counter[str] = Counter()
_counting = threading.Lock()


def control_risk(
    policy: Policy,
    outcomes: Outcomes,
    max_risk: float,
    delta: float = 0.05,
    risk: str = "drop",
    *,
    min_budget_ms: float | None = None,
    reference: str | None = None,
    groups: Sequence[Hashable] | NDArray[Any] | None = None,
    abstain_below: float | None = None,
    seed: int = 0,
) -> Certificate:
    """The policy, capped at the highest load price with P(risk <= max_risk) >= 1 - delta.

    Parameters
    ----------
    policy : Policy
        Fitted, or a chain of thresholds, on other data.
    outcomes : Outcomes
        Of the same stages, on n items that nothing was fitted on.
    max_risk, delta : float
        In (0, 1).
    risk : {"error", "lost", "drop", "selective"}
        The answer is wrong; the reference is right and the answer wrong; the accuracy of the reference minus that of the
        answers; the answer is wrong, among the answers not abstained from.
    min_budget_ms : float, optional
        The promise is for every budget from here up. By default the time in which all stages fit at their upper quantiles, so
        that time never decides.
    reference : str, optional
        Name of a stage. By default the policy's own most accurate path: price 0 and no deadline; the last stage of a chain.
    groups : sequence of n hashables, optional
        Items of one group belong together (frames of one video, say). The groups are then what is exchangeable, and each
        counts the same.
    abstain_below : float, optional
        For "selective": the confidence under which there is no label. By default the lowest that keeps the promise is found,
        at the price that rules while there is no load.
    seed : int
        Of the order in which bets are made, for "drop" and for groups.

    Returns
    -------
    Certificate
        Its ``policy`` never answers at a higher price than ``price`` unless told to degrade under overload.

    Raises
    ------
    NotCertifiable
        If not even price 0 passes; the message says how many items would be needed.
    ReusedData
        If rows were used to fit the policy.
    PolicyMismatch
        If the outcomes are of other stages or classes.
    ConfigurationError
        If an argument cannot work.

    Warns
    -----
    LabelShiftWarning
        If the labels come in other shares than those that were fitted.

    Notes
    -----
    Fixed-sequence Learn-then-Test: the prices of the policy's own grid are tested from small to large, and the last one
    before the first failure is taken. What is tested at each is the worst loss over every path that any price up to it, and any
    time left, may lead to. The probability is over the draw of these outcomes, for this one policy and for requests of the
    same kind; it is not a statement over time.

    References
    ----------
    Angelopoulos, Bates, Candès, Jordan and Lei (2022), Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control.
    """
    check_same_stages(policy.stages, outcomes.stages)
    # The policy itself where it can be: what it has solved is kept.
    plain = policy if policy.guarantee is None else replace(policy, guarantee=None)
    bound = plain.for_classes(outcomes.classes) if policy.chain is not None else plain
    known = replace(aligned(outcomes, bound.classes), requires=policy.requires)
    promise = Promise(
        risk=_checked_risk(risk, abstain_below),
        max_risk=_checked_share("max_risk", max_risk),
        delta=_checked_share("delta", delta),
        reference=_checked_reference(policy, risk, reference),
        min_budget_ms=_checked_budget(policy, min_budget_ms),
        abstain_below=abstain_below,
    )
    if policy.rows is not None:
        policy.rows.check_fresh(
            known, "rows that the policy was not fitted on", "set labelled data aside before fitting"
        )
    members = None if groups is None else group_numbers(groups, known.n_items)
    if members is None and policy.chain is None:
        check_labels(policy, known, stacklevel=3)
    sample = Sample(bound, known, promise, members, np.random.default_rng(seed))
    path = PricesToTest.of(bound, promise.min_budget_ms)
    search = lowest_abstention if risk == "selective" and abstain_below is None else highest_price
    return Certificate(replace(policy, guarantee=_guarantee(promise, search(sample, path), sample, known)))


def _guarantee(promise: Promise, found: Found, sample: Sample, outcomes: Outcomes) -> Guarantee:
    return Guarantee(
        price=found.price,
        risk=promise.risk,
        reference=promise.reference,
        max_risk=promise.max_risk,
        delta=promise.delta,
        bound=sample.bound,
        n=outcomes.n_items,
        n_groups=sample.n_groups,
        min_budget_ms=promise.min_budget_ms,
        abstain_below=found.abstain_below,
        path=found.path,
        shown=found.shown,
        n_uses=_count_use(outcomes),
    )


def _count_use(outcomes: Outcomes) -> int:
    """How often these rows were used, this time included."""
    key = digest_of_rows(outcomes)
    with _counting:
        _uses[key] += 1
        return _uses[key]


def _checked_risk(risk: str, abstain_below: float | None) -> str:
    if risk not in RISKS:
        raise ConfigurationError(f"expected risk to be one of {RISKS}, got {risk!r}")
    if abstain_below is not None and risk != "selective":
        raise ConfigurationError(f'expected abstain_below with risk="selective" only, got it with {risk!r}')
    if abstain_below is not None and not 0.0 <= abstain_below <= 1.0:
        raise ConfigurationError(f"expected abstain_below in [0, 1] or None, got {abstain_below}")
    return risk


def _checked_share(name: str, value: float) -> float:
    if not 0.0 < value < 1.0:
        raise ConfigurationError(f"expected {name} between 0 and 1, both excluded, got {value}")
    return float(value)


def _checked_reference(policy: Policy, risk: str, reference: str | None) -> str | None:
    if risk not in ("lost", "drop"):
        if reference is not None:
            raise ConfigurationError(
                f'expected reference with risk="lost" or "drop" only, got {reference!r} with {risk!r}'
            )
        return None
    if reference is None:
        return policy.stages[-1] if policy.chain is not None else MOST_ACCURATE
    if reference not in policy.stages:
        raise ConfigurationError(
            f"expected reference to be one of the stages {policy.stages} or None, got {reference!r}"
        )
    return reference


def _checked_budget(policy: Policy, min_budget_ms: float | None) -> float:
    times = policy.times()
    if min_budget_ms is None:
        return float(times.upper_ms.sum())
    least_ms = float(times.upper_ms[fastest_stage(times, policy.requires)])
    if not (isfinite(min_budget_ms) and min_budget_ms >= least_ms):
        raise ConfigurationError(
            f"expected min_budget_ms of at least {least_ms:.4g}, in which the fastest stage fits, got {min_budget_ms}"
        )
    return float(min_budget_ms)
