"""The frontier of accuracy against time that a cascade of these stages reaches, on items that its decisions have not seen.

Pure but for a progress bar on request: the same outcomes, service table and seed give the same curve.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.calibration.checks import check_fittable, group_numbers
from cascade.calibration.evidence import assign_folds, fit_evidence
from cascade.calibration.fit import N_FOLDS
from cascade.calibration.price_path import PricePath, Visit, sums_over
from cascade.calibration.ranking import warn_of_weak_confidence
from cascade.calibration.resampling import Packed, bootstrap_intervals
from cascade.core.frontier import Frontier, non_dominated
from cascade.core.frontier_points import ReferencePoint
from cascade.core.outcomes import Outcomes
from cascade.core.progress import with_progress
from cascade.core.records import FloatArray, IntArray
from cascade.core.service import ServiceTable
from cascade.core.times import StageTimes, stage_times
from cascade.errors import ConfigurationError, DataError, SmallSampleWarning

_FEW_GROUPS = 30
_MIN_BOOTSTRAP = 100


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """What a way of answering showed on the held-out items."""

    right: Packed
    accuracy: float
    mean_ms: float
    mean_cost: float
    price: float = 0.0
    budget_ms: float = 0.0


def frontier(
    outcomes: Outcomes,
    service: ServiceTable,
    *,
    cost_weight: float = 0.0,
    level: float = 0.99,
    groups: Sequence[Hashable] | NDArray[Any] | None = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    max_step: float = 0.005,
    seed: int = 0,
    progress: bool = True,
) -> Frontier:
    """Accuracy against mean time over all prices of a millisecond, each item decided without its own fold.

    Parameters
    ----------
    outcomes : Outcomes
        What K <= 8 stages said about n labelled items.
    service : ServiceTable
        How long the stages take, and what they cost.
    cost_weight : float
        Accuracy worth one unit of ``service.costs``; 0 leaves the cost out of the decisions.
    level : float
        Quantile of a stage's service time that ``budget_ms`` leaves room for.
    groups : sequence of n hashables, optional
        Items of one group belong together (frames of one video, say): they are pooled and decided by what was fitted without
        any of them, and drawn together for the intervals.
    n_bootstrap : int
        Draws behind the intervals, at least 100.
    confidence : float
        Of the intervals, between 0 and 1.
    max_step : float
        Mean time between neighbouring points, as a share of the range of mean times, in (0, 1].
    seed : int
        Draws folds and resamples.
    progress : bool
        Show progress bars on standard error when the work is long.

    Returns
    -------
    Frontier

    Raises
    ------
    PolicyMismatch
        If the outcomes and the service table are of different stages.
    DataError
        If all labels are of one class, if there are fewer items or groups than folds, or not one group for each item.
    ConfigurationError
        If there are more than 8 stages or a number is out of range.

    Warns
    -----
    SmallSampleWarning
        If there are fewer than 50 items per stage, or fewer than 30 groups.
    WeakConfidenceWarning
        If the confidence of a stage hardly ranks right answers above wrong ones.

    Notes
    -----
    *Exact* means that every point is what the decisions at its price did to the held-out items, counted and not modelled.
    From 33 prices on, the price is bisected wherever two neighbours differ in their decisions, until they differ by at most
    ``max_step`` of the range of mean times, or by less than a ten-thousandth of the price: what is left then is a jump, as
    when all items of a fold begin with another stage. Folds decided alike at two neighbours are taken to be so in between.

    *Out of fold*: five folds, drawn as `fit_policy` draws them, or of whole groups. Pooling weights and the statistics behind the
    decisions about an item were made without its fold; floors, temperatures and recalibration, a few numbers for all items,
    were not. A policy fitted on all items has a quarter more data than each fold's.

    *Intervals* are percentile bootstrap intervals of the accuracy at a fixed price, for each point by itself. They tell how far
    other items of this kind may differ, not how far another fit may, nor the whole curve at once. Where nearly all answers are
    right, they are too short. Points are picked by their accuracy, which flatters the curve a little, the more the fewer items there are.

    O(2**K n) memory. Each price takes O(2**K K) time beside that for the items: with many of either, a larger ``max_step`` spares time.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 400)
    >>> trust = rng.uniform(0.5, 1.0, (400, 2)) ** [1.0, 0.2]
    >>> said = np.where(rng.random((400, 2)) < trust, labels[:, None], 1 - labels[:, None])
    >>> outcomes = Outcomes.from_predictions(said, trust, labels)
    >>> curve = frontier(outcomes, ServiceTable.from_costs([1.0, 10.0]))
    >>> bool(curve.at(mean_ms=5.0).accuracy > curve.accuracy[0])
    True
    """
    check_fittable(outcomes, service, n_folds=N_FOLDS, level=level, cost_weight=cost_weight)
    warn_of_weak_confidence(outcomes, stacklevel=3)
    _check_numbers(n_bootstrap, confidence, max_step)
    members = None if groups is None else group_numbers(groups, outcomes.n_items)
    n_groups = None if members is None else _n_groups(members)
    rng = np.random.default_rng(seed)
    folds = assign_folds(outcomes.labels, N_FOLDS, rng) if members is None else folds_of_groups(members, rng)
    _, held_out = fit_evidence(outcomes, folds, progress=progress)
    times = stage_times(service, 1, level, cost_weight)
    order = np.argsort(folds, kind="stable")
    right = held_out.correct[order]
    path = PricePath.of(held_out.confidence[order], right, folds[order], outcomes.requires, times)
    visits = with_progress(path.follow(max_step), progress, desc="frontier", unit="price")
    curve = _undominated(sorted((_shown(visit, right, times) for visit in visits), key=lambda one: one.price))
    shown = [*curve, *_references(outcomes.correct[order], outcomes.requires, times)]
    units = np.arange(outcomes.n_items) if members is None else members[order]
    packed = [one.right for one in shown]
    intervals = bootstrap_intervals(
        packed, units, rng, n_bootstrap=n_bootstrap, confidence=confidence, progress=progress
    )
    names = (*outcomes.stages, "oracle")
    return _frontier(shown, intervals, names, confidence=float(confidence), n_items=len(units), n_groups=n_groups)


def _check_numbers(n_bootstrap: int, confidence: float, max_step: float) -> None:
    if n_bootstrap < _MIN_BOOTSTRAP:
        raise ConfigurationError(f"expected n_bootstrap of at least {_MIN_BOOTSTRAP}, got {n_bootstrap}")
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(f"expected confidence between 0 and 1, both excluded, got {confidence}")
    if not 0.0 < max_step <= 1.0:
        raise ConfigurationError(f"expected max_step in (0, 1], got {max_step}")


def _n_groups(members: IntArray) -> int:
    n_groups = int(members.max()) + 1
    if n_groups < N_FOLDS:
        raise DataError(f"expected at least {N_FOLDS} groups, one for each fold, got {n_groups}")
    if n_groups < _FEW_GROUPS:
        warnings.warn(
            f"{n_groups} groups, fewer than {_FEW_GROUPS}: intervals that are made by drawing groups are too short; add groups",
            SmallSampleWarning,
            stacklevel=3,
        )
    return n_groups


def folds_of_groups(members: IntArray, rng: np.random.Generator) -> IntArray:
    """A fold for every item, shape (n,), the same within a group, all folds of much the same size.

    Parameters
    ----------
    members : ndarray of int64, shape (n,)
        Number of each item's group.
    rng : numpy.random.Generator
    """
    sizes = np.bincount(members)
    shuffled = rng.permutation(len(sizes))
    fold_of, filled = np.zeros(len(sizes), np.int64), np.zeros(N_FOLDS, np.int64)
    # The largest first, each into the fold with the fewest items.
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return fold_of[members]


def _shown(visit: Visit, right: NDArray[np.bool_], times: StageTimes) -> _Shown:
    """What a visit's decisions lead to, given whether each item is right at every set, shape (n, 2**K)."""
    counts = np.bincount(visit.sets, minlength=right.shape[1])
    answered = right[np.arange(len(right)), visit.sets]
    return _Shown(
        np.packbits(answered),
        float(answered.mean()),
        float(counts @ sums_over(times.mean_ms) / len(right)),
        float(counts @ sums_over(times.costs) / len(right)),
        visit.price,
        float(sums_over(times.upper_ms)[counts > 0].max()),
    )


