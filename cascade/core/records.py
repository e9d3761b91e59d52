"""The values that pass between the parts of the package.

Pure: this module knows no model, clock, lock or file.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cascade.core.html import table

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Status(Enum):
    """How a request ended.

    ``ANSWERED``: as planned. ``DEGRADED``: from less than was planned. ``ABSTAINED``: the confidence
    was below ``abstain_below``, so there is no label.
    """

    ANSWERED = "answered"
    DEGRADED = "degraded"
    ABSTAINED = "abstained"


@dataclass(frozen=True, slots=True)
class StageOutput:
    """What a stage says about a batch when it is not a table of class scores.

    Attributes
    ----------
    outputs : array of shape (n,)
        One answer per item: any hashable labels.
    confidence : ndarray of shape (n,)
        One number in [0, 1] per item; higher means that the answer is more likely right.
    """

    outputs: Any
    confidence: Any


class StageLike(Protocol):
    """What the rest of the package needs of a stage."""

    @property
    def name(self) -> str:
        """The stage's name, unique within a cascade."""
        ...

    @property
    def scores(self) -> str:
        """``"probs"`` or ``"logits"``: how the table of scores is to be read."""
        ...

    @property
    def classes(self) -> tuple[Hashable, ...] | None:
        """The caller's labels, one per column of the scores; None if unknown."""
        ...

    @property
    def requires(self) -> str | None:
        """Name of the stage that must have run before this one; None if there is none."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identifies this version of the model."""
        ...

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """Scores ``(n, c)`` or a `StageOutput` for a batch, and what the next exit continues from."""
        ...

    def take(self, carry: Any, rows: IntArray) -> Any:
        """The given rows of a carry."""
        ...

    def join(self, carries: Sequence[Any]) -> Any:
        """Several carries, one after the other, as one."""
        ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one request.

    Attributes
    ----------
    label : object
        The caller's own label; None if the predictor abstained.
    probs : ndarray of shape (c,) or None
        Pooled, calibrated class probabilities in the order of the classes.
    confidence : float
        Estimated probability, in [0, 1], that the label is right.
    path : tuple of str
        Names of the stages that the answer rests on, in the order in which they spoke; with ``from_cache`` the first of them, or all, ran for
        an earlier request.
    status : Status
    budget_ms, latency_ms, queue_wait_ms : float
        Time allowed (None: unlimited), time from the call to the answer, and the part of it spent
        waiting for the lane.
    in_time : bool
        True if the answer was ready before the deadline.
    from_cache : bool
        True if some evidence came from the result cache: from an earlier request, one at the same time, or one about a near duplicate.
    final : bool
        True unless a better answer to the same request follows.
    id : int or None
        Number of the request, unique within its predictor and ascending; what `Predictor.feedback` asks for.
    """

    label: Any
    probs: FloatArray | None
    confidence: float
    path: tuple[str, ...]
    status: Status
    budget_ms: float | None
    latency_ms: float
    queue_wait_ms: float
    in_time: bool
    from_cache: bool = False
    final: bool = True
    id: int | None = None

    def explain(self) -> str:
        """One sentence on how this answer came about."""
        stages = " -> ".join(self.path) if self.path else "no stage (the class prior)"
        if self.from_cache:
            stages += " (some of them for an earlier request)" if len(self.path) > 1 else " (for an earlier request)"
        allowed = "no deadline" if self.budget_ms is None else f"{self.budget_ms:.3g} ms allowed"
        timing = f"{self.latency_ms:.3g} ms, {allowed}, {'in time' if self.in_time else 'late'}"
        answer = "no label" if self.status is Status.ABSTAINED else f"{self.label!r}"
        return f"{answer} ({self.status.value}, confidence {self.confidence:.3f}) from {stages}; {timing}."

    def _repr_html_(self) -> str:
        allowed = "no deadline" if self.budget_ms is None else f"of {self.budget_ms:.4g} allowed"
        facts = [
            ("label", "no label" if self.status is Status.ABSTAINED else self.label),
            ("confidence", f"{self.confidence:.3f}"),
            ("path", " → ".join(self.path) if self.path else "no stage: the class prior"),
            ("status", self.status.value if self.in_time else f"{self.status.value}, late"),
            ("time, ms", f"{self.latency_ms:.3g}, {allowed}"),
            ("from the cache", "yes" if self.from_cache else "no"),
        ]
        return table([], facts)


class OpenPrediction:
    """A `Prediction` whose fields are still being set; giving it the class `Prediction` then seals it.

    That takes a third of the time of the constructor: a frozen class pays a tenth of a microsecond for every field.
    """

    __slots__ = Prediction.__slots__

    label: Any
    probs: FloatArray | None
    confidence: float
    path: tuple[str, ...]
    status: Status
    budget_ms: float | None
    latency_ms: float
    queue_wait_ms: float
    in_time: bool
    from_cache: bool
    final: bool
    id: int | None
