"""A cascade with fixed thresholds, whatever the load."""

from __future__ import annotations

from typing import Unpack

from cascade.core.service import ServiceTable
from cascade.simulation.baselines.base import Frame
from cascade.simulation.baselines.chain_rule import ChainRule
from cascade.simulation.baselines.chains import Chain


class StaticCascade(ChainRule):
    """One chain of thresholds for every request, in Clockwork's batches.

    Whether its answers pool the evidence of several stages is the matter of the `Recorded` that it is run on.

    Parameters
    ----------
    service : ServiceTable
    chain : Chain
    **frame
        As in `Frame`.

    Raises
    ------
    ConfigurationError
        If the chain runs a stage that there is not.

    References
    ----------
    P. Viola, M. Jones, 2001. Rapid Object Detection using a Boosted Cascade of Simple Features. CVPR.
    A. Gujarati, R. Karimi, S. Alzayat, W. Hao, A. Kaufmann, Y. Vigfusson, J. Mace, 2020. Serving DNNs like Clockwork:
    Performance Predictability from the Bottom Up. OSDI.

    Examples
    --------
    >>> from cascade.scheduling.messages import Arrived, Finished
    >>> rule = StaticCascade(ServiceTable.from_costs([1.0, 4.0]), Chain((0, 1), (0.9,)))
    >>> rule.handle(Arrived(0, deadline_ms=10.0), 0.0)
    >>> rule.poll(0.0)[0].stage
    0
    >>> rule.handle(Finished(0, (0.6,), 1.0), 1.0)
    >>> rule.poll(1.0)[0].stage
    1
    """

    def __init__(self, service: ServiceTable, chain: Chain, **frame: Unpack[Frame]) -> None:
        super().__init__(service, **frame)
        chain.check_stages(service.n_stages)
        self._fixed = chain

    def _chain(self) -> Chain:
        return self._fixed
