"""Every combination of plain thresholds at once: what a chain set by hand would reach, and at what price.

Pure. Nothing is fitted: a stage answers if its own, uncalibrated confidence reaches its threshold, as in
`Policy.from_thresholds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from cascade.core.alignment import check_service
from cascade.core.fit_kernels import failing_counts
from cascade.core.outcomes import Outcomes
from cascade.core.records import FloatArray, IntArray
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError

_MOST_SETTINGS = 20_000_000


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdGrid:
    """What every setting of the thresholds of a chain gives and takes on recorded outcomes.

    Attributes
    ----------
    order : tuple of str
        The stages in the order in which they are asked, J + 1 of them.
    thresholds : ndarray, shape (J, T)
        Those tried for each stage but the last, ascending.
    accuracy, mean_cost, mean_ms : ndarray, shape (T ** J,)
        Share of right answers, cost and time per item, of every setting; the threshold of the last stage that has one
        changes fastest.
    """

    order: tuple[str, ...]
    thresholds: FloatArray
    accuracy: FloatArray
    mean_cost: FloatArray
    mean_ms: FloatArray

    @property
    def settings(self) -> FloatArray:
        """The thresholds of every setting, shape (T ** J, J)."""
        n_stages, n_levels = self.thresholds.shape
        digits = np.indices((n_levels,) * n_stages).reshape(n_stages, n_levels**n_stages)
        return np.take_along_axis(self.thresholds, digits, axis=1).T

    def setting(self, index: int) -> tuple[float, ...]:
        """The thresholds of one setting, as `Policy.from_thresholds` takes them."""
        n_stages, n_levels = self.thresholds.shape
        digits = np.unravel_index(index, (n_levels,) * n_stages) if n_stages else ()
        return tuple(float(self.thresholds[j, digit]) for j, digit in enumerate(digits))

    def best_within(self, max_cost: float = np.inf, max_ms: float = np.inf) -> int | None:
        """Index of the most accurate setting within a mean cost and a mean time; of several the cheapest; None if none is.

        Examples
        --------
        >>> outcomes = Outcomes.from_predictions([[0, 1], [1, 1]], [[0.6, 0.9], [0.8, 0.9]], [1, 1])
        >>> grid = threshold_grid(outcomes, ServiceTable.from_costs([1.0, 4.0]), [0.5, 0.7])
        >>> grid.setting(grid.best_within(max_cost=3.0)), grid.best_within(max_cost=0.5)
        ((0.7,), None)
        """
        # Sums of amounts that are equal on paper differ in their last digits.
        slack = 1.0 + 1e-12
        allowed = np.flatnonzero((self.mean_cost <= max_cost * slack) & (self.mean_ms <= max_ms * slack))
        if not len(allowed):
            return None
        order = np.lexsort((self.mean_ms[allowed], self.mean_cost[allowed], -self.accuracy[allowed]))
        return int(allowed[order[0]])

    def pareto(self, by: Literal["cost", "ms"] = "cost") -> IntArray:
        """Indices of the settings that no other beats: each more accurate than all that take less.

        Parameters
        ----------
        by : {"cost", "ms"}
            What a setting takes: mean cost or mean time.

        Raises
        ------
        ConfigurationError
            If ``by`` is neither.
        """
        if by not in {"cost", "ms"}:
            raise ConfigurationError(f'expected by="cost" or by="ms", got {by!r}')
        order = np.lexsort((-self.accuracy, self.mean_cost if by == "cost" else self.mean_ms))
        best_before = np.maximum.accumulate(np.concatenate([[-1.0], self.accuracy[order][:-1]]))
        return np.asarray(order[self.accuracy[order] > best_before], np.int64)


def threshold_grid(
    outcomes: Outcomes,
    service: ServiceTable,
    thresholds: ArrayLike | None = None,
    *,
    n_thresholds: int = 50,
    order: Sequence[str] | None = None,
) -> ThresholdGrid:
    """Accuracy, cost and time of a chain of stages under every combination of thresholds.

    Parameters
    ----------
    outcomes : Outcomes
        Of n labelled items.
    service : ServiceTable
        Mean times at batch size 1, and costs.
    thresholds : array-like of shape (T,) or (J, T), optional
        Values to try, for all stages alike or for each but the last; by default quantiles of each stage's confidence.
    n_thresholds : int
        How many quantiles, if no thresholds are given.
    order : sequence of str, optional
        Names of the J + 1 stages to ask, in this order; by default all of them in the order of the outcomes.

    Returns
    -------
    ThresholdGrid

    Raises
    ------
    ConfigurationError
        If the order names a stage twice, one that is not there, or one whose predecessor does not come before it; if
        thresholds are of another shape or NaN; or if there are more than 20 million settings.
    PolicyMismatch
        If the service table is of other stages.

    Notes
    -----
    Joint histograms of the thresholds that items reach, summed along each axis, give the items that every setting passes on
    and those that are right: O(J n log T + J T ** J) time, O(n J + T ** J) memory.

    Examples
    --------
    >>> outcomes = Outcomes.from_predictions([[0, 1], [1, 1]], [[0.6, 0.9], [0.8, 0.9]], [1, 1])
    >>> grid = threshold_grid(outcomes, ServiceTable.from_costs([1.0, 4.0]), [0.5, 0.7])
    >>> grid.accuracy.tolist(), grid.mean_cost.tolist()
    ([0.5, 1.0], [1.0, 3.0])
    """
    check_service(outcomes.stages, service, service.levels[-1])
    at = _positions(outcomes, order)
    levels = _levels(outcomes, at[:-1], thresholds, n_thresholds)
    reached = np.empty((outcomes.n_items, len(levels)), np.int64)
    for j, (stage, values) in enumerate(zip(at[:-1], levels, strict=True)):
        reached[:, j] = np.searchsorted(values, outcomes.confidence[:, stage], side="right")
    n_right, n_asked = _count(reached, outcomes.correct[:, at].astype(np.int64), levels.shape[1])
    times = np.array([service.mean_at(stage, 1) for stage in at])
    return ThresholdGrid(
        tuple(outcomes.stages[stage] for stage in at),
        levels,
        n_right / outcomes.n_items,
        _mean(n_asked, service.costs[at], outcomes.n_items),
        _mean(n_asked, times, outcomes.n_items),
    )


def _positions(outcomes: Outcomes, order: Sequence[str] | None) -> list[int]:
    names = outcomes.stages if order is None else tuple(order)
    if not names or len(set(names)) != len(names) or not set(names) <= set(outcomes.stages):
        raise ConfigurationError(f"expected order to name some of the stages {outcomes.stages} once each, got {names}")
    at = [outcomes.stages.index(name) for name in names]
    for i, stage in enumerate(at):
        if (before := outcomes.requires[stage]) >= 0 and before not in at[:i]:
            raise ConfigurationError(
                f"expected stage {outcomes.stages[before]!r} before {outcomes.stages[stage]!r}, which goes on from it, got {names}"
            )
    return at


def _levels(outcomes: Outcomes, stages: list[int], thresholds: ArrayLike | None, n_thresholds: int) -> FloatArray:
    """Thresholds (J, T) of the stages that have one, ascending."""
    if thresholds is None:
        if n_thresholds < 1:
            raise ConfigurationError(f"expected n_thresholds of at least 1, got {n_thresholds}")
        ranks = np.linspace(0.0, 1.0, n_thresholds)
        levels = np.quantile(outcomes.confidence[:, stages], ranks, axis=0, method="higher").T
    else:
        given = np.asarray(thresholds, np.float64)
        if given.ndim not in {1, 2} or not given.size or (given.ndim == 2 and len(given) != len(stages)):
            raise ConfigurationError(
                f"expected thresholds of shape (T,) or ({len(stages)}, T), a row for each stage but the last, got {given.shape}"
            )
        if np.isnan(given).any():
            raise ConfigurationError("expected thresholds that are numbers, got NaN among them")
        levels = np.sort(np.broadcast_to(given, (len(stages), given.shape[-1])), axis=1)
    if levels.shape[1] ** len(stages) > _MOST_SETTINGS:
        raise ConfigurationError(
            f"expected at most {_MOST_SETTINGS} settings, got {levels.shape[1]} thresholds for each of {len(stages)} stages: "
            "take fewer thresholds, or fewer stages by order="
        )
    return np.ascontiguousarray(levels)


def _count(reached: IntArray, correct: IntArray, n_levels: int) -> tuple[IntArray, list[IntArray]]:
    """Right answers (T**J,) of every setting, and the items that ask each stage, in shapes that broadcast to (T,) * J.

    A setting's right answers are those of the first stage, and the gains of every later one over the stage before on the
    items that are passed on to it.
    """
    n, n_stages = reached.shape
    n_right = np.full((n_levels,) * n_stages, correct[:, 0].sum())
    n_asked = [np.full((1,) * n_stages, n)]
    for j in range(1, n_stages + 1):
        asked, gained = np.empty(n_levels**j, np.int64), np.empty(n_levels**j, np.int64)
        failing_counts(reached[:, :j], correct[:, j] - correct[:, j - 1], n_levels, asked, gained)
        shape = (n_levels,) * j + (1,) * (n_stages - j)
        n_right += gained.reshape(shape)
        n_asked.append(asked.reshape(shape))
    return n_right.reshape(-1), n_asked


def _mean(n_asked: list[IntArray], amounts: FloatArray, n: int) -> FloatArray:
    """Mean amount per item of every setting, the stages summed in the order in which they are asked."""
    total = np.zeros(n_asked[-1].shape)
    for asked, amount in zip(n_asked, amounts, strict=True):
        total = total + asked * amount
    return np.asarray(total.reshape(-1) / n)
