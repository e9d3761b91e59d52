"""Agreement-based cascading: an ensemble of models answers where its members agree, else the next ensemble is asked.

Every sequence of ensembles is searched whose first has two members or more, with a threshold on the agreement of each: the share of
votes for the answer, or the mean probability that the members give to it. A later ensemble is a new one, as in the paper, or one
that keeps the members before it; the dearer reading of the cost is taken, in which all members are paid for.

References
----------
Kolawole, Dennis, Talwalkar and Smith (2024), Agreement-Based Cascading for Efficient Inference.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from baselines.chains import Steps, points_of
from baselines.operating_points import Items, OperatingPoints

Tiers = tuple[tuple[int, ...], ...]


def agreement_based(seen: Items, served: Items, costs: np.ndarray) -> OperatingPoints | None:
    """The hull over all sequences of ensembles; None with two models, of which no ensemble leaves one to defer to."""
    if seen.n_models < 3:
        return None
    return points_of(_chains(seen, costs), _chains(served, costs))


def _chains(items: Items, costs: np.ndarray) -> list[Steps]:
    votes, probs = np.eye(items.n_labels)[items.predicted], _class_scores(items)
    chains: list[Steps] = []
    for by_vote in (True, False):
        said = {
            members: _answer(votes[:, members].mean(axis=1), probs[:, members].mean(axis=1), items.labels, by_vote)
            for size in range(1, items.n_models + 1)
            for members in combinations(range(items.n_models), size)
        }
        for tiers in sequences(items.n_models):
            paid = [float(costs[list(tier)].sum()) for tier in tiers]
            growing = tuple(tuple(sorted(sum(tiers[: i + 1], ()))) for i in range(len(tiers)))
            for asked in {tiers, growing}:
                answers = [said[members] for members in asked]
                chains.append(Steps([right for right, _ in answers], [score for _, score in answers[:-1]], paid))
    return chains


def sequences(n_models: int) -> Iterator[Tiers]:
    """Every sequence of disjoint ensembles whose first one can disagree, and every ensemble alone."""

    def extended(tiers: Tiers, left: frozenset[int]) -> Iterator[Tiers]:
        yield tiers
        for size in range(1, len(left) + 1):
            for tier in combinations(sorted(left), size):
                yield from extended((*tiers, tier), left - set(tier))

    everyone = frozenset(range(n_models))
    for size in range(1, n_models + 1):
        for first in combinations(range(n_models), size):
            yield from extended((first,), everyone - set(first)) if size > 1 else iter([(first,)])


def _class_scores(items: Items) -> np.ndarray:
    """Class scores (n, K, c); where there is one number only, the other labels share the rest of it."""
    if items.probs is not None:
        return items.probs
    rest = (1.0 - items.confidence) / max(items.n_labels - 1, 1)
    scores = np.repeat(rest[:, :, None], items.n_labels, axis=2)
    np.put_along_axis(scores, items.predicted[:, :, None], items.confidence[:, :, None], axis=2)
    return scores


def _answer(votes: np.ndarray, probs: np.ndarray, labels: np.ndarray, by_vote: bool) -> tuple[np.ndarray, np.ndarray]:
    """Whether an ensemble is right, and how far it agrees; among equal votes the more probable label."""
    probs = np.pad(probs, ((0, 0), (0, votes.shape[1] - probs.shape[1])))
    chosen = (votes + 1e-3 * probs if by_vote else probs).argmax(axis=1)
    score = np.take_along_axis(votes if by_vote else probs, chosen[:, None], axis=1)[:, 0]
    return chosen == labels, score
