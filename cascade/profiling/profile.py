"""Stages and sample inputs become a table of service times.

May run stages and read a clock; decides nothing from what it measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from math import inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cascade.clock import Clock, MonotonicClock
from cascade.core.arrays import frozen_amounts
from cascade.core.progress import progress_bar
from cascade.core.records import FloatArray
from cascade.core.rows import n_rows
from cascade.core.service import LEVELS, ServiceTable, Stamp
from cascade.errors import ConfigurationError, EmptyBatch
from cascade.profiling.measure import (
    Cell,
    Effort,
    Rows,
    cells_of,
    counted_collections,
    heat,
    in_company,
    repeat,
    warm_up,
)
from cascade.profiling.stamp import current_stamp
from cascade.profiling.timed_stage import Threads, TimedStage, limited_threads

_N_WARM = 3
# Half of the second that a brief profile aims at is for warming up.
_BRIEF_MEASURING_MS = 500.0


def profile(
    stages: Sequence[TimedStage],
    X: Any,
    *,
    max_batch: int = 32,
    threads: Threads = 1,
    cell_ms: float = 250.0,
    heat_ms: float = 0.0,
    progress: bool = True,
    costs: ArrayLike | None = None,
    clock: Clock | None = None,
    seed: int = 0,
) -> ServiceTable:
    """Service times of every stage at batch sizes 1, 2, 4, ... ``max_batch``, measured here and now.

    Parameters
    ----------
    stages : sequence of K stages
        A stage that continues from another must come after it; only the continuation is timed.
    X : array, tensor or list of n rows
        Sample inputs; batches are drawn from them in a shuffled order, cyclically.
    max_batch : int
        Largest batch size, at least 1; profiled even if it is not a power of two.
    threads : int or "leave"
        Threads per run, set while the profile runs and restored afterwards; ``"leave"`` touches nothing.
    cell_ms : float
        Milliseconds to spend on each stage and batch size if its 0.99 quantile does not settle earlier.
    heat_ms : float
        Milliseconds of continuous running before anything is measured, for the speed that a hot machine
        sustains.
    progress : bool
        Show a bar on stderr if the work takes longer than two seconds.
    costs : array-like of shape (K,), optional
        Cost per item in any unit; by default the mean milliseconds of one item.
    clock : Clock, optional
        Where time is read; by default the machine's monotonic clock.
    seed : int
        Of the order in which rows are drawn.

    Returns
    -------
    ServiceTable
        With a stamp of machine, devices, versions, thread counts, repeats and garbage collections.

    Raises
    ------
    ConfigurationError
        If there are no stages, names repeat, a stage stands before the one it continues from, or a number
        is out of range.
    EmptyBatch
        If X has no rows.
    StageError
        If a stage raises; the message names it and the batch size.

    Notes
    -----
    Each run follows, untimed, one row on another stage that is no slower, as stages follow one another in a cascade: a
    stage that runs again and again finds the processor's caches warm, and seems up to twice as fast as it will be.

    Quantiles are order statistics, the upper neighbour at each level, so those of few repeats are the maximum
    seen: the 0.999 quantile needs 1000 repeats to be more than that. A time that falls as the batch grows is
    noise; the table then keeps the larger value for both.
    """
    _check_positive("cell_ms", cell_ms)
    if not 0.0 <= heat_ms < inf:
        raise ConfigurationError(f"expected heat_ms of at least 0, got {heat_ms}")
    plan = _plan(stages, X, max_batch=max_batch, threads=threads, costs=costs, clock=clock, seed=seed)
    effort = Effort(cell_ms=cell_ms, min_repeats=20, n_warm=_N_WARM, warm_ms=inf)
    with progress_bar(2 * plan.n_cells, progress, desc="profile", unit="cell") as advance:
        return _measured(plan, effort, heat_ms=heat_ms, advance=advance)


def profile_brief(
    stages: Sequence[TimedStage],
    X: Any,
    *,
    max_batch: int = 32,
    threads: Threads = 1,
    costs: ArrayLike | None = None,
    clock: Clock | None = None,
    seed: int = 0,
) -> ServiceTable:
    """As `profile`, in about one second: enough to tell how fast this machine is, with rough quantiles.

    Parameters and errors are those of `profile`. Slow stages take longer than a second, since each is
    run at least twice at every batch size.
    """
    plan = _plan(stages, X, max_batch=max_batch, threads=threads, costs=costs, clock=clock, seed=seed)
    cell_ms = _BRIEF_MEASURING_MS / plan.n_cells
    effort = Effort(cell_ms=cell_ms, min_repeats=5, n_warm=_N_WARM, warm_ms=cell_ms)
    return _measured(plan, effort, heat_ms=0.0, advance=lambda: None)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be measured, checked."""

    stages: tuple[TimedStage, ...]
    batch_sizes: tuple[int, ...]
    rows: Rows
    threads: Threads
    costs: FloatArray | None
    clock: Clock

    @property
    def n_cells(self) -> int:
        return len(self.stages) * len(self.batch_sizes)


