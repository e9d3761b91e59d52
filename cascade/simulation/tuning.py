"""The knobs of serving, chosen by trying them in virtual time: how many lanes, how large a batch, how much headroom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from statistics import fmean

import numpy as np

from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.progress import with_progress
from cascade.core.records import FloatArray
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.scheduling.scheduler import Scheduler
from cascade.simulation.clients import ClosedLoop
from cascade.simulation.engine import run
from cascade.simulation.recorded import Recorded
from cascade.simulation.report import Report
from cascade.simulation.service_times import ServiceTimes, SlowDown
from cascade.simulation.settings import Setting, Tried, Tuning
from cascade.simulation.workloads import Workload

_N_BLOCKS = 20


def tune_serving(
    policy: Policy,
    outcomes: Outcomes,
    workload: Workload | ClosedLoop,
    slo_ms: float | None = None,
    *,
    min_attainment: float = 0.99,
    lanes: Sequence[int] = (1, 2),
    max_batches: Sequence[int] = (8, 16, 32, 64),
    headrooms: Sequence[float] = (0.7, 0.8, 0.9),
    service: ServiceTable | None = None,
    jitter: float = 0.05,
    spike_share: float = 0.0,
    spike_factor: float = 2.0,
    slowdowns: Sequence[SlowDown] = (),
    n_repeats: int = 2,
    seed: int = 0,
    progress: bool = True,
) -> Tuning:
    """The number of lanes, batch limit and headroom that answer most requests rightly in time, by simulation.

    Of the settings that answer at least ``min_attainment`` of the requests in time, the most accurate one is found. Chosen is
    the one with the fewest lanes that comes within one standard error of it, among these the most accurate, and of equals the quickest. Where no
    setting answers as many in time, chosen is the one that answers most.

    Parameters
    ----------
    policy : Policy
    outcomes : Outcomes
        What the policy's stages said about labelled items; rows that the policy was fitted on would flatter it.
    workload : Workload or ClosedLoop
        Drawn with ``n_items=outcomes.n_items``; every setting serves the same.
    slo_ms : float, optional
        Time allowed for every request; by default what the workload says.
    min_attainment : float
        Share of all offered requests, in [0, 1], that are to be answered in time.
    lanes, max_batches : sequence of int
    headrooms : sequence of float
        What to try: every combination.
    service, jitter, spike_share, spike_factor, slowdowns
        As in `simulate`.
    n_repeats : int
        Simulations of each setting, with service times of different seeds, the same for all settings.
    seed : int
        Of the service times.
    progress : bool
        Show a progress bar on standard error when the work is long.

    Returns
    -------
    Tuning

    Raises
    ------
    ConfigurationError
        If a number is outside its range, there is nothing to try, or the workload asks for items that there are not.
    PolicyMismatch
        If outcomes or service times are of other stages or classes.

    Notes
    -----
    Lanes do not slow each other down, as in `simulate`. Standard errors come from differences on the same requests, over 20
    successive blocks of them in each repetition. Choosing the best of several settings flatters it a little: simulate the
    chosen one once more with another seed of the workload for a figure to rely on.
    """
    _check(min_attainment, slo_ms, n_repeats)
    settings = [Setting(*knobs) for knobs in product(sorted(lanes), sorted(max_batches), sorted(headrooms))]
    if not settings:
        raise ConfigurationError("expected at least one value each in lanes, max_batches and headrooms, got none")
    if slo_ms is not None:
        workload = replace(workload, budget_ms=np.full(workload.n_requests, float(slo_ms)))
    policy = policy if service is None else policy.retime(service)
    recorded = Recorded.from_policy(policy, outcomes)
    times = ServiceTimes(policy.service, jitter, spike_share, spike_factor, tuple(slowdowns))
    seeds = range(seed, seed + n_repeats)
    tried: list[Tried] = []
    blocks: list[FloatArray] = []
    for setting in with_progress(settings, progress, desc="tune serving", unit="setting"):
        reports = [_served(policy, workload, recorded, times, setting=setting, seed=each) for each in seeds]
        tried.append(_summed_up(setting, reports, min_attainment))
        blocks.append(np.concatenate([_in_blocks(report) for report in reports]))
    return _compared(tried, blocks, min_attainment)


def _served(
    policy: Policy,
    workload: Workload | ClosedLoop,
    recorded: Recorded,
    times: ServiceTimes,
    *,
    setting: Setting,
    seed: int,
) -> Report:
    n_lanes = setting.n_lanes
    scheduler = Scheduler(policy, n_lanes=n_lanes, max_batch=setting.max_batch, headroom=setting.headroom)
    return run(scheduler, workload, recorded, times, n_lanes=n_lanes, seed=seed)


def _summed_up(setting: Setting, reports: Sequence[Report], min_attainment: float) -> Tried:
    figures = [report.figures() for report in reports]
    slo_attainment = fmean(part.slo_attainment for part in figures)
    return Tried(
        setting,
        effective_accuracy=fmean(part.effective_accuracy for part in figures),
        slo_attainment=slo_attainment,
        attainment_of_admitted=fmean(part.attainment_of_admitted for part in figures),
        p99_ms=max(part.latency_ms[0.99] for part in figures),
        utilisation=fmean(report.utilisation for report in reports),
        attains=slo_attainment >= min_attainment,
    )


def _in_blocks(report: Report) -> FloatArray:
    """Effective accuracy in successive blocks of requests."""
    worth = report.correct & report.in_time
    return np.array([block.mean() for block in np.array_split(worth, min(_N_BLOCKS, len(worth)))])


def _compared(tried: Sequence[Tried], blocks: Sequence[FloatArray], min_attainment: float) -> Tuning:
    enough = [i for i, row in enumerate(tried) if row.attains]
    if enough:
        best = max(enough, key=lambda i: tried[i].effective_accuracy)
    else:
        best = max(range(len(tried)), key=lambda i: (tried[i].slo_attainment, tried[i].effective_accuracy))
    rows = [
        replace(
            row,
            behind=tried[best].effective_accuracy - row.effective_accuracy,
            behind_error=float((blocks[best] - mine).std() / max(len(mine) - 1, 1) ** 0.5),
        )
        for row, mine in zip(tried, blocks, strict=True)
    ]
    near = [row for row in rows if row.attains and row.behind <= row.behind_error] or [rows[best]]
    chosen = min(near, key=lambda row: (row.setting.n_lanes, row.behind, row.p99_ms))
    rows.sort(key=lambda row: (not row.attains, row.behind))
    return Tuning(chosen.setting, min_attainment, tuple(rows))


def _check(min_attainment: float, slo_ms: float | None, n_repeats: int) -> None:
    if not 0.0 <= min_attainment <= 1.0:
        raise ConfigurationError(f"expected min_attainment in [0, 1], got {min_attainment}")
    if slo_ms is not None and not slo_ms > 0.0:
        raise ConfigurationError(f"expected slo_ms above 0, got {slo_ms}")
    if n_repeats < 1:
        raise ConfigurationError(f"expected n_repeats of at least 1, got {n_repeats}")
