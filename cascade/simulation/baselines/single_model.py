"""One model for every request: always the largest, or always the smallest."""

from __future__ import annotations

from typing import Unpack

from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.simulation.baselines.base import Baseline, Frame
from cascade.simulation.baselines.batching import Batch


class SingleModel(Baseline):
    """The same stage for every request, in the largest batch whose worst case meets the deadline of the most urgent one.

    Requests that would be late even alone are dropped before they cost anything.

    Parameters
    ----------
    service : ServiceTable
    stage : int
        0 for the smallest, ``service.n_stages - 1`` for the largest of a ladder.
    **frame
        As in `Frame`.

    Raises
    ------
    ConfigurationError
        If there is no such stage.

    References
    ----------
    A. Gujarati, R. Karimi, S. Alzayat, W. Hao, A. Kaufmann, Y. Vigfusson, J. Mace, 2020. Serving DNNs like Clockwork:
    Performance Predictability from the Bottom Up. OSDI.

    Examples
    --------
    >>> from cascade.scheduling.messages import Arrived
    >>> rule = SingleModel(ServiceTable.from_costs([1.0, 4.0]), 1)
    >>> rule.handle(Arrived(0, deadline_ms=10.0), 0.0)
    >>> rule.poll(0.0)[0].stage
    1
    """

    def __init__(self, service: ServiceTable, stage: int, **frame: Unpack[Frame]) -> None:
        super().__init__(service, **frame)
        if not 0 <= stage < service.n_stages:
            raise ConfigurationError(f"expected one of {service.n_stages} stages, counted from 0, got {stage}")
        self._stage = stage

    def _next_batch(self, now_ms: float) -> Batch | None:
        if not self._drop_late(now_ms, self._times.upper_ms[self._stage][1]):
            return None
        return self._batch(self._queue, self._stage, now_ms)
