"""The residual networks as they are served live and as they are simulated: the same policies, items and service times for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from harness.datasets import cifar10
from harness.networks import cifar_images, resnet
from harness.resnet_service import DEPTHS, MAX_BATCH, N_IMAGES
from torch.nn import Module

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.profiling.profile import profile
from cascade.stages.stage import Stage

SPLIT_SEED = 0
AT_ONCE_MS = 2.0
CHAIN, THRESHOLD = (0, 3), 0.8
"""The static chain: the smallest network, and the largest where it is less sure than this."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One batch that a stage ran: which stage, how many rows, and when, in milliseconds."""

    stage: int
    n: int
    began_ms: float
    ended_ms: float


class Clocked:
    """A stage that notes every batch it runs, and is the stage inside otherwise."""

    def __init__(self, stage: Stage, number: int, ran: list[Ran]) -> None:
        self._stage, self._number, self._ran = stage, number, ran

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage, name)

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """As the stage inside."""
        began = perf_counter()
        said = self._stage.run(batch, carry)
        self._ran.append(Ran(self._number, len(batch), began * 1e3, perf_counter() * 1e3))
        return said


@dataclass(frozen=True, slots=True)
class Served:
    """One policy: what it runs live, and what it is simulated with; ``ran`` holds the batches that have run."""

    name: str
    stages: tuple[Clocked, ...]
    policy: Policy
    outcomes: Outcomes
    ran: list[Ran]

    def predictor(self, images: np.ndarray) -> Predictor:
        """Live, on one lane."""
        return Predictor(self.stages, self.policy, self.policy.service, sample=images[:N_IMAGES], max_batch=MAX_BATCH)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Half of the test images with their labels, the service times of the networks here and now, and the policies.

    ``traced`` is cascade's policy over the same networks, each as one operation that needs the interpreter only to begin and to end.
    """

    images: np.ndarray
    labels: np.ndarray
    service: ServiceTable
    policies: tuple[Served, ...]
    traced: Served


def ladder(data: Path, cell_ms: float, heat_ms: float) -> Ladder:
    """Half of the images at random fits cascade's policy, the other half is asked for."""
    images, labels = cifar_images(data)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    fit_rows, rows = np.array_split(order, 2)
    sample = images[fit_rows[:N_IMAGES]]
    networks = {f"resnet{depth}": resnet(data, depth) for depth in DEPTHS}
    stages = tuple([Stage(network, name=name) for name, network in networks.items()])
    alone = tuple([Stage(traced(network, sample), name=name) for name, network in networks.items()])
    service, service_alone = (
        profile(some, sample, max_batch=MAX_BATCH, cell_ms=cell_ms, heat_ms=heat_ms, progress=False)
        for some in (stages, alone)
    )
    outcomes = cifar10(data).outcomes
    fit, served = outcomes.take(fit_rows), outcomes.take(rows)
    policy = fit_policy(fit, service, seed=SPLIT_SEED, max_accuracy_drop=0.0)
    last = len(DEPTHS) - 1
    policies = (
        of("cascade", stages, policy, served),
        by_hand("largest", stages, service, served, which=(last,), thresholds=()),
        by_hand("smallest", stages, service, served, which=(0,), thresholds=()),
        by_hand("static chain", stages, service, served, which=CHAIN, thresholds=(THRESHOLD,)),
    )
    return Ladder(
        images[rows], labels[rows], service, policies, of("traced", alone, policy.retime(service_alone), served)
    )


def traced(network: Module, sample: np.ndarray) -> Module:
    """The network as one compiled operation."""
    with torch.inference_mode():
        return torch.jit.freeze(torch.jit.trace(network, torch.from_numpy(sample)))


def by_hand(
    name: str,
    stages: Sequence[Stage],
    service: ServiceTable,
    outcomes: Outcomes,
    *,
    which: tuple[int, ...],
    thresholds: tuple[float, ...],
) -> Served:
    """A fixed chain of some of the networks; a single one answers everything."""
    chosen = [*which]
    names = tuple([stages[j].name for j in which])
    others = {stage.name for stage in stages} - {*names}
    table = replace(
        service,
        stages=names,
        stamp={key: value for key, value in (service.stamp or {}).items() if key.partition(":")[2] not in others},
        mean_ms=service.mean_ms[chosen],
        quantile_ms=service.quantile_ms[:, chosen],
        costs=service.costs[chosen],
    )
    assert outcomes.log_probs is not None
    said = Outcomes.from_probs(np.exp(outcomes.log_probs[:, chosen].astype(np.float64)), outcomes.labels, stages=names)
    return of(name, [stages[j] for j in which], Policy.from_thresholds(thresholds, table), said)


def of(name: str, stages: Sequence[Stage], policy: Policy, outcomes: Outcomes) -> Served:
    """A policy over stages that note what they run."""
    ran: list[Ran] = []
    return Served(name, tuple([Clocked(stage, j, ran) for j, stage in enumerate(stages)]), policy, outcomes, ran)


def as_measured(service: ServiceTable, ran: Sequence[Ran]) -> tuple[ServiceTable, dict[str, float]]:
    """The table as the batches of one run would have it, and what is different.

    Every time is multiplied by what the batches took over what was profiled, and the time between two batches where the second
    followed at once is added: while a lane is never idle, that is what answering and deciding take.
    """
    took_ms = sum(one.ended_ms - one.began_ms for one in ran)
    factor = took_ms / sum(service.mean_at(one.stage, one.n) for one in ran)
    gaps = np.array([after.began_ms - before.ended_ms for before, after in pairwise(ran)])
    at_once = gaps[gaps < AT_ONCE_MS]
    between_ms = float(np.median(at_once)) if len(at_once) else 0.0
    table = replace(
        service, mean_ms=service.mean_ms * factor + between_ms, quantile_ms=service.quantile_ms * factor + between_ms
    )
    return table, {"measured_over_profiled": round(factor, 3), "between_ms": round(between_ms, 3)}