def _undominated(shown: Sequence[_Shown]) -> list[_Shown]:
    kept = non_dominated(np.array([one.mean_ms for one in shown]), np.array([one.accuracy for one in shown]))
    return [shown[i] for i in kept]


def _references(right: NDArray[np.bool_], requires: tuple[int, ...], times: StageTimes) -> list[_Shown]:
    """Every stage alone, then for every item the cheapest stage that is right, the cheapest of all where none is."""
    needed = [_with_predecessors(j, requires) for j in range(len(requires))]
    mean_ms, costs = sums_over(times.mean_ms)[needed], sums_over(times.costs)[needed]
    alone = [
        _Shown(np.packbits(said), float(said.mean()), float(ms), float(cost))
        for said, ms, cost in zip(right.T, mean_ms, costs, strict=True)
    ]
    cheapest = np.lexsort((costs, mean_ms))
    chosen, answered = cheapest[right[:, cheapest].argmax(axis=1)], right.any(axis=1)
    oracle = _Shown(
        np.packbits(answered), float(answered.mean()), float(mean_ms[chosen].mean()), float(costs[chosen].mean())
    )
    return [*alone, oracle]


def _with_predecessors(stage: int, requires: tuple[int, ...]) -> int:
    needed = 0
    while stage >= 0:
        needed |= 1 << stage
        stage = requires[stage]
    return needed


def _frontier(shown: Sequence[_Shown], intervals: FloatArray, names: tuple[str, ...], **about: Any) -> Frontier:
    """The record of a curve, followed in ``shown`` and ``intervals`` (2, m) by the named references."""
    m = len(shown) - len(names)
    low, high = intervals
    references = tuple(
        ReferencePoint(name, one.mean_ms, one.mean_cost, one.accuracy, float(start), float(end))
        for name, one, start, end in zip(names, shown[m:], low[m:], high[m:], strict=True)
    )
    wanted = ("price", "budget_ms", "mean_ms", "mean_cost", "accuracy")
    columns: dict[str, Any] = {name: np.array([getattr(one, name) for one in shown[:m]]) for name in wanted}
    return Frontier(
        **columns, ci_low=low[:m], ci_high=high[:m], singles=references[:-1], oracle=references[-1], **about
    )
