"""Make the engine of a predictor: its lanes, and what its scheduler may plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

from cascade.clock import Clock
from cascade.core.policy import Policy
from cascade.errors import ConfigurationError
from cascade.runtime.dispatcher import Resources
from cascade.runtime.engine import Engine
from cascade.runtime.lane import Lane
from cascade.runtime.processes import watch
from cascade.runtime.thread_counts import ThreadCounts, checked_threads
from cascade.scheduling.scheduler import Scheduler
from cascade.stages.base import RunnableStage
from cascade.telemetry.counters import Counters
from cascade.telemetry.measures import Measures


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """How requests that queue are served; as the keywords of `Predictor`.

    Raises
    ------
    ConfigurationError
        If a count is not a whole number of at least 1, or the share of the machine is not in (0, 1].
    """

    lanes: int
    max_batch: int
    max_waiting: int
    headroom: float
    machine_share: float
    on_overload: str
    telemetry: bool = True

    def __post_init__(self) -> None:
        for name in ("lanes", "max_batch", "max_waiting"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
                raise ConfigurationError(f"expected {name} to be a whole number of at least 1, got {count!r}")
        if not 0.0 < self.machine_share <= 1.0:
            raise ConfigurationError(
                f"expected machine_share in (0, 1], such as 1/4 for 4 processes, got {self.machine_share}"
            )

    def new_counters(self) -> Counters:
        """Counters that have seen nothing."""
        return Counters(Measures() if self.telemetry else None)

    def headroom_on(self, stages: Sequence[RunnableStage], n_threads: int) -> float:
        """The share of its lanes' time that a process may plan.

        Where all processes together want more cores than there are, or share a device, each has its share of them.
        """
        if any(stage.device != "cpu" for stage in stages):
            return self.headroom * self.machine_share
        n_wanted = max(self.lanes, 1) * max(n_threads, 1)
        return self.headroom * min(1.0, self.machine_share * usable_cores() / n_wanted)


def engine_for(
    stages: Sequence[RunnableStage],
    policy: Policy,
    settings: LaneSettings,
    *,
    threads: Any,
    clock: Clock,
) -> Engine:
    """An engine that has not started anything, and hears of forks and of the end of the interpreter.

    Raises
    ------
    ConfigurationError
        If a setting cannot work.
    """
    counts = ThreadCounts(stages, checked_threads(threads))
    new_scheduler = partial(
        Scheduler,
        n_lanes=settings.lanes,
        max_batch=settings.max_batch,
        max_waiting=settings.max_waiting,
        headroom=settings.headroom_on(stages, counts.n_threads),
        on_overload=settings.on_overload,
    )
    lanes = tuple(Lane(stages, clock, counts, settings.new_counters(), number) for number in range(settings.lanes))
    engine = Engine(Resources(lanes, clock, counts, settings.max_batch, new_scheduler), policy)
    watch(engine)
    return engine


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
