"""What an answer from each set of stages is worth, for every recorded item.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cascade.core.alignment import aligned, check_same_stages
from cascade.core.evidence import reachable_sets
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.records import FloatArray
from cascade.core.replay import known_features
from cascade.errors import ConfigurationError

_MOST_ENTRIES = 200_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Confidence and correctness of the answer from every set of stages, for n recorded items.

    A set of stages is a bit mask: bit j is set if stage j has run.

    Attributes
    ----------
    confidence : ndarray of float64, shape (n, 2**K)
        Column 0, and those of sets that cannot come about, are never read.
    correct : ndarray of bool, shape (n, 2**K)
    requires : tuple of int, length K
        Stage that must run before each stage, -1 for none; by default none is required.
    stages : tuple of str, length K
        Names; ``stage0``, ``stage1``, ... by default.

    Raises
    ------
    ConfigurationError
        If the shapes disagree, or the number of columns is not a power of two, or a confidence is NaN.

    Examples
    --------
    >>> Recorded(np.array([[0.0, 0.6, 0.8, 0.9]]), np.array([[False, False, True, True]])).n_stages
    2
    """

    confidence: FloatArray
    correct: NDArray[np.bool_]
    requires: tuple[int, ...] = ()
    stages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the shapes and fill in what was left out."""
        shape, sets = self.confidence.shape, self.confidence.shape[-1]
        if len(shape) != 2 or self.correct.shape != shape or 0 in shape or sets < 2 or sets & (sets - 1):
            raise ConfigurationError(
                "expected confidence and correct of shape (n, 2**K), a column for every set of K stages, "
                f"got {shape} and {self.correct.shape}"
            )
        if np.isnan(self.confidence).any():
            raise ConfigurationError("expected confidences that are numbers, got NaN: write 0 where there is none")
        k = sets.bit_length() - 1
        put = object.__setattr__
        put(self, "requires", tuple(self.requires) or (-1,) * k)
        put(self, "stages", tuple(self.stages) or tuple(f"stage{j}" for j in range(k)))
        if len(self.requires) != k or len(self.stages) != k:
            raise ConfigurationError(
                f"expected {k} stages, as the {sets} columns say, got requires={self.requires} and stages={self.stages}"
            )

    @property
    def n_items(self) -> int:
        """Number of recorded items n."""
        return len(self.confidence)

    @property
    def n_stages(self) -> int:
        """Number of stages K."""
        return len(self.stages)

    @classmethod
    def from_policy(cls, policy: Policy, outcomes: Outcomes) -> Recorded:
        """Answers as a policy gives them: what the stages of a set say together, with the pooled confidence.

        Parameters
        ----------
        policy : Policy
        outcomes : Outcomes
            Of the policy's stages; rows that it was fitted on would flatter it.

        Raises
        ------
        PolicyMismatch
            If the outcomes are of other stages or classes.
        ConfigurationError
            If there are too many items and sets for the memory.

        Examples
        --------
        >>> from cascade.core.service import ServiceTable
        >>> outcomes = Outcomes.from_probs([[[0.9, 0.1], [0.2, 0.8]]], [1])
        >>> chain = Policy.from_thresholds([0.8], ServiceTable.from_costs([1.0, 4.0]))
        >>> Recorded.from_policy(chain, outcomes).correct.tolist()
        [[False, False, False, True]]
        """
        check_same_stages(policy.stages, outcomes.stages)
        policy = policy.for_classes(outcomes.classes) if policy.chain is not None else policy
        evidence = policy.evidence
        assert evidence is not None
        known = aligned(outcomes, policy.classes)
        features = known_features(known, evidence)
        confidence, correct = _blank(known)
        for s in reachable_sets(policy.requires)[1:]:
            probs, confidence[:, s] = evidence.pool(features, s)
            correct[:, s] = probs.argmax(axis=1) == known.labels
        return cls(confidence, correct, policy.requires, policy.stages)

    @classmethod
    def from_stages(cls, outcomes: Outcomes) -> Recorded:
        """Answers without pooling: a set says what its last stage says, with that stage's own confidence.

        Raises
        ------
        ConfigurationError
            If there are too many items and sets for the memory.

        Examples
        --------
        >>> outcomes = Outcomes.from_predictions([["cat", "dog"]], [[0.7, 0.9]], ["dog"])
        >>> Recorded.from_stages(outcomes).confidence.tolist()
        [[0.0, 0.7, 0.9, 0.9]]
        """
        confidence, correct = _blank(outcomes)
        right = outcomes.correct
        for s in reachable_sets(outcomes.requires)[1:]:
            last = s.bit_length() - 1
            confidence[:, s], correct[:, s] = outcomes.confidence[:, last], right[:, last]
        return cls(confidence, correct, outcomes.requires, outcomes.stages)

    def take(self, items: NDArray[np.integer]) -> Recorded:
        """The same for some of the items, in the given order."""
        return replace(self, confidence=self.confidence[items], correct=self.correct[items])


def _blank(outcomes: Outcomes) -> tuple[FloatArray, NDArray[np.bool_]]:
    shape = (outcomes.n_items, 1 << outcomes.n_stages)
    if shape[0] * shape[1] > _MOST_ENTRIES:
        raise ConfigurationError(
            f"expected at most {_MOST_ENTRIES} pairs of an item and a set of stages, got {shape[0]} x {shape[1]}: "
            "take fewer items, as with outcomes.take"
        )
    return np.zeros(shape), np.zeros(shape, np.bool_)
