"""Run a decision table over recorded outcomes: the oracle for everything that happens online.

Pure. Time passes as the service table's means say; a stage never runs twice for an item.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.core.evidence import EvidenceModel, features_of, reachable_sets, spread_log_probs
from cascade.core.induction import STOP
from cascade.core.outcomes import FeatureArray, Outcomes
from cascade.core.records import FloatArray, IntArray
from cascade.core.table import DecisionTable
from cascade.core.times import StageTimes
from cascade.core.traces import names_of


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What a policy would have answered, and at what price.

    Attributes
    ----------
    labels : ndarray, shape (n,)
        The answers, as the caller's labels.
    confidence : ndarray, shape (n,)
    correct : ndarray of bool, shape (n,)
    accuracy : float
        Share of right answers.
    cost, time_ms : ndarray, shape (n,)
        Summed cost and mean service time of the stages that ran for each item.
    path_counts : mapping from tuple of str to int
        Number of items per path of stage names.
    path_index : ndarray of int64, shape (n,)
        Place of each item's path among the keys of ``path_counts``, in their order.
    certified_share : float
        Share of the items whose answer is within the policy's guarantee; 0 without one.
    """

    labels: NDArray[np.generic]
    confidence: FloatArray
    correct: NDArray[np.bool_]
    cost: FloatArray
    time_ms: FloatArray
    path_counts: Mapping[tuple[str, ...], int]
    path_index: IntArray
    certified_share: float = 0.0

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.correct.mean())

    @property
    def mean_cost(self) -> float:
        """Mean cost per item, in the service table's unit of cost."""
        return float(self.cost.mean())

    @property
    def mean_ms(self) -> float:
        """Mean service time per item in milliseconds."""
        return float(self.time_ms.mean())

    @property
    def p99_ms(self) -> float:
        """0.99 quantile over items of the service time in milliseconds."""
        return float(np.quantile(self.time_ms, 0.99))

    def __repr__(self) -> str:
        spent = f"mean {self.mean_ms:.4g} ms, p99 {self.p99_ms:.4g} ms"
        return f"Replay({len(self.correct)} items, accuracy {self.accuracy:.4f}, {spent})"


def fastest_stage(times: StageTimes, requires: tuple[int, ...]) -> int:
    """The stage that answers first among those that may run first."""
    return min((j for j, before in enumerate(requires) if before < 0), key=lambda j: float(times.upper_ms[j]))


def replay(
    outcomes: Outcomes,
    evidence: EvidenceModel,
    table: DecisionTable,
    times: StageTimes,
    budget_ms: float | None,
    *,
    certified_share: float = 0.0,
) -> Replay:
    """Every item through the table, each with the same budget.

    Where not even one stage fits, the fastest one answers late.

    Parameters
    ----------
    outcomes : Outcomes
        Class numbers as the evidence model counts them; labels it does not know come last.
    evidence : EvidenceModel
    table : DecisionTable
    times : StageTimes
    budget_ms : float or None
        Time allowed for each item; None: unlimited.
    """
    n, k = outcomes.n_items, outcomes.n_stages
    features = known_features(outcomes, evidence)
    chosen, confidence = np.zeros(n, np.int64), np.zeros(n)
    cost, spent_ms, trace = np.zeros(n), np.zeros(n), np.zeros(n, np.int64)
    allowed = np.inf if budget_ms is None else float(budget_ms)
    waiting: dict[int, IntArray] = {0: np.arange(n)}
    for s in reachable_sets(outcomes.requires):
        rows = waiting.pop(s, None)
        if rows is None:
            continue
        probs, trust = evidence.pool(features[rows], s)
        actions = table.actions_of(s, trust, allowed - spent_ms[rows])
        if s == 0:
            actions = np.where(actions == STOP, fastest_stage(times, outcomes.requires), actions)
        done = actions == STOP
        chosen[rows[done]], confidence[rows[done]] = probs[done].argmax(axis=1), trust[done]
        for j in np.unique(actions[~done]):
            onward = rows[actions == j]
            cost[onward] += times.costs[j]
            spent_ms[onward] += times.mean_ms[j]
            trace[onward] = trace[onward] * (k + 1) + j + 1
            after = s | 1 << int(j)
            waiting[after] = np.concatenate([waiting[after], onward]) if after in waiting else onward
    labels = label_array(outcomes.classes)[chosen]
    counts, places = paths_of(trace, outcomes.stages)
    return Replay(labels, confidence, chosen == outcomes.labels, cost, spent_ms, counts, places, certified_share)


def known_features(outcomes: Outcomes, evidence: EvidenceModel) -> FeatureArray:
    """What pooling reads of each stage; a label that the evidence model does not know says nothing.

    It reads the same whether or not other rows carry labels that are not known.
    """
    if evidence.form == "stacked" or outcomes.log_probs is not None:
        return features_of(outcomes, evidence.form)
    c = evidence.n_classes
    spread = spread_log_probs(np.minimum(outcomes.predicted, c - 1), outcomes.confidence, c)
    spread[outcomes.predicted >= c] = 0.0
    return spread


def label_array(classes: tuple[Hashable, ...]) -> NDArray[np.generic]:
    """The caller's labels as an array of shape (c,), of objects where their types are mixed."""
    if len({type(label) for label in classes}) == 1 and isinstance(classes[0], (str, int, float, bool)):
        return np.array(classes)
    labels = np.empty(len(classes), object)
    labels[:] = classes
    return labels


def path_counts_of(trace: IntArray, stages: tuple[str, ...]) -> dict[tuple[str, ...], int]:
    """Number of items per path, by their traces."""
    return paths_of(trace, stages)[0]


def paths_of(trace: IntArray, stages: tuple[str, ...]) -> tuple[dict[tuple[str, ...], int], IntArray]:
    """Number of items per path, the most frequent first, and for every item the place of its path among them."""
    codes, inverse, counts = np.unique(trace, return_inverse=True, return_counts=True)
    order = np.lexsort((codes, -counts))
    by_count = {names_of(int(codes[i]), stages): int(counts[i]) for i in order}
    return by_count, np.argsort(order)[inverse]
