"""What a policy's decisions cost on the whole: expected remaining runs of every stage at every price.

Pure. Made once per policy; read at every poll.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from cascade.core.evidence import reachable_sets
from cascade.core.induction import Decisions, Statistics
from cascade.core.policy import Policy
from cascade.core.records import FloatArray
from cascade.core.table import DecisionTable, Lookup
from cascade.scheduling.service_times import Times


class Outlook:
    """A policy at every price of its grid, as the scheduler reads it.

    Parameters
    ----------
    policy : Policy
    max_batch : int

    Attributes
    ----------
    policy : Policy
    times : Times
    prices : ndarray, shape (L,)
        Of a chain, which has none, a single 0.
    price_list : list of float
        The same.
    runs : ndarray of float32, shape (L, 2**K, B, K)
        Expected number of further runs of each stage from every set and bin of confidence, without a deadline.
    fresh_runs : list of float
        Those of a fresh request at the lowest price.
    alone_ms : list of list of float
        ``[set][bin]``: time of the further runs at the lowest price, each by itself.
    took_alone_ms : list of float
        ``[set]``: mean time of the runs of these stages, each by itself.
    highest : int
        Index of the highest price that its requests may pay.
    sheds : bool
        Whether requests are given up that would leave the policy's guarantee.
    least_ms : float
        Time left below which a fresh request would; minus infinity where none is given up.
    """

    def __init__(self, policy: Policy, max_batch: int, on_overload: str = "degrade") -> None:
        self.policy, guarantee = policy, policy.guarantee
        self.sheds = guarantee is not None and on_overload == "shed"
        self.least_ms = guarantee.min_budget_ms if guarantee is not None and self.sheds else -np.inf
        self.times = Times(policy.service, policy.level, max_batch)
        if policy.statistics is None:
            self.prices: FloatArray = np.zeros(1)
            self.runs = _runs_of_chain(len(policy.stages))
            self._edges: list[list[float]] = [[]] * (1 << len(policy.stages))
            self._budget_edges = [-np.inf]
            self._unloaded: list[int] = [0]
            self._lookups: list[Lookup | None] = [None]
            self._sum_up()
            self.highest = 0
            return
        decisions = policy.decisions()
        self.prices = decisions.prices
        self.highest = self.highest_level(on_overload)
        self._lookups = [None] * len(self.prices)
        self.runs = expected_runs(policy.statistics, decisions)
        self._sum_up()
        self._edges = policy.statistics.edges.tolist()
        self._budget_edges = (decisions.time_edges_ms - 1e-9).tolist()
        self._budget_edges[0] = -np.inf
        unloaded = [policy.unloaded_price(float(edge)) * (1.0 - 1e-12) for edge in decisions.time_edges_ms]
        self._unloaded = np.searchsorted(self.prices, unloaded).tolist()

    def work(self, stage: int) -> float:
        """Time that a fresh request takes in full batches at the highest price, as a multiple of one run of a stage."""
        each_ms = self.times.means[:, -1]
        return float(self.runs[self.highest, 0, 0] @ each_ms / each_ms[stage]) if each_ms[stage] else 1.0

    def _sum_up(self) -> None:
        least, times = self.runs[0].astype(np.float64), self.times
        self.fresh_runs: list[float] = least[0, 0].tolist()
        # Started runs count whole, as they do in the need for time of many items.
        alone = np.ceil(least - 1e-6) @ times.fixed_ms + least @ times.each_ms
        self.alone_ms: list[list[float]] = alone.tolist()
        self.took_alone_ms = [_took_alone_ms(times, each) for each in range(1 << times.n_stages)]
        self.price_list: list[float] = self.prices.tolist()

    @property
    def n_levels(self) -> int:
        """Number of prices."""
        return len(self.prices)

    def unloaded_level(self, budget_ms: float) -> int:
        """Index of the price that rules without load, for a request with this budget."""
        return self._unloaded[bisect_right(self._budget_edges, budget_ms) - 1]

    def highest_level(self, on_overload: str) -> int:
        """Index of the highest price that may be asked: under ``"shed"`` the certified one."""
        guarantee = self.policy.guarantee
        if guarantee is None or on_overload == "degrade" or self.n_levels == 1:
            return self.n_levels - 1
        return max(int(np.searchsorted(self.prices, guarantee.price * (1.0 + 1e-12), side="right")) - 1, 0)

    def lookup(self, level: int) -> Lookup:
        """The decisions at one price."""
        found = self._lookups[level]
        if found is None:
            found = self._lookups[level] = Lookup(self._table(level))
        return found

    def _table(self, level: int) -> DecisionTable:
        """Solved between the bins where no load rules, as direct answers are; else by bins, which takes no time."""
        statistics = self.policy.statistics
        if statistics is None:
            return self.policy.table()
        if level in self._unloaded:
            return self.policy.table(None, float(self.prices[level]))
        decisions = self.policy.decisions()
        return DecisionTable(decisions.time_edges_ms, statistics.edges, decisions.actions[:, level])

    def bin_of(self, evidence_set: int, confidence: float) -> int:
        """The bin of a confidence, as `runs` counts them."""
        return bisect_right(self._edges[evidence_set], confidence) if evidence_set else 0


def _took_alone_ms(times: Times, evidence_set: int) -> float:
    return sum([each[1] for j, each in enumerate(times.mean_ms) if evidence_set >> j & 1])


def expected_runs(statistics: Statistics, decisions: Decisions) -> NDArray[np.float32]:
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


def _runs_of_chain(k: int) -> NDArray[np.float32]:
    """How often a chain exits is not known before it has met data: every stage that is left is expected to run."""
    runs = np.zeros((1, 1 << k, 1, k), np.float32)
    for done in range(k):
        runs[0, (1 << done) - 1, 0, done:] = 1.0
    return runs
