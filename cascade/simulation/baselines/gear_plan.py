"""A chain of thresholds for each range of arrival rates, chosen beforehand and switched while serving."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Unpack

from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Arrived
from cascade.simulation.baselines.arrival_rate import ArrivalRate
from cascade.simulation.baselines.base import Frame
from cascade.simulation.baselines.chain_rule import ChainRule
from cascade.simulation.baselines.chains import Chain


@dataclass(frozen=True, slots=True)
class Gear:
    """The chain that serves arrival rates up to ``up_to_rps``, in requests per second."""

    up_to_rps: float
    chain: Chain


class GearPlan(ChainRule):
    """The chain of the gear for the arrival rate measured now.

    Requests in progress follow the gear of now as well, so that what waits is worked off under the load that there is.

    Parameters
    ----------
    service : ServiceTable
    gears : sequence of Gear
        Ascending by rate; the last one serves all higher rates too.
    window_ms : float
        Time over which arrivals are counted.
    **frame
        As in `Frame`.

    Raises
    ------
    ConfigurationError
        If there is no gear, their rates do not ascend, a chain runs a stage that there is not, or the window is not above 0.

    References
    ----------
    F. Kossmann, Z. Wu, A. Turk, N. Tatbul, L. Cao, S. Madden, 2024. CascadeServe: Unlocking Model Cascades for Inference
    Serving. arXiv:2406.14424.

    Examples
    --------
    >>> gears = [Gear(100.0, Chain((0, 1), (0.9,))), Gear(400.0, Chain((0,), ()))]
    >>> rule = GearPlan(ServiceTable.from_costs([1.0, 4.0]), gears)
    """

    def __init__(
        self, service: ServiceTable, gears: Sequence[Gear], *, window_ms: float = 500.0, **frame: Unpack[Frame]
    ) -> None:
        super().__init__(service, **frame)
        limits = [gear.up_to_rps for gear in gears]
        if not limits or not all(low < high for low, high in pairwise(limits)):
            raise ConfigurationError(f"expected gears whose rates ascend, got {limits}")
        for gear in gears:
            gear.chain.check_stages(service.n_stages)
        self._gears, self._limits = list(gears), limits
        self._rate = ArrivalRate(window_ms)
        self._now = gears[0].chain

    def _arrive(self, event: Arrived, now_ms: float) -> None:
        super()._arrive(event, now_ms)
        self._rate.arrived(now_ms)
        at = bisect_left(self._limits, self._rate.at(now_ms))
        self._now = self._gears[min(at, len(self._gears) - 1)].chain

    def _chain(self) -> Chain:
        return self._now
