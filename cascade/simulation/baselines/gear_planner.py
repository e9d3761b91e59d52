"""The offline half of a gear plan: which chain serves which arrival rate best, found by simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from cascade.errors import ConfigurationError
from cascade.simulation.baselines.base import Frame
from cascade.simulation.baselines.chains import Chain
from cascade.simulation.baselines.gear_plan import Gear
from cascade.simulation.baselines.static_cascade import StaticCascade
from cascade.simulation.engine import run
from cascade.simulation.recorded import Recorded
from cascade.simulation.service_times import ServiceTimes
from cascade.simulation.workloads import poisson


def planned_gears(
    chains: Sequence[Chain],
    recorded: Recorded,
    service_times: ServiceTimes,
    rates_rps: Sequence[float],
    *,
    budget_ms: float | Mapping[float, float],
    n_requests: int = 1500,
    seed: int = 0,
    **frame: Unpack[Frame],
) -> list[Gear]:
    """For each rate the chain with the highest effective accuracy under Poisson arrivals.

    Parameters
    ----------
    chains : sequence of Chain
        At least one; the cheapest first, as from `pareto_chains`.
    recorded : Recorded
        Answers that the chains were tuned on.
    service_times : ServiceTimes
    rates_rps : sequence of float
        Upper ends of the ranges of rates, ascending.
    budget_ms : float, or mapping from float to float
        As in `Asked`.
    n_requests : int
        Length of each trial.
    seed : int
    **frame
        As in `Frame`: as the chains will be served.

    Returns
    -------
    list of Gear
        One for each rate.

    Raises
    ------
    ConfigurationError
        If there is no chain.

    Notes
    -----
    No chain is tried that is more than one step dearer than the one chosen for the rate below.

    References
    ----------
    F. Kossmann, Z. Wu, A. Turk, N. Tatbul, L. Cao, S. Madden, 2024. CascadeServe: Unlocking Model Cascades for Inference
    Serving. arXiv:2406.14424.
    """
    if not chains:
        raise ConfigurationError("expected at least one chain to choose from, got none")

    def effective_accuracy(chain: Chain, rate_rps: float) -> float:
        workload = poisson(
            rate_rps, 1000.0 * n_requests / rate_rps, n_items=recorded.n_items, budget_ms=budget_ms, seed=seed
        )
        rule = StaticCascade(service_times.table, chain, **frame)
        n_lanes = frame.get("n_lanes", 1)
        return run(rule, workload, recorded, service_times, n_lanes=n_lanes, seed=seed).effective_accuracy

    gears, candidates = [], list(chains)
    for rate_rps in rates_rps:
        # The same seed asks the same items of every chain, so that chains differ by what they do, not by luck.
        reached = [effective_accuracy(chain, rate_rps) for chain in candidates]
        best = reached.index(max(reached))
        gears.append(Gear(rate_rps, candidates[best]))
        candidates = candidates[: best + 2]
    return gears
