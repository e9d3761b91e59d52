"""The state of the rows of one call: what is known of each by now, and what some begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from cascade.core.records import FloatArray, IntArray
from cascade.core.traces import names_of
from cascade.runtime.memory import Start


@dataclass(slots=True, eq=False)
class Rows:
    """The state of all rows of one call; arrays of length n, filled in place by the waves.

    Attributes
    ----------
    label_index : ndarray of int64
        Top class; that of the prior where no stage answered.
    confidence : ndarray
    probs : ndarray, shape (n, c)
    last_stage : ndarray of int64
        -1 where no stage ran.
    trace : ndarray of int64
        The path, as digits to the base K + 1.
    degraded : ndarray of bool
    resumed : ndarray of bool
        Whether it began with evidence from an earlier request.
    """

    label_index: IntArray
    confidence: FloatArray
    probs: FloatArray
    last_stage: IntArray
    trace: IntArray
    degraded: Any
    resumed: Any

    @classmethod
    def fresh(cls, n: int, prior: FloatArray) -> Self:
        """N rows about which nothing is known."""
        return cls(
            np.full(n, int(prior.argmax()), np.int64),
            np.full(n, float(prior.max())),
            np.tile(prior, (n, 1)),
            np.full(n, -1, np.int64),
            np.zeros(n, np.int64),
            np.zeros(n, np.bool_),
            np.zeros(n, np.bool_),
        )

    def __len__(self) -> int:
        return len(self.trace)

    def put(self, places: IntArray, other: Rows) -> None:
        """Let some rows be those of another call."""
        for field_ in fields(self):
            getattr(self, field_.name)[places] = getattr(other, field_.name)

    def taken(self, places: IntArray) -> Rows:
        """The given rows, in the given order."""
        return Rows(*(getattr(self, field_.name)[places] for field_ in fields(self)))

    def paths(self, rows: IntArray, names: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The stages, of K names, that ran for each of some rows."""
        codes, places = np.unique(self.trace[rows], return_inverse=True)
        known = [names_of(code, names) for code in codes.tolist()]
        return [known[place] for place in places.tolist()]


@dataclass(frozen=True, slots=True)
class KnownRows:
    """What rows of a call begin with, and who hears what stages say about them.

    Attributes
    ----------
    starts : list of Start or None
        By row.
    heard : callable
        Told of every wave that has run: places of its rows, evidence (m, K, d) and traces (m,).
    """

    starts: Sequence[Start | None]
    heard: Callable[[IntArray, Any, IntArray], None]
