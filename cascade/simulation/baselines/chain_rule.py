"""What serving with chains of thresholds takes, fixed or switched: the next stage of each request, regrouped between stages."""

from __future__ import annotations

from abc import abstractmethod

from cascade.simulation.baselines.base import Baseline
from cascade.simulation.baselines.batching import Batch, Queued
from cascade.simulation.baselines.chains import Chain


class ChainRule(Baseline):
    """The frame of a rule that serves chains: the most urgent request goes first, in company of those that want its stage.

    A request whose next stage does not fit any more is answered from what it has.
    """

    @abstractmethod
    def _chain(self) -> Chain:
        """The chain of now."""

    def _next_batch(self, now_ms: float) -> Batch | None:
        chain, queue = self._chain(), self._queue
        upper_ms = self._times.upper_ms
        while queue:
            head = queue[0]
            stage = chain.next_stage(head.evidence_set, head.confidence)
            if stage is None:
                self._answer(head, is_degraded=False)
            elif now_ms + upper_ms[stage][1] > head.deadline_ms:
                self._give_up(head, "expired", "not even alone it would be in time")
            else:
                same = [item for item in queue if chain.next_stage(item.evidence_set, item.confidence) == stage]
                return self._batch(same, stage, now_ms)
            del queue[0]
        return None

    def _is_done(self, item: Queued) -> bool:
        return self._chain().next_stage(item.evidence_set, item.confidence) is None
