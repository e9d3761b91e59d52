"""``cascade simulate``: what users of a saved policy will see under a load, in virtual time."""

from __future__ import annotations

import json
from argparse import Namespace

from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.simulation.simulate import simulate
from cascade.simulation.workloads import Workload, diurnal, from_file, gamma, poisson

_DURATION_MS = 60_000.0


def run(options: Namespace) -> None:
    """Draw the arrivals, serve them, report.

    Raises
    ------
    CorruptPolicy
        If the policy cannot be read.
    DataError
        If outcomes or arrivals cannot be read or drawn.
    ConfigurationError
        If an argument is missing or cannot work.
    """
    outcomes = Outcomes.load(options.outcomes)
    report = simulate(
        Policy.load(options.policy),
        outcomes,
        _workload(options, outcomes.n_items),
        service=None if options.service is None else ServiceTable.load(options.service),
        n_lanes=options.lanes,
        max_batch=options.max_batch,
        headroom=options.headroom,
        jitter=options.jitter,
        seed=options.seed,
    )
    print(json.dumps(report.to_dict(), indent=1) if options.json else report)


def _workload(options: Namespace, n_items: int) -> Workload:
    budget_ms, seed, rate_rps, duration_ms = options.slo, options.seed, options.rate, options.duration_ms
    if (options.pattern == "file") != (options.arrivals is not None):
        raise ConfigurationError("expected --arrivals FILE together with --pattern file, got one without the other")
    if options.arrivals is not None:
        return from_file(
            options.arrivals,
            rate_rps=rate_rps,
            duration_ms=duration_ms,
            n_items=n_items,
            budget_ms=budget_ms,
            seed=seed,
        )
    if rate_rps is None:
        raise ConfigurationError(f"expected --rate RPS, which --pattern {options.pattern} needs, got none")
    make = {"poisson": poisson, "bursty": gamma, "diurnal": diurnal}[options.pattern]
    length_ms = _DURATION_MS if duration_ms is None else duration_ms
    return make(rate_rps, length_ms, n_items=n_items, budget_ms=budget_ms, seed=seed)
