"""What users will see, beforehand: a policy under a workload, through the scheduler of live serving, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence

from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.scheduling.scheduler import Scheduler
from cascade.simulation.clients import ClosedLoop
from cascade.simulation.engine import run
from cascade.simulation.recorded import Recorded
from cascade.simulation.report import Report
from cascade.simulation.service_times import ServiceTimes, SlowDown
from cascade.simulation.workloads import Workload


def simulate(
    policy: Policy,
    outcomes: Outcomes,
    workload: Workload | ClosedLoop,
    *,
    service: ServiceTable | None = None,
    n_lanes: int = 1,
    max_batch: int = 32,
    headroom: float = 0.8,
    max_waiting: int = 1024,
    on_overload: str = "degrade",
    jitter: float = 0.05,
    spike_share: float = 0.0,
    spike_factor: float = 2.0,
    slowdowns: Sequence[SlowDown] = (),
    seed: int = 0,
    progress: bool = True,
) -> Report:
    """What becomes of every request of a workload: in time or not, right or not.

    Parameters
    ----------
    policy : Policy
    outcomes : Outcomes
        What the policy's stages said about labelled items; rows that the policy was fitted on would flatter it.
    workload : Workload or ClosedLoop
        Drawn with ``n_items=outcomes.n_items``.
    service : ServiceTable, optional
        Service times of the machine to predict for; by default those that the policy is solved for.
    n_lanes : int
        Lanes that run stages beside each other.
    max_batch, headroom, max_waiting, on_overload
        As in `Scheduler`.
    jitter, spike_share, spike_factor, slowdowns
        How real times differ from the profiled means; as in `ServiceTimes`.
    seed : int
        Of the service times.
    progress : bool
        Show a progress bar on standard error when the work is long.

    Returns
    -------
    Report

    Raises
    ------
    ConfigurationError
        If a number is outside its range, or the workload asks for items that there are not.
    PolicyMismatch
        If outcomes or service times are of other stages or classes.

    Warns
    -----
    GuaranteeLostWarning
        If the policy was certified and ``service`` is another table.

    Notes
    -----
    Lanes do not slow each other down: profile as many stages at once as there will be lanes, if they share what they run on.
    What happens outside the stages (copying, waking threads, pre- and postprocessing) takes no time.

    Examples
    --------
    >>> from cascade.simulation.workloads import poisson
    >>> service = ServiceTable.from_costs([1.0, 4.0])
    >>> outcomes = Outcomes.from_predictions([[0, 1], [1, 1]], [[0.6, 0.9], [0.8, 0.9]], [1, 1])
    >>> policy = Policy.from_thresholds([0.7], service)
    >>> workload = poisson(50.0, 2000.0, n_items=2, budget_ms=20.0)
    >>> report = simulate(policy, outcomes, workload, progress=False)
    >>> report.slo_attainment
    1.0
    """
    if service is not None:
        policy = policy.retime(service)
    scheduler = Scheduler(
        policy,
        n_lanes=n_lanes,
        max_batch=max_batch,
        max_waiting=max_waiting,
        headroom=headroom,
        on_overload=on_overload,
    )
    return run(
        scheduler,
        workload,
        Recorded.from_policy(policy, outcomes),
        ServiceTimes(policy.service, jitter, spike_share, spike_factor, tuple(slowdowns)),
        n_lanes=n_lanes,
        seed=seed,
        progress=progress,
    )