def _plan(
    stages: Sequence[TimedStage],
    X: Any,
    *,
    max_batch: int,
    threads: Threads,
    costs: ArrayLike | None,
    clock: Clock | None,
    seed: int,
) -> _Plan:
    _check_stages(stages)
    _check_positive("max_batch", max_batch)
    _check_threads(threads)
    if n_rows(X) == 0:
        raise EmptyBatch("expected sample inputs to profile with, got no rows: one row is enough")
    return _Plan(
        stages=tuple(stages),
        batch_sizes=_batch_sizes(max_batch),
        rows=Rows(X, seed),
        threads=threads,
        costs=None if costs is None else frozen_amounts(costs, "costs", (len(stages),)),
        clock=clock or MonotonicClock(),
    )


def _check_stages(stages: Sequence[TimedStage]) -> None:
    if not stages:
        raise ConfigurationError("expected at least one stage to profile, got none")
    earlier: set[str] = set()
    for stage in stages:
        if stage.name in earlier:
            raise ConfigurationError(f"expected different stage names, got {stage.name!r} twice; pass name=")
        if stage.requires is not None and stage.requires not in earlier:
            raise ConfigurationError(
                f"stage {stage.name!r} continues from {stage.requires!r}: expected that stage before it, "
                f"got {[each.name for each in stages]}"
            )
        earlier.add(stage.name)


def _check_positive(name: str, value: float) -> None:
    if not 0.0 < value < inf:
        raise ConfigurationError(f"expected a positive {name}, got {value}")


def _check_threads(threads: Any) -> None:
    if threads != "leave" and not (isinstance(threads, int) and threads >= 1):
        raise ConfigurationError(f'expected threads as an integer of at least 1 or "leave", got {threads!r}')


def _batch_sizes(max_batch: int) -> tuple[int, ...]:
    powers = (1 << exponent for exponent in range(max_batch.bit_length()))
    return tuple(dict.fromkeys([*powers, max_batch]))


def _measured(plan: _Plan, effort: Effort, *, heat_ms: float, advance: Callable[[], object]) -> ServiceTable:
    cells = cells_of(plan.stages, plan.batch_sizes)
    with limited_threads(plan.stages, plan.threads):
        warm_ms = [[_warmed(cell, plan, effort, advance) for cell in per_stage] for per_stage in cells]
        cells = in_company(cells, [per_stage[0] for per_stage in warm_ms])
        heat([per_stage[-1] for per_stage in cells], plan.rows, plan.clock, heat_ms)
        with counted_collections() as n_collections:
            times_ms = [[_repeated(cell, plan, effort, advance) for cell in per_stage] for per_stage in cells]
        here = current_stamp(plan.stages, "leave")
    n_repeats = [times.size for times in chain.from_iterable(times_ms)]
    measured: Stamp = {
        "n_gc_collections": n_collections[0],
        "n_repeats_min": min(n_repeats),
        "n_repeats_max": max(n_repeats),
        "heat_ms": heat_ms,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return _table(plan, times_ms, {**here, **measured})


def _warmed(cell: Cell, plan: _Plan, effort: Effort, advance: Callable[[], object]) -> float:
    fastest_ms = warm_up(cell, plan.rows, plan.clock, effort)
    advance()
    return fastest_ms


def _repeated(cell: Cell, plan: _Plan, effort: Effort, advance: Callable[[], object]) -> FloatArray:
    times_ms = repeat(cell, plan.rows, plan.clock, effort)
    advance()
    return times_ms


def _table(plan: _Plan, times_ms: Sequence[Sequence[FloatArray]], stamp: Stamp) -> ServiceTable:
    """The table of runs, nested by stage and batch size; a larger batch is never promised to take less time."""
    means = np.array([[times.mean() for times in per_stage] for per_stage in times_ms])
    quantiles = np.array([[np.quantile(times, LEVELS, method="higher") for times in each] for each in times_ms])
    mean_ms = np.maximum.accumulate(means, axis=1)
    quantile_ms = np.maximum.accumulate(np.moveaxis(quantiles, -1, 0), axis=2)
    # one freak run among thousands can lift the mean above the 0.999 quantile; the mean is what was seen
    quantile_ms[-1] = np.maximum(quantile_ms[-1], mean_ms)
    return ServiceTable(
        stages=tuple(stage.name for stage in plan.stages),
        batch_sizes=plan.batch_sizes,
        mean_ms=mean_ms,
        quantile_ms=quantile_ms,
        costs=mean_ms[:, 0] if plan.costs is None else plan.costs,
        stamp=stamp,
    )
