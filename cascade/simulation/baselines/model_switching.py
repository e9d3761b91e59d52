"""One model at a time, the most accurate that keeps up with the requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Arrived
from cascade.simulation.baselines.arrival_rate import ArrivalRate
from cascade.simulation.baselines.base import Baseline, Frame
from cascade.simulation.baselines.batching import Batch
from cascade.simulation.baselines.checks import checked_accuracy


class ModelSwitching(Baseline):
    """The most accurate model whose throughput covers the measured arrival rate and which the most urgent request can wait for.

    The throughput of a model is that of its largest batch whose worst case takes no more than half of the mean budget: a
    request may have to wait for one batch before its own begins.

    Parameters
    ----------
    service : ServiceTable
    accuracy : sequence of K floats
        Of each stage alone.
    window_ms : float
        Time over which arrivals are counted.
    headroom : float
        Share of the throughput that arrivals may take up.
    **frame
        As in `Frame`.

    Raises
    ------
    ConfigurationError
        If accuracies are missing or outside [0, 1], or the window or the headroom is not above 0.

    References
    ----------
    F. Romero, Q. Li, N. J. Yadwadkar, C. Kozyrakis, 2021. INFaaS: Automated Model-less Inference Serving. USENIX ATC.

    Examples
    --------
    >>> from cascade.scheduling.messages import Arrived
    >>> rule = ModelSwitching(ServiceTable.from_costs([1.0, 4.0]), [0.7, 0.9])
    >>> rule.handle(Arrived(0, deadline_ms=10.0), 0.0)
    >>> rule.poll(0.0)[0].stage
    1
    """

    def __init__(
        self,
        service: ServiceTable,
        accuracy: Sequence[float],
        *,
        window_ms: float = 500.0,
        headroom: float = 1.0,
        **frame: Unpack[Frame],
    ) -> None:
        super().__init__(service, **frame)
        if not headroom > 0.0:
            raise ConfigurationError(f"expected headroom above 0, such as 0.8, got {headroom}")
        given = checked_accuracy(accuracy, service.n_stages)
        self._by_accuracy = sorted(range(service.n_stages), key=lambda j: -given[j])
        self._shortest_ms = min(upper_ms[1] for upper_ms in self._times.upper_ms)
        self._rate, self._headroom = ArrivalRate(window_ms), headroom

    def _arrive(self, event: Arrived, now_ms: float) -> None:
        super()._arrive(event, now_ms)
        self._rate.arrived(now_ms)

    def _next_batch(self, now_ms: float) -> Batch | None:
        if not self._drop_late(now_ms, self._shortest_ms):
            return None
        left_ms = self._queue[0].deadline_ms - now_ms
        upper_ms = self._times.upper_ms
        in_time = [j for j in self._by_accuracy if upper_ms[j][1] <= left_ms]
        rate_rps = self._rate.at(now_ms) / len(self._lanes)
        able = (j for j in in_time if self._throughput_rps(j) * self._headroom >= rate_rps)
        stage = next(able, None)
        if stage is None:
            stage = max(in_time, key=self._throughput_rps)
        return self._batch(self._queue, stage, now_ms)

    def _throughput_rps(self, stage: int) -> float:
        n = self._sustained_batch(stage)
        return 1000.0 * n / self._times.mean_ms[stage][n]
