"""How many requests a second does the simulator serve, and how much of its time is the scheduler's?

Four models of rising accuracy and cost, drawn with a seed, under Poisson and bursty arrivals within 50 ms; the load is a
multiple of what the largest model alone can carry in batches of 32. A simulation runs from the first arrival to its report;
workloads and recorded answers are drawn before. The engine's share is the time of a second run in which a list of the same
commands stands in for the scheduler; the rest is the scheduler's. Times are those the process ran on its core, and the least of
five rounds in which both runs take turns: what else the machine does only ever adds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness.report import arguments, on_one_thread, print_table, write

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.scheduling.messages import Command, Decides, Event
from cascade.scheduling.scheduler import Scheduler
from cascade.simulation.engine import run
from cascade.simulation.recorded import Recorded
from cascade.simulation.report import Report
from cascade.simulation.service_times import ServiceTimes
from cascade.simulation.workloads import Workload, gamma

BAR_RPS = 50_000.0
LOADS = (0.3, 0.7, 1.0, 1.5, 2.0, 4.0)
VARIATION = {"poisson": 1.0, "bursty": 4.0}
BUDGET_MS, MAX_BATCH = 50.0, 32
N_REQUESTS, N_ITEMS, N_ROUNDS = 20_000, 4000, 5
SIZES = (1, 2, 4, 8, 16, 32)
ONE_MS, SHARE_OF_EACH = np.array([2.6, 4.2, 5.9, 7.5]), 0.6


class Remembering:
    """Passes everything on to a scheduler and keeps what it said."""

    def __init__(self, scheduler: Decides) -> None:
        self._scheduler = scheduler
        self.handle = scheduler.handle
        self.said: list[list[Command]] = []
        self.wakeups: list[float] = []

    def poll(self, now_ms: float) -> list[Command]:
        """What the scheduler says."""
        self.said.append(self._scheduler.poll(now_ms))
        return self.said[-1]

    def next_wakeup_ms(self) -> float:
        """What the scheduler says."""
        self.wakeups.append(self._scheduler.next_wakeup_ms())
        return self.wakeups[-1]


class Repeating:
    """Says again what was said, without a thought."""

    def __init__(self, remembered: Remembering) -> None:
        self.poll = _one_by_one(iter(remembered.said))
        wakeups = iter(remembered.wakeups)
        self.next_wakeup_ms: Callable[[], float] = lambda: next(wakeups)

    def handle(self, event: Event, now_ms: float) -> None:
        """Take no note."""


def _one_by_one(said: Iterator[list[Command]]) -> Callable[[float], list[Command]]:
    return lambda _now_ms: next(said)


def ladder() -> tuple[Policy, Recorded, ServiceTimes]:
    """A fitted policy of four models, what it answers on fresh items, and what batches take."""
    rng = np.random.default_rng(0)
    n = 2 * N_ITEMS
    labels, hardness = rng.integers(0, 10, n), rng.normal(size=(n, 1))
    scores = rng.normal(size=(n, 4, 10))
    scores[np.arange(n), :, labels] += np.array([2.6, 3.0, 3.3, 3.6]) + hardness
    probs = np.exp(scores)
    outcomes = Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels)
    mean_ms = ONE_MS[:, None] * (1.0 + SHARE_OF_EACH * (np.array(SIZES) - 1.0))
    table = ServiceTable(
        stages=outcomes.stages,
        batch_sizes=SIZES,
        mean_ms=mean_ms,
        quantile_ms=np.stack([mean_ms, 1.12 * mean_ms]),
        levels=(0.5, 0.99),
        costs=ONE_MS,
    )
    policy = fit_policy(outcomes.take(np.arange(N_ITEMS)), table)
    return policy, Recorded.from_policy(policy, outcomes.take(np.arange(N_ITEMS, n))), ServiceTimes(table)


def workload_of(pattern: str, load: float, table: ServiceTable) -> Workload:
    """About as many requests at every load."""
    rate_rps = load * 1000.0 * MAX_BATCH / table.mean_at(table.n_stages - 1, MAX_BATCH)
    duration_ms = 1000.0 * N_REQUESTS / rate_rps
    return gamma(rate_rps, duration_ms, cv=VARIATION[pattern], n_items=N_ITEMS, budget_ms=BUDGET_MS)


def timed(scheduler: Decides, workload: Workload, recorded: Recorded, times: ServiceTimes) -> tuple[float, Report]:
    """Microseconds for each request, and the report."""
    gc.collect()
    began = time.process_time()
    report = run(scheduler, workload, recorded, times, n_lanes=1, seed=0)
    return (time.process_time() - began) * 1e6 / workload.n_requests, report


def measure(pattern: str, load: float, policy: Policy, recorded: Recorded, times: ServiceTimes) -> dict[str, Any]:
    """One row."""
    workload = workload_of(pattern, load, times.table)
    remembered = Remembering(Scheduler(policy, max_batch=MAX_BATCH))
    _, expected = timed(remembered, workload, recorded, times)
    whole_us, engine_us = [], []
    for _ in range(N_ROUNDS):
        took_us, report = timed(Scheduler(policy, max_batch=MAX_BATCH), workload, recorded, times)
        whole_us.append(took_us)
        took_us, repeated = timed(Repeating(remembered), workload, recorded, times)
        engine_us.append(took_us)
        if not (np.array_equal(report.end_ms, expected.end_ms) and np.array_equal(repeated.end_ms, expected.end_ms)):
            raise SystemExit("expected every run to give the same report, but they differ")
    whole, engine = min(whole_us), min(engine_us)
    return {
        "pattern": pattern,
        "load": load,
        "n_requests": workload.n_requests,
        "requests_per_second": round(1e6 / whole),
        "us_per_request": round(whole, 2),
        "engine_us": round(engine, 2),
        "scheduler_us": round(whole - engine, 2),
        "polls_per_request": round(len(remembered.said) / workload.n_requests, 3),
        "mean_batch": round(expected.runs.mean_size, 2),
        "slo_attainment": round(expected.slo_attainment, 4),
    }


def report_rows(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    print_table(
        ["arrivals", "load", "requests/s", "us/request", "engine", "scheduler", "polls", "batch", "in time", "bar met"],
        [
            [
                row["pattern"],
                f"{row['load']:g}",
                f"{row['requests_per_second']}",
                f"{row['us_per_request']:.1f}",
                f"{row['engine_us']:.1f}",
                f"{row['scheduler_us']:.1f}",
                f"{row['polls_per_request']:.2f}",
                f"{row['mean_batch']:.1f}",
                f"{100.0 * row['slo_attainment']:.2f} %",
                "yes" if row["requests_per_second"] >= BAR_RPS else "NO",
            ]
            for row in rows
        ],
    )


def main() -> None:
    options = arguments(__doc__)
    policy, recorded, times = ladder()
    rows = [measure(pattern, load, policy, recorded, times) for pattern in VARIATION for load in LOADS]
    report_rows(rows)
    write("simulator", {"bar_requests_per_second": BAR_RPS, "rows": rows}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
