"""Chains of stages with fixed thresholds, tuned on recorded answers.

Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise, product

import numpy as np
from numpy.typing import NDArray

from cascade.core.records import FloatArray
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.simulation.recorded import Recorded

_RANKS = 12
_SLACK = 2e-7
"""Confidences are kept in single precision in places; one this close below a threshold counts as reaching it."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Answer at the first stage whose confidence reaches its threshold, else run the next; the last one always answers.

    Attributes
    ----------
    stages : tuple of int
        Ascending.
    thresholds : tuple of float
        One for each stage but the last.

    Raises
    ------
    ConfigurationError
        If there is no stage, they do not ascend, or the number of thresholds differs.

    Examples
    --------
    >>> chain = Chain((0, 3), (0.9,))
    >>> chain.next_stage(0, 0.0), chain.next_stage(0b1, 0.8), chain.next_stage(0b1, 0.95), chain.next_stage(0b1001, 0.5)
    (0, 3, None, None)
    """

    stages: tuple[int, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        ascends = self.stages[:1] >= (0,) and all(low < high for low, high in pairwise(self.stages))
        if not ascends or len(self.thresholds) != len(self.stages) - 1:
            raise ConfigurationError(
                f"expected ascending stages with a threshold for each but the last, got {self.stages} and {self.thresholds}"
            )

    def next_stage(self, evidence_set: int, confidence: float) -> int | None:
        """The stage to run next, None to answer.

        A request that came from another chain is judged by the threshold of the last stage of this one that is no larger
        than what has run for it.
        """
        at = bisect_right(self.stages, evidence_set.bit_length() - 1) - 1
        if at == len(self.stages) - 1 or (at >= 0 and confidence >= self.thresholds[at] - _SLACK):
            return None
        return self.stages[at + 1]

    def check_stages(self, n_stages: int) -> None:
        """Raise `ConfigurationError` if it runs a stage that there is not."""
        if self.stages[-1] >= n_stages:
            raise ConfigurationError(f"expected a chain over {n_stages} stages, counted from 0, got {self.stages}")


@dataclass(frozen=True, slots=True)
class TunedChain:
    """A chain, and what it gave and took on the answers it was tuned on.

    Attributes
    ----------
    chain : Chain
    accuracy : float
    mean_ms : float
        Time per request where every stage runs in the largest profiled batch.
    """

    chain: Chain
    accuracy: float
    mean_ms: float


def pareto_chains(recorded: Recorded, service: ServiceTable, n_most: int = 12) -> list[TunedChain]:
    """The chains that no other beats in accuracy and time, thinned to about evenly spaced times; the cheapest first.

    Parameters
    ----------
    recorded : Recorded
        Of stages that may run in any order; what it says of a set is what a chain answers from it.
    service : ServiceTable
    n_most : int
        How many to keep, at least 2.

    Raises
    ------
    ConfigurationError
        If fewer than two are to be kept.

    Notes
    -----
    All ascending chains over all subsets of the stages are tried, with thresholds at 12 quantiles of each stage's confidence.
    """
    if n_most < 2:
        raise ConfigurationError(f"expected n_most of at least 2, got {n_most}")
    each_ms = service.mean_ms[:, -1] / service.batch_sizes[-1]
    tried = [tuned for stages in _subsets(recorded.n_stages) for tuned in _settings(recorded, stages, each_ms)]
    tried.sort(key=lambda tuned: (tuned.mean_ms, -tuned.accuracy))
    front: list[TunedChain] = []
    for tuned in tried:
        if not front or tuned.accuracy > front[-1].accuracy:
            front.append(tuned)
    times = np.array([tuned.mean_ms for tuned in front])
    wanted = np.linspace(times[0], times[-1], n_most)
    return [front[i] for i in sorted({int(np.abs(times - ms).argmin()) for ms in wanted})]


def _subsets(k: int) -> Iterator[tuple[int, ...]]:
    return (stages for n in range(1, k + 1) for stages in combinations(range(k), n))


def _settings(recorded: Recorded, stages: tuple[int, ...], each_ms: FloatArray) -> Iterator[TunedChain]:
    """Every setting of the thresholds of one chain."""
    sets = np.cumsum([1 << j for j in stages])
    confidence, correct = recorded.confidence[:, sets], recorded.correct[:, sets]
    levels = [_levels(confidence[:, i]) for i in range(len(stages) - 1)]
    passing = [[confidence[:, i] < level - _SLACK for level in levels[i]] for i in range(len(levels))]
    for places in product(*(range(len(level)) for level in levels)):
        onward = [passing[i][place] for i, place in enumerate(places)]
        accuracy, mean_ms = _walked(correct, onward, each_ms[list(stages)])
        yield TunedChain(Chain(stages, tuple(levels[i][place] for i, place in enumerate(places))), accuracy, mean_ms)


def _walked(correct: NDArray[np.bool_], onward: list[NDArray[np.bool_]], each_ms: FloatArray) -> tuple[float, float]:
    """Accuracy and mean time of a chain whose stage i passes on the requests ``onward[i]`` of those that reach it."""
    reached = np.ones(len(correct), np.bool_)
    n_right, total_ms = 0, 0.0
    for i, ms in enumerate(each_ms):
        total_ms += float(ms) * np.count_nonzero(reached)
        leaving = reached if i == len(onward) else reached & ~onward[i]
        n_right += int(np.count_nonzero(correct[leaving, i]))
        reached = reached & ~leaving
    return n_right / len(correct), total_ms / len(correct)


def _levels(confidence: FloatArray) -> list[float]:
    ranks = np.linspace(0.0, 1.0, _RANKS + 2)[1:-1]
    return sorted({float(level) for level in np.quantile(confidence, ranks)})
