"""Service times that hold on this machine: the given ones, or a brief profile."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from cascade.clock import Clock
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, ForeignServiceWarning
from cascade.profiling.profile import profile_brief
from cascade.profiling.stamp import current_stamp, stamp_mismatch
from cascade.profiling.timed_stage import TimedStage


def local_service(
    policy: Policy,
    stages: Sequence[TimedStage],
    service: ServiceTable | None,
    *,
    sample: Any,
    threads: Any,
    clock: Clock,
) -> ServiceTable:
    """The given table if it holds here, else a brief profile on the sample.

    Raises
    ------
    ConfigurationError
        If there is nothing to profile on.

    Warns
    -----
    ForeignServiceWarning
        If the table was measured elsewhere.
    """
    if service is not None:
        differences = [] if service.stamp is None else stamp_mismatch(service.stamp, current_stamp(stages, threads))
        if not differences:
            return service
        warnings.warn(
            f"the service table was measured elsewhere ({'; '.join(differences)}), so the stages are profiled again",
            ForeignServiceWarning,
            stacklevel=3,
        )
    if sample is None:
        raise ConfigurationError(
            "expected service= or sample=: the policy does not say what inputs look like, so the stages cannot be profiled"
        )
    costs = None if policy.service.stamp is not None else policy.service.costs
    return profile_brief(stages, sample, threads=threads, costs=costs, clock=clock)


def certified_service(policy: Policy, stages: Sequence[TimedStage], threads: Any) -> ServiceTable | None:
    """The table that a certified policy was certified under, if it holds here."""
    stamp = policy.service.stamp
    if policy.guarantee is None or (stamp is not None and stamp_mismatch(stamp, current_stamp(stages, threads))):
        return None
    return policy.service
