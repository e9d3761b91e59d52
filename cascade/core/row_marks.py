"""Marks of the rows that a policy was fitted on, so that the same rows are not taken for fresh ones.

Pure. A mark is a hash of all that was recorded about a row. Rows that say the same have the same mark, so marks that
repeat among the fitted rows say nothing about reuse; how often they do is kept beside them.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.outcomes import Outcomes
from cascade.errors import ReusedData

MAX_MARKS = 20_000
"""More rows than this are represented by those with the smallest marks."""
_STANDARD_ERRORS = 4.0

Marks = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class RowMarks:
    """What is kept of the rows that were fitted.

    Attributes
    ----------
    marks : ndarray of uint64
        Distinct, ascending.
    below : int
        All marks kept are below this number; 2**64 where all rows are kept.
    repeated : float
        Share of the fitted rows whose mark another fitted row has too.
    """

    marks: Marks
    below: int
    repeated: float

    def n_reused(self, outcomes: Outcomes) -> tuple[int, int]:
        """How many of the rows that can be told were among the fitted ones, and how many can be told.

        Examples
        --------
        >>> outcomes = Outcomes.from_probs(np.random.default_rng(0).dirichlet((1, 1), (9, 2)), np.arange(9) % 2)
        >>> marks_of_rows(outcomes.take(np.arange(6))).n_reused(outcomes)
        (6, 9)
        """
        marks = _row_marks(outcomes)
        told = marks[marks < np.uint64(self.below)] if self.below < 1 << 64 else marks
        return int(np.isin(told, self.marks).sum()), len(told)

    def check_fresh(self, outcomes: Outcomes, expected: str, advice: str) -> None:
        """Raise if outcomes hold more of the fitted rows than rows that merely look alike explain.

        Parameters
        ----------
        outcomes : Outcomes
        expected, advice : str
            What they should be, and what to do.

        Raises
        ------
        ReusedData
        """
        n_found, n_told = self.n_reused(outcomes)
        alike = self.repeated * n_told
        if n_found > alike + _STANDARD_ERRORS * np.sqrt(alike):
            raise ReusedData(f"expected {expected}, got {n_found} of {n_told} that are known: {advice}")

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        packed = b64encode(self.marks.astype("<u8").tobytes()).decode("ascii")
        return {"marks": packed, "below": str(self.below), "repeated": self.repeated}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RowMarks:
        """The marks that `to_dict` described.

        Raises
        ------
        ValueError
            If they are damaged.
        """
        marks = np.frombuffer(b64decode(data["marks"], validate=True), "<u8").astype(np.uint64)
        if len(marks) > 1 and not (marks[1:] > marks[:-1]).all():
            raise ValueError("expected marks of rows in ascending order")
        return cls(marks, int(data["below"]), float(data["repeated"]))


def marks_of_rows(outcomes: Outcomes) -> RowMarks:
    """The marks of all rows, or of a fixed choice of `MAX_MARKS` of them."""
    marks, counts = np.unique(_row_marks(outcomes), return_counts=True)
    repeated = float(counts[counts > 1].sum() / counts.sum())
    if len(marks) <= MAX_MARKS:
        return RowMarks(marks, 1 << 64, repeated)
    return RowMarks(marks[:MAX_MARKS], int(marks[MAX_MARKS]), repeated)


def digest_of_rows(outcomes: Outcomes) -> str:
    """Identifies a set of rows, whatever their order."""
    return blake2b(np.sort(_row_marks(outcomes)).tobytes(), digest_size=16).hexdigest()


def _row_marks(outcomes: Outcomes) -> Marks:
    """A 64-bit hash of every row: the truth, and what each stage said."""
    parts = [outcomes.labels[:, None].astype(np.int64).view(np.uint64)]
    if outcomes.log_probs is not None:
        said = np.ascontiguousarray(outcomes.log_probs).reshape(outcomes.n_items, -1)
        parts.append(said.view(np.uint32).astype(np.uint64))
    else:
        parts += [
            outcomes.predicted.astype(np.int64).view(np.uint64),
            outcomes.confidence.astype(np.float64).view(np.uint64),
        ]
    marks = np.zeros(outcomes.n_items, np.uint64)
    for part in parts:
        for column in part.T:
            marks = _mixed(marks ^ _mixed(column + np.uint64(0x9E3779B97F4A7C15)))
    return marks


def _mixed(bits: Marks) -> Marks:
    """Scatter 64 bits over 64 bits, one to one.

    References
    ----------
    Steele, Lea and Flood (2014), Fast Splittable Pseudorandom Number Generators.
    """
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
