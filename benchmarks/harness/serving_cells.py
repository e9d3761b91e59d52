"""The cells of the serving benchmark: how much time requests have, how they arrive, how many, and how steady the machine is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from cascade.core.service import ServiceTable
from cascade.simulation import workloads
from cascade.simulation.service_times import ServiceTimes
from cascade.simulation.workloads import Workload

SLOS: Mapping[str, float | Mapping[float, float]] = {
    "15": 15.0,
    "50": 50.0,
    "200": 200.0,
    "mixed": {15.0: 1 / 3, 50.0: 1 / 3, 200.0: 1 / 3},
}
TRAFFICS = ("poisson", "bursty", "mmpp", "azure")
FEW_LOADS = (0.3, 1.0, 2.0, 3.0)
LOADS = (0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0)
JITTER, SPIKE_SHARE, SPIKE_FACTOR = 0.05, 0.005, 2.0
BURSTY_CV = 4.0
MMPP_RATES, MMPP_STAY_MS = (0.5, 2.0), (1000.0, 500.0)
"""Rates as multiples of the mean, and how long each lasts."""
N_REQUESTS, SHORTEST_MS = 2000, 6000.0
FULL_BATCH = 32


@dataclass(frozen=True, slots=True)
class Cell:
    """One condition; the load is a multiple of what the largest model can carry in batches of 32."""

    slo: str
    traffic: str
    load: float
    spikes: bool

    def __str__(self) -> str:
        return f"{self.slo} {self.traffic} {self.load:g}{' spikes' if self.spikes else ''}"


def all_cells() -> list[Cell]:
    """Every combination, but for spikes under MMPP."""
    cells = [Cell(*parts) for parts in product(SLOS, TRAFFICS, LOADS, (False, True))]
    return [cell for cell in cells if not (cell.spikes and cell.traffic == "mmpp")]


def few_cells() -> list[Cell]:
    """Enough of them to see within a minute whether a change helps."""
    return [
        Cell(*parts, parts[0] == "50") for parts in product(("15", "50", "mixed"), ("poisson", "bursty"), FEW_LOADS)
    ]


def capacity_rps(service: ServiceTable) -> float:
    """Requests per second that the largest model can carry on one lane."""
    return 1000.0 * FULL_BATCH / service.mean_at(service.n_stages - 1, FULL_BATCH)


def service_times(service: ServiceTable, cell: Cell) -> ServiceTimes:
    """What batches take in a cell."""
    return ServiceTimes(service, JITTER, SPIKE_SHARE if cell.spikes else 0.0, SPIKE_FACTOR)


def workload(cell: Cell, service: ServiceTable, n_items: int, seed: int, trace_ms: np.ndarray) -> Workload:
    """The requests of a cell, at least 2000 on average; of the trace, as many in a row from a place that the seed draws."""
    rate = cell.load * capacity_rps(service)
    duration_ms = max(1000.0 * N_REQUESTS / rate, SHORTEST_MS)
    asked = {"n_items": n_items, "budget_ms": SLOS[cell.slo], "seed": seed}
    match cell.traffic:
        case "poisson":
            return workloads.poisson(rate, duration_ms, **asked)
        case "bursty":
            return workloads.gamma(rate, duration_ms, cv=BURSTY_CV, **asked)
        case "mmpp":
            return workloads.mmpp(rate * np.array(MMPP_RATES), MMPP_STAY_MS, duration_ms, **asked)
        case "azure":
            n = round(rate * duration_ms / 1000.0)
            first = int(np.random.default_rng([seed, len(trace_ms)]).integers(0, len(trace_ms) - n))
            return workloads.recorded(trace_ms[first : first + n], rate_rps=rate, **asked)
    raise ValueError(f"expected one of {TRAFFICS}, got {cell.traffic!r}")
