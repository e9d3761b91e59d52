"""How alike two inputs must be for the answer about one to be given for the other: proved on labelled pairs, never guessed.

Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade.calibration.bounds import binomial_p_value, n_without_loss
from cascade.core.directions import unit_vectors
from cascade.core.records import FloatArray
from cascade.errors import ConfigurationError, EmptyBatch, InputMismatch, NotCertifiable

# Distances from 1, twenty to a decade, and where tests begin; fixed before any data were seen.
_PATH = tuple(float(distance) for distance in 10.0 ** (np.arange(-80, 1) / 20.0))
_STARTS = (0, 20, 40, 54, 66)
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class SimilarityThreshold:
    """A similarity from which on a neighbour's answer may be taken, with what was proved about it.

    Attributes
    ----------
    threshold : float
        Least cosine, in [0, 1).
    max_risk, delta : float
        P(share of wrong answers among those taken from a neighbour <= max_risk) >= 1 - delta, over the draw of the pairs.
    n, n_taken : int
        Pairs, and those of them at least this similar.
    shown : float
        Share of wrong answers among the latter.
    """

    threshold: float
    max_risk: float
    delta: float
    n: int
    n_taken: int
    shown: float

    def explain(self) -> str:
        """The promise in words, with what it does not cover."""
        return (
            f"Of the answers taken from a neighbour at a similarity of {self.threshold:.4g} or more, at most {self.max_risk:.2%} are "
            f"wrong, with probability {1.0 - self.delta:g} over the draw of {self.n} pairs, {self.n_taken} of them so similar "
            f"({self.shown:.2%} wrong). It is about one embedding, and about requests and neighbours like these pairs."
        )

    def __str__(self) -> str:
        return self.explain()


def control_similarity(
    similarity: ArrayLike, wrong: ArrayLike, max_risk: float, delta: float = 0.05
) -> SimilarityThreshold:
    """The least similarity at which at most a share ``max_risk`` of the answers taken from neighbours are wrong.

    Parameters
    ----------
    similarity : array of float, shape (n,)
        Cosine between a request's embedding and that of its nearest neighbour among what was asked before.
    wrong : array of bool, shape (n,)
        Whether the neighbour's answer is wrong for the request.
    max_risk, delta : float
        In (0, 1).

    Returns
    -------
    SimilarityThreshold
        What `SimilarityCache` asks for.

    Raises
    ------
    NotCertifiable
        If no similarity is proved to be enough; the message says how many pairs would be needed.
    ConfigurationError, InputMismatch, EmptyBatch
        If the arguments cannot work.

    Notes
    -----
    Fixed-sequence Learn-then-Test with several starts: thresholds fixed beforehand are tested from high to low, from each of five starts
    with a fifth of ``delta``, until the first that is not proved; the lowest that was proved is taken. The losses of the
    pairs above a threshold are 0 and 1, so the test is an exact binomial one. Pairs must be independent of each other, as those
    of `neighbour_pairs` are for what it was given as known.

    References
    ----------
    Angelopoulos, Bates, Candès, Jordan and Lei (2022), Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> similarity = rng.uniform(0.5, 1.0, 5000)
    >>> wrong = rng.random(5000) < 0.4 * (1.0 - similarity)
    >>> found = control_similarity(similarity, wrong, max_risk=0.05)
    >>> 0.75 < found.threshold < 0.85
    True
    """
    alike, losses = _checked(similarity, wrong)
    for name, value in (("max_risk", max_risk), ("delta", delta)):
        if not 0.0 < value < 1.0:
            raise ConfigurationError(f"expected {name} between 0 and 1, both excluded, got {value}")
    thresholds = 1.0 - np.array(_PATH)
    order = np.argsort(-alike, kind="stable")
    n_taken = np.searchsorted(-alike[order], -thresholds, side="right")
    n_wrong = np.concatenate([[0], np.cumsum(losses[order])])[n_taken]
    is_proved = binomial_p_value(n_wrong, n_taken, max_risk) <= delta / len(_STARTS)
    last = max(_last_proved(is_proved, start) for start in _STARTS)
    if last < 0:
        raise NotCertifiable(_why_not(alike, losses, max_risk, delta))
    shown = float(n_wrong[last] / n_taken[last])
    return SimilarityThreshold(float(thresholds[last]), max_risk, delta, len(alike), int(n_taken[last]), shown)


def neighbour_pairs(
    known: ArrayLike, answers: Sequence[Hashable], requests: ArrayLike, labels: Sequence[Hashable]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Every request beside its nearest neighbour among known inputs: how alike they are, and whether its answer is wrong.

    Parameters
    ----------
    known : array, shape (m, d)
        Embeddings of inputs that a cache would hold.
    answers : sequence of m hashables
        What is answered about them.
    requests : array, shape (n, d)
        Embeddings of other inputs; none of them among the known ones.
    labels : sequence of n hashables
        What is right about them.

    Returns
    -------
    similarity : ndarray, shape (n,)
    wrong : ndarray of bool, shape (n,)

    Examples
    --------
    >>> similarity, wrong = neighbour_pairs([[1.0, 0.0], [0.0, 1.0]], ["a", "b"], [[1.0, 0.1], [0.1, 1.0]], ["a", "a"])
    >>> similarity.round(3).tolist(), wrong.tolist()
    ([0.995, 0.995], [False, True])
    """
    kept, asked = unit_vectors(known), unit_vectors(requests)
    if kept.ndim != 2 or asked.ndim != 2 or kept.shape[1] != asked.shape[1]:
        raise InputMismatch(f"expected embeddings of shapes (m, d) and (n, d), got {kept.shape} and {asked.shape}")
    if len(answers) != len(kept) or len(labels) != len(asked):
        raise InputMismatch(
            f"expected an answer for each of {len(kept)} known inputs and a label for each of {len(asked)} requests, "
            f"got {len(answers)} and {len(labels)}"
        )
    similarity, wrong = np.empty(len(asked)), np.empty(len(asked), np.bool_)
    for start in range(0, len(asked), _CHUNK):
        products = asked[start : start + _CHUNK] @ kept.T
        nearest = products.argmax(axis=1)
        for i, place in enumerate(nearest.tolist(), start):
            similarity[i], wrong[i] = products[i - start, place], answers[place] != labels[i]
    return similarity, wrong


