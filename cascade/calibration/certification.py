"""Test a promise along a path that was fixed beforehand, on a certification sample. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cascade.calibration.bounds import betting_p_value, binomial_p_value, n_without_loss
from cascade.calibration.price_path import sums_over
from cascade.core.envelope import Actions, Reach, possible_actions, reach_of
from cascade.core.evidence import reachable_sets
from cascade.core.guarantee import MOST_ACCURATE
from cascade.core.outcomes import Outcomes
from cascade.core.policy import REGIMES, Policy
from cascade.core.records import FloatArray, IntArray
from cascade.core.replay import fastest_stage, known_features
from cascade.errors import NotCertifiable

_CHUNK = 1 << 14
# From "answer next to nothing" to "always answer"; fixed before any data were seen.
_ABSTENTIONS = tuple(float(part) / 200.0 for part in range(199, -1, -1))


@dataclass(frozen=True, slots=True)
class Promise:
    """What is to be proved; the fields are those of `Guarantee`."""

    risk: str
    max_risk: float
    delta: float
    reference: str | None
    min_budget_ms: float
    abstain_below: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """How far the path could be followed."""

    price: float
    abstain_below: float | None
    path: tuple[float, ...]
    shown: float


@dataclass(frozen=True, slots=True, eq=False)
class PricesToTest:
    """Prices from small to large, and what can happen up to each.

    Attributes
    ----------
    prices : tuple of float
        0 and the grid that the policy's decisions are solved on; 0 alone for a chain.
    reach : Reach
    unloaded : int
        Place of the price that rules while there is no load and no deadline.
    """

    prices: tuple[float, ...]
    reach: Reach
    unloaded: int

    @classmethod
    def of(cls, policy: Policy, min_budget_ms: float) -> Self:
        """The path of a policy, with all that a router may do from this budget up.

        Single requests may have any time left that the budget and the upper quantiles allow. Calls of many rows, in the
        regimes of larger batches, are followed without a deadline.
        """
        prices = (0.0,) if policy.statistics is None else (0.0, *policy.decisions().prices.tolist())
        steps: list[list[Actions]] = [[] for _ in prices]
        for size in REGIMES:
            times = policy.times(size)
            # No stage takes longer than its upper quantile.
            least_ms = min_budget_ms if size == 1 else np.inf
            floors_ms = least_ms - sums_over(times.upper_ms)
            fastest = fastest_stage(times, policy.requires)
            own = [0.0] if policy.statistics is None else [0.0, *policy.decisions(size).prices.tolist()]
            for price in own:
                # A price joins the path at the first step that is not below it.
                at = int(np.searchsorted(prices, price))
                if at < len(prices):
                    table = policy.table(None, None if policy.statistics is None else price, size)
                    steps[at].append(possible_actions(table, floors_ms, fastest))
        table = policy.table(None, None if policy.statistics is None else 0.0)
        unloaded = 0 if policy.statistics is None else int(np.searchsorted(prices, policy.unloaded_price()))
        return cls(prices, reach_of(steps, table, policy.requires), unloaded)


class Sample:
    """What every evidence set says about the items of a certification sample, and what is lost by answering from it.

    Parameters
    ----------
    policy : Policy
        With its classes.
    outcomes : Outcomes
        Of n items, in the policy's classes.
    promise : Promise
    members : ndarray of int64, shape (n,), or None
        Number of each item's group.
    rng : numpy.random.Generator
        Draws the order in which bets are made.

    Notes
    -----
    O(n 2**K) time and memory.
    """

    def __init__(
        self, policy: Policy, outcomes: Outcomes, promise: Promise, members: IntArray | None, rng: np.random.Generator
    ) -> None:
        self.promise = promise
        self._members = members
        n = outcomes.n_items
        units = n if members is None else int(members.max()) + 1
        self.n_groups = None if members is None else units
        self._order = rng.permutation(units)
        self._sizes = None if members is None else np.bincount(members)
        self._confidence, self._right = _said(policy, outcomes)
        self._reference = _right_reference(policy, outcomes, promise.reference)

    @property
    def bound(self) -> str:
        """How the promise is proved."""
        return "betting (Waudby-Smith and Ramdas)" if self._by_bets else "exact binomial"

    @property
    def _by_bets(self) -> bool:
        # The most accurate path is one of the paths, so the worst of them never beats it: the losses are 0 and 1.
        is_signed = self.promise.risk == "drop" and self.promise.reference != MOST_ACCURATE
        return is_signed or self._members is not None

    def worst(self, reach: Reach, abstain_below: float | None) -> NDArray[np.int8]:
        """The largest loss of each item at every length of the path, shape (n, L)."""
        parts = []
        for start in range(0, len(self._confidence), _CHUNK):
            rows = slice(start, start + _CHUNK)
            parts.append(reach.worst(self._confidence[rows], self._losses(rows, abstain_below)))
        return np.concatenate(parts)

    def _losses(self, rows: slice, abstain_below: float | None) -> NDArray[np.int8]:
        right = self._right[rows]
        if self.promise.risk == "error":
            return (~right).astype(np.int8)
        if self.promise.risk == "selective":
            answered = self._confidence[rows] >= (abstain_below or 0.0)
            return np.where(answered, np.where(right, -1, 1), 0).astype(np.int8)
        assert self._reference is not None
        reference = self._reference[rows, None]
        if self.promise.risk == "lost":
            return (reference & ~right).astype(np.int8)
        return reference.astype(np.int8) - right.astype(np.int8)

    def p_value(self, worst: NDArray[np.int8]) -> float:
        """p-value of the claim that the risk of these losses (n,) is above the limit."""
        promise = self.promise
        if self._by_bets:
            values, limit = self._as_bets(worst)
            return betting_p_value(values[self._order], limit, promise.delta)
        n_losses = int((worst == 1).sum())
        n = n_losses + int((worst == -1).sum()) if promise.risk == "selective" else len(worst)
        return float(binomial_p_value(n_losses, n, promise.max_risk))

    def _as_bets(self, worst: NDArray[np.int8]) -> tuple[FloatArray, float]:
        """Values in [0, 1], one for each item or group, whose mean is at most the limit where the promise holds."""
        limit, losses = self.promise.max_risk, worst.astype(np.float64)
        if self.promise.risk == "drop":
            losses, limit = 0.5 * (1.0 + losses), 0.5 * (1.0 + limit)
        elif self.promise.risk == "selective":
            # Wrong and right answers pull by 1 - limit and -limit; with the limit added, abstaining is neutral.
            losses = np.where(losses > 0.0, 1.0, np.where(losses < 0.0, 0.0, limit))
        return self._by_group(losses), limit

    def _by_group(self, values: FloatArray) -> FloatArray:
        if self._members is None or self._sizes is None:
            return values
        return np.asarray(np.bincount(self._members, values) / self._sizes)

    def shown(self, worst: NDArray[np.int8]) -> float:
        """The risk of these losses (n,) on the sample."""
        losses = worst.astype(np.float64)
        if self.promise.risk == "selective":
            answered = self._by_group(np.abs(losses)).mean()
            return float(self._by_group(np.maximum(losses, 0.0)).mean() / answered) if answered > 0.0 else 0.0
        return float(self._by_group(losses).mean())


def highest_price(sample: Sample, path: PricesToTest) -> Found:
    """The last price before the first at which the promise is not proved.

    Raises
    ------
    NotCertifiable
        If price 0 is not proved.
    """
    abstain_below = sample.promise.abstain_below
    worst = sample.worst(path.reach, abstain_below)
    last = _last_proved(sample, [worst[:, step] for step in range(len(path.prices))])
    return Found(path.prices[last], abstain_below, path.prices[: last + 2], sample.shown(worst[:, last]))


def lowest_abstention(sample: Sample, path: PricesToTest) -> Found:
    """The last threshold of abstention, from high to low, before the first at which the promise is not proved.

    Raises
    ------
    NotCertifiable
        If not even the highest threshold is proved.
    """
    up_to = path.reach.up_to(path.unloaded)
    worst = (sample.worst(up_to, threshold)[:, 0] for threshold in _ABSTENTIONS)
    proved: list[NDArray[np.int8]] = []
    for losses in worst:
        if sample.p_value(losses) > sample.promise.delta:
            if not proved:
                raise NotCertifiable(_why_not(sample, losses))
            break
        proved.append(losses)
    last = len(proved) - 1
    return Found(path.prices[path.unloaded], _ABSTENTIONS[last], _ABSTENTIONS[: last + 2], sample.shown(proved[-1]))


def _last_proved(sample: Sample, losses: list[NDArray[np.int8]]) -> int:
    last = -1
    while last + 1 < len(losses) and sample.p_value(losses[last + 1]) <= sample.promise.delta:
        last += 1
    if last < 0:
        raise NotCertifiable(_why_not(sample, losses[0]))
    return last


def _why_not(sample: Sample, worst: NDArray[np.int8]) -> str:
    """What was found where nothing could be proved, and how many items would be needed."""
    promise, n, shown = sample.promise, len(worst), sample.shown(worst)
    least = n_without_loss(promise.max_risk, promise.delta)
    start = (
        f"expected a {promise.risk} risk of at most {promise.max_risk} with probability {1.0 - promise.delta:g}, and not even "
        f"the costliest policy shows it: {shown:.4f} on {n} items; "
    )
    if shown >= promise.max_risk:
        return start + "more data will not help: allow a larger max_risk, or more accurate stages"
    if n < least:
        return start + f"at least {least} items are needed even if none of them shows a loss"
    variance = float(worst.astype(np.float64).var()) + promise.max_risk**2
    needed = int(np.ceil(2.0 * np.log(1.0 / promise.delta) * variance / (promise.max_risk - shown) ** 2))
    return start + f"about {max(needed, n + 1)} items would be needed if they show the same"


def _said(policy: Policy, outcomes: Outcomes) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Confidence and rightness under every reachable set, shapes (n, 2**K)."""
    evidence = policy.evidence
    assert evidence is not None
    n, n_sets = outcomes.n_items, 1 << outcomes.n_stages
    features = known_features(outcomes, evidence)
    confidence, right = np.zeros((n, n_sets)), np.zeros((n, n_sets), np.bool_)
    for s in reachable_sets(policy.requires)[1:]:
        for start in range(0, n, _CHUNK):
            rows = slice(start, start + _CHUNK)
            probs, confidence[rows, s] = evidence.pool(features[rows], s)
            right[rows, s] = probs.argmax(axis=1) == outcomes.labels[rows]
    return confidence, right


def _right_reference(policy: Policy, outcomes: Outcomes, reference: str | None) -> NDArray[np.bool_] | None:
    """Whether the reference is right about each item, shape (n,); None where none is needed."""
    if reference is None:
        return None
    if reference == MOST_ACCURATE:
        return policy.replay(outcomes, price=0.0).correct
    return outcomes.correct[:, policy.stages.index(reference)]
