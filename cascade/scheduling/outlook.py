"""What a policy's decisions cost on the whole: expected remaining runs of every stage, and service times by batch size.

Pure. Made once per policy; read at every poll.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade.core.evidence import reachable_sets
from cascade.core.induction import Decisions, Statistics
from cascade.core.policy import REGIMES, Policy
from cascade.core.records import FloatArray
from cascade.core.service import ServiceTable
from cascade.core.table import Lookup


class Times:
    """Service times of every stage at every batch size up to a limit, as plain lists indexed by batch size.

    Attributes
    ----------
    mean_ms, upper_ms : list of list of float
        ``[stage][n]``; entry 0 is 0.
    fixed_ms, each_ms : ndarray, shape (K,)
        Straight lines through the means: what a run takes whatever its size, and what each item adds.
    """

    def __init__(self, service: ServiceTable, level: float, max_batch: int) -> None:
        sizes = range(1, max_batch + 1)
        stages = range(service.n_stages)
        self.mean_ms = [[0.0, *(service.mean_at(j, n) for n in sizes)] for j in stages]
        self.upper_ms = [[0.0, *(service.quantile_at(j, n, level) for n in sizes)] for j in stages]
        one = np.array([times[1] for times in self.mean_ms])
        most = np.array([times[max_batch] for times in self.mean_ms])
        self.each_ms: FloatArray = (most - one) / max(max_batch - 1, 1) if max_batch > 1 else one
        self.fixed_ms: FloatArray = np.maximum(one - self.each_ms, 0.0)


class Outlook:
    """A policy at every price of its grid, as the scheduler reads it.

    Parameters
    ----------
    policy : Policy
        Fitted: a chain has no prices.
    max_batch : int

    Attributes
    ----------
    prices : ndarray, shape (L,)
    runs : ndarray of float32, shape (L, 2**K, B, K)
        Expected number of further runs of each stage from every set and bin of confidence, without a deadline.
    """

    def __init__(self, policy: Policy, max_batch: int) -> None:
        assert policy.statistics is not None
        decisions = policy.decisions()
        self.policy = policy
        self.prices: FloatArray = decisions.prices
        self.times = Times(policy.service, policy.level, max_batch)
        self.runs = expected_runs(policy.statistics, decisions)
        self._edges: list[list[float]] = policy.statistics.edges.tolist()
        self._lookups: dict[tuple[int, int], Lookup] = {}

    @property
    def n_levels(self) -> int:
        """Number of prices."""
        return len(self.prices)

    def unloaded_level(self, budget_ms: float) -> int:
        """Index of the price that rules without load, for a request with this budget."""
        return int(np.searchsorted(self.prices, self.policy.unloaded_price(max(budget_ms, 0.0)) * (1.0 - 1e-12)))

    def lookup(self, level: int, n: int) -> Lookup:
        """The decisions at one price for batches of about n."""
        size = max(regime for regime in REGIMES if regime <= max(n, 1))
        found = self._lookups.get((level, size))
        if found is None:
            table = self.policy.table(None, float(self.prices[level]), size)
            found = self._lookups[level, size] = Lookup(table)
        return found

    def bin_of(self, evidence_set: int, confidence: float) -> int:
        """The bin of a confidence, as `runs` counts them."""
        return 0 if not evidence_set else int(np.searchsorted(self._edges[evidence_set], confidence, side="right"))


def expected_runs(statistics: Statistics, decisions: Decisions) -> Any:
    """Expected further runs of each stage under the decisions without a deadline, shape (L, 2**K, B, K)."""
    n_sets, n_bins = statistics.accuracy.shape
    k, n_prices = statistics.n_stages, len(decisions.prices)
    runs = np.zeros((n_prices, n_sets, n_bins, k), np.float32)
    for s in reversed(reachable_sets(statistics.requires)):
        actions = decisions.actions[s, :, -1]
        for j in statistics.next_stages(s):
            step = statistics.transitions[s, j] if s else np.repeat(statistics.transitions[s, j, :1], n_bins, axis=0)
            onward = step @ runs[:, s | 1 << j]
            onward[:, :, j] += 1.0
            runs[:, s] = np.where((actions == j)[:, :, None], onward, runs[:, s])
    return runs