def _checked(similarity: ArrayLike, wrong: ArrayLike) -> tuple[FloatArray, FloatArray]:
    alike, losses = np.asarray(similarity, np.float64), np.asarray(wrong)
    if alike.ndim != 1 or losses.shape != alike.shape or not np.isfinite(alike).all():
        raise InputMismatch(
            f"expected a finite similarity and a loss for each of n pairs, got shapes {alike.shape} and {losses.shape}"
        )
    if losses.dtype != np.bool_ and not np.isin(losses, (0, 1)).all():
        raise InputMismatch("expected wrong to hold True and False, or 1 and 0, got other values")
    if not len(alike):
        raise EmptyBatch("expected at least one pair, got none")
    return alike, losses.astype(np.float64)


def _last_proved(is_proved: NDArray[np.bool_], start: int) -> int:
    """The place before the first, from a start on, that is not proved; -1 if the start is not."""
    n_proved = int(np.argmin([*is_proved[start:], False]))
    return start + n_proved - 1 if n_proved else -1


def _why_not(alike: FloatArray, losses: FloatArray, max_risk: float, delta: float) -> str:
    least = n_without_loss(max_risk, delta / len(_STARTS))
    closest = np.argsort(-alike, kind="stable")[:least]
    return (
        f"expected a similarity at which at most {max_risk} of the answers taken from a neighbour are wrong with probability "
        f"{1.0 - delta:g}, and none shows it: among the {len(closest)} most similar of {len(alike)} pairs, {losses[closest].mean():.4f} are wrong; "
        f"at least {least} pairs at a threshold are needed even if none of them is wrong. Hand in more pairs, allow a larger max_risk, "
        "or use another embedding"
    )
