"""Whether a policy and stages belong together, and the first runs of the stages."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cascade.core.certificate import Certificate
from cascade.core.policy import Policy
from cascade.core.recording import predecessors, run_checked
from cascade.core.records import StageOutput
from cascade.core.rows import take_rows
from cascade.errors import ConfigurationError, GuaranteeLostWarning, PolicyMismatch
from cascade.runtime.request import checked_terms
from cascade.runtime.single import Terms
from cascade.stages.base import RunnableStage

_N_FIRST_RUNS = 3
_N_WARM_REQUESTS = 32


def check_stages_of(policy: Policy, stages: Sequence[RunnableStage]) -> None:
    """Raise unless the policy was fitted on these stages.

    Names count unless the policy was fitted on unnamed saved arrays; fingerprints count where it has them.

    Raises
    ------
    PolicyMismatch
        With both sides.
    """
    names = tuple(stage.name for stage in stages)
    if len(names) != len(policy.stages):
        raise PolicyMismatch(f"expected the {len(policy.stages)} stages of the policy {policy.stages}, got {names}")
    if names != policy.stages:
        raise PolicyMismatch(f"expected the stages of the policy {policy.stages}, got {names}: pass them in that order")
    requires = predecessors(stages)
    if policy.fingerprints is None:
        return
    if policy.chain is None and requires != policy.requires:
        raise PolicyMismatch(
            f"expected stages that continue from {policy.requires}, got {requires}: fit a policy on these stages"
        )
    changed = [stage.name for stage, mark in zip(stages, policy.fingerprints, strict=True) if stage.fingerprint != mark]
    if changed:
        raise PolicyMismatch(
            f"the policy was fitted on other versions of {changed}: fit it again, or pass the same version= to Stage "
            "if the models are the same"
        )


def followed_policy(policy: Policy, certificate: Certificate | None, stages: Sequence[RunnableStage]) -> Policy:
    """The policy to follow on these stages: that of the certificate, where there is one.

    Raises
    ------
    PolicyMismatch
        If the policy is of other stages, or the certificate of another policy.
    """
    check_stages_of(policy, stages)
    if certificate is None:
        return policy
    if replace(certificate.policy, guarantee=None) != replace(policy, guarantee=None):
        raise PolicyMismatch(
            f"expected a certificate of this very policy of the stages {policy.stages}, got one of another fit or other service "
            f"times, of the stages {certificate.policy.stages}: pass certificate.policy, or certify after every retime"
        )
    return certificate.policy


def terms_under(policy: Policy, infeasible: str, abstain_below: float | None, on_overload: str) -> Terms:
    """The terms of requests that do not say otherwise; a guarantee says what to abstain from unless the caller does.

    Raises
    ------
    ConfigurationError
        If a value is not one of those that work.

    Warns
    -----
    GuaranteeLostWarning
        If answers are withheld otherwise than was certified.
    """
    certified = None if policy.guarantee is None else policy.guarantee.abstain_below
    terms = checked_terms(infeasible, certified if abstain_below is None else abstain_below, on_overload)
    if policy.guarantee is not None and terms.abstain_below != (certified or 0.0):
        warnings.warn(
            f"the policy was certified with abstain_below={certified}, so with {abstain_below} no answer is within its guarantee: "
            "leave abstain_below=None, or certify with this one",
            GuaranteeLostWarning,
            stacklevel=3,
        )
    return terms


def bound_policy(
    policy: Policy, stages: Sequence[RunnableStage], sample: Any, classes: tuple[Hashable, ...] | None = None
) -> Policy:
    """The policy over the caller's labels; a chain learns them from ``classes``, if they are known already, else from the stages."""
    if policy.chain is None:
        return policy
    if classes is not None:
        return policy.for_classes(classes)
    named: list[tuple[Hashable, ...]] = [stage.classes for stage in stages if stage.classes is not None]
    if named:
        return policy.for_classes(named[0])
    if sample is None:
        raise ConfigurationError(
            "expected sample= or stages with classes=: a chain does not know how many classes there are"
        )
    output, _ = run_checked(stages[0], take_rows(sample, np.arange(1)))
    if isinstance(output, StageOutput):
        raise ConfigurationError(
            "expected stages with classes= for a chain of stages that return labels and confidences"
        )
    return policy.for_classes(range(int(output.shape[1])))
