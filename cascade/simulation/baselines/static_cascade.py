"""A cascade with fixed thresholds, whatever the load."""

from __future__ import annotations

from typing import Unpack

from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
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

    References
    ----------
    P. Viola, M. Jones, 2001. Rapid Object Detection using a Boosted Cascade of Simple Features. CVPR.
    A. Gujarati, R. Karimi, S. Alzayat, W. Hao, A. Kaufmann, Y. Vigfusson, J. Mace, 2020. Serving DNNs like Clockwork:
    Performance Predictability from the Bottom Up. OSDI.
    """

    def __init__(self, service: ServiceTable, chain: Chain, **frame: Unpack[Frame]) -> None:
        super().__init__(service, **frame)
        if chain.stages[-1] >= service.n_stages:
            raise ConfigurationError(f"expected a chain over {service.n_stages} stages, got stage {chain.stages[-1]}")
        self._fixed = chain

    def _chain(self) -> Chain:
        return self._fixed
