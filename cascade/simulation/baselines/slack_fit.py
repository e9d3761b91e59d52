"""A model and a batch for every dispatch, by the time that the most urgent request has left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from cascade.core.service import ServiceTable
from cascade.simulation.baselines.base import Baseline, Frame
from cascade.simulation.baselines.batching import Batch, largest_batch
from cascade.simulation.baselines.checks import checked_accuracy


class SlackFit(Baseline):
    """Of the pairs of a model and a batch that fit the slack of the most urgent request, that with the most right answers.

    No load is measured: under bursts the slack of those that waited shrinks, and small models in large batches are what
    still fits it. A batch counts as no larger than there are requests waiting, so that a short queue gets a large model.

    Parameters
    ----------
    service : ServiceTable
    accuracy : sequence of K floats
        Of each stage alone.
    **frame
        As in `Frame`.

    Raises
    ------
    ConfigurationError
        If accuracies are missing or outside [0, 1].

    References
    ----------
    A. Khare, D. Garg, S. Kalra, S. Grandhi, I. Stoica, A. Tumanov, 2023. SuperServe: Fine-Grained Inference Serving for
    Unpredictable Workloads. arXiv:2312.16733.

    Examples
    --------
    >>> from cascade.scheduling.messages import Arrived
    >>> rule = SlackFit(ServiceTable.from_costs([1.0, 4.0]), [0.7, 0.9])
    >>> rule.handle(Arrived(0, deadline_ms=3.0), 0.0)
    >>> rule.poll(0.0)[0].stage
    0
    """

    def __init__(self, service: ServiceTable, accuracy: Sequence[float], **frame: Unpack[Frame]) -> None:
        super().__init__(service, **frame)
        self._accuracy = checked_accuracy(accuracy, service.n_stages)
        self._shortest_ms = min(upper_ms[1] for upper_ms in self._times.upper_ms)

    def _next_batch(self, now_ms: float) -> Batch | None:
        if not self._drop_late(now_ms, self._shortest_ms):
            return None
        best, chosen = (0.0, 0.0), -1
        for stage, upper_ms in enumerate(self._times.upper_ms):
            if now_ms + upper_ms[1] > self._queue[0].deadline_ms:
                continue
            n = largest_batch(self._queue, upper_ms, now_ms)
            worth = (self._accuracy[stage] * n, -upper_ms[n])
            if chosen < 0 or worth > best:
                best, chosen = worth, stage
        return self._batch(self._queue, chosen, now_ms)
