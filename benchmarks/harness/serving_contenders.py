"""Who serves in the serving benchmark: cascade's scheduler and the published rules, all tuned on one half of the items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np
from harness.datasets import cifar10
from harness.serving_cells import JITTER, LOADS, SLOS, Cell, capacity_rps, service_times, workload

from cascade.calibration.fit import fit_policy
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.scheduling.messages import Decides
from cascade.scheduling.scheduler import Scheduler
from cascade.simulation.baselines.base import Frame
from cascade.simulation.baselines.chains import Chain, TunedChain, pareto_chains
from cascade.simulation.baselines.gear_plan import Gear, GearPlan
from cascade.simulation.baselines.gear_planner import planned_gears
from cascade.simulation.baselines.model_switching import ModelSwitching
from cascade.simulation.baselines.single_model import SingleModel
from cascade.simulation.baselines.slack_fit import SlackFit
from cascade.simulation.baselines.static_cascade import StaticCascade
from cascade.simulation.engine import run
from cascade.simulation.recorded import Recorded
from cascade.simulation.report import Report
from cascade.simulation.service_times import ServiceTimes

OURS = "cascade"
SPLIT_SEED = 0
N_CHAINS = 12
STATIC_AT = {"dear": 1.0, "middle": 0.5, "cheap": 0.2}
"""Operating points of the static cascades: share of the way from the cheapest chain to the most accurate one, in time."""
GEAR_LOADS = (*LOADS, 6.0)
WINDOW_MS, SWITCHING_HEADROOM = 100.0, 0.5
"""What was best for the rules that count arrivals, over windows of 50 to 500 ms and shares of 0.5 to 1."""
NEXUS = ", Nexus drop"
"""Ends the names of rules that drop heads which force small batches; the others drop only what is late."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the stages say on the half that fits and on the half that serves, and the chains tuned on the first."""

    fit: Recorded
    served: Recorded
    chains: list[TunedChain]

    @classmethod
    def of(cls, fit: Recorded, served: Recorded, service: ServiceTable) -> Answers:
        """With the chains that no other beats on the half that fits."""
        return cls(fit, served, pareto_chains(fit, service, N_CHAINS))

    def chain_at(self, share: float) -> Chain:
        """The chain whose time lies nearest to this share of the way from the cheapest to the most accurate."""
        times = np.array([tuned.mean_ms for tuned in self.chains])
        return self.chains[int(np.abs(times - times[0] - share * (times[-1] - times[0])).argmin())].chain


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that the contenders are made of.

    ``own`` are the answers of the last stage alone, ``pooled`` those of all stages that ran; ``accuracy`` is of each stage.
    """

    policy: Policy
    service: ServiceTable
    own: Answers
    pooled: Answers
    accuracy: list[float]
    trace_ms: np.ndarray


def prepared(data: Path, service: ServiceTable) -> Prepared:
    """Half of the CIFAR ladder at random fits, the other half is served."""
    outcomes = cifar10(data).outcomes
    order = np.random.default_rng(SPLIT_SEED).permutation(outcomes.n_items)
    fit, served = (outcomes.take(half) for half in np.array_split(order, 2))
    # Only accuracy in time counts here, so that no accuracy is given up while there is time, as the dearest chains do not.
    policy = fit_policy(fit, service, seed=SPLIT_SEED, max_accuracy_drop=0.0)
    own = Answers.of(Recorded.from_stages(fit), Recorded.from_stages(served), service)
    pooled = Answers.of(Recorded.from_policy(policy, fit), Recorded.from_policy(policy, served), service)
    with np.load(data / "azure_llm_2023" / "conversation.npz", allow_pickle=False) as file:
        trace_ms = file["arrival_ms"]
    return Prepared(policy, service, own, pooled, fit.correct.mean(axis=0).tolist(), trace_ms)


@dataclass(frozen=True, slots=True)
class Contender:
    """A rule to be made afresh for every run, and the answers that it gives."""

    make: Callable[[], Decides]
    answers: Recorded


def contenders(ready: Prepared, slo: str) -> dict[str, Contender]:
    """Cascade first, then the published rules, those with a plan planned for this SLO."""
    service, own, pooled = ready.service, ready.own, ready.pooled
    switching = partial(ModelSwitching, service, ready.accuracy, window_ms=WINDOW_MS, headroom=SWITCHING_HEADROOM)
    found = {
        OURS: Contender(partial(Scheduler, ready.policy), pooled.served),
        "largest": Contender(partial(SingleModel, service, service.n_stages - 1), own.served),
        "smallest": Contender(partial(SingleModel, service, 0), own.served),
        "switching": Contender(switching, own.served),
        f"smallest{NEXUS}": Contender(partial(SingleModel, service, 0, drop="small batches"), own.served),
        "slackfit": Contender(partial(SlackFit, service, ready.accuracy), own.served),
    }
    for prefix, answers in (("", own), ("pooled ", pooled)):
        for name, share in STATIC_AT.items():
            make = partial(StaticCascade, service, answers.chain_at(share))
            found[f"{prefix}static {name}"] = Contender(make, answers.served)
        gears = gears_for(service, answers, slo)
        found[f"{prefix}gears"] = Contender(partial(GearPlan, service, gears, window_ms=WINDOW_MS), answers.served)
    gears = gears_for(service, pooled, slo, drop="small batches")
    make = partial(GearPlan, service, gears, window_ms=WINDOW_MS, drop="small batches")
    found[f"pooled gears{NEXUS}"] = Contender(make, pooled.served)
    return found


def gears_for(service: ServiceTable, answers: Answers, slo: str, **frame: Unpack[Frame]) -> list[Gear]:
    """The plan for an SLO, from the half that fits."""
    rates = [load * capacity_rps(service) for load in GEAR_LOADS]
    chains = [tuned.chain for tuned in answers.chains]
    return planned_gears(chains, answers.fit, ServiceTimes(service, JITTER), rates, budget_ms=SLOS[slo], **frame)


def served(ready: Prepared, contender: Contender, cell: Cell, seed: int) -> Report:
    """One contender in one cell: the same seed asks the same of everyone."""
    offered = workload(cell, ready.service, contender.answers.n_items, seed, ready.trace_ms)
    return run(contender.make(), offered, contender.answers, service_times(ready.service, cell), n_lanes=1, seed=seed)
