"""A policy made ready for the request path: look-ups per budget as plain values, evidence reader, stage times.

Solves every decision a request can ask for when it is made, so that no request waits for one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from cascade.core.policy import REGIMES, Policy
from cascade.core.records import FloatArray
from cascade.core.replay import fastest_stage
from cascade.core.table import Lookup
from cascade.runtime.reader import evidence_reader
from cascade.stages.base import RunnableStage

INFINITE = float("inf")


class ReadyPolicy:
    """Everything the request path reads of a policy; never changed once made.

    Parameters
    ----------
    policy : Policy
        With its evidence: a chain must know its classes.
    stages : sequence of stages
        In the policy's order.
    """

    def __init__(self, policy: Policy, stages: Sequence[RunnableStage]) -> None:
        assert policy.evidence is not None
        times = policy.times()
        self.policy = policy
        self.stages = tuple(stages)
        self.names = tuple(stage.name for stage in stages)
        # What each stage adds to a path.
        self.steps = [(name,) for name in self.names]
        self.classes = policy.classes
        self.requires = policy.requires
        self.reader = evidence_reader(policy.evidence, stages, policy.classes)
        # Bound once: looking a method up twice costs every request a tenth of a microsecond.
        self.new_state, self.absorb_one, self.pooled = (
            self.reader.new_state,
            self.reader.absorb_one,
            self.reader.pooled,
        )
        self.pooled_part = self.reader.pooled_part
        self.prior: FloatArray = policy.evidence.prior()
        self.mean_ms: list[float] = times.mean_ms.tolist()
        self.upper_ms: list[float] = times.upper_ms.tolist()
        self.fastest = fastest_stage(times, policy.requires)
        self.by_preference = _by_preference(policy, stages)
        self._budget_edges, self._lookups = _lookups(policy)
        for batch_size in REGIMES[1:]:
            policy.table(None, None, batch_size)
        self._row_ms = _row_ms(policy)

    def lookup(self, budget_ms: float) -> Lookup:
        """The decisions for a single request with this budget, at the unloaded price."""
        return self._lookups[bisect_right(self._budget_edges, budget_ms) - 1]

    def expected_ms(self, n: int) -> float:
        """What n items in one call are expected to take."""
        return n * self._row_ms


def _row_ms(policy: Policy) -> float:
    """Mean time of one item among many without a deadline; of a chain, where nobody knows, all stages."""
    size = REGIMES[-1]
    if policy.statistics is None:
        return float(policy.times(size).mean_ms.sum())
    return float(policy.expected(None, None, size).mean_ms)


def regime(batch_size: int) -> int:
    """The largest batch regime not above a batch size."""
    return max(size for size in REGIMES if size <= max(batch_size, 1))


def _lookups(policy: Policy) -> tuple[list[float], list[Lookup]]:
    """Lower ends of the budget classes and the look-up of each."""
    if policy.statistics is None:
        return [-INFINITE], [Lookup(policy.table())]
    edges = policy.decisions().time_edges_ms
    by_price: dict[float, Lookup] = {}
    lookups = []
    for edge in edges:
        price = policy.unloaded_price(float(edge))
        if price not in by_price:
            by_price[price] = Lookup(policy.table(float(edge), price))
        lookups.append(by_price[price])
    starts = (edges - 1e-9).tolist()
    starts[0] = -INFINITE
    return starts, lookups


def _by_preference(policy: Policy, stages: Sequence[RunnableStage]) -> list[int]:
    """Stages that may run first, the most accurate first: where to turn when a planned stage fails."""
    if policy.statistics is None:
        # The order of a chain is a wish: where one stage fails, any other that needs no predecessor may answer.
        return [j for j, stage in enumerate(stages) if stage.requires is None][::-1]
    first = [j for j, before in enumerate(policy.requires) if before < 0]
    gains = policy.statistics.transitions[0]
    accuracy = {j: float(gains[j, 0] @ policy.statistics.accuracy[1 << j]) for j in first}
    return sorted(first, key=lambda j: -accuracy[j])
