"""What came of a simulated workload: an outcome for every request, and figures over them.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.records import FloatArray, IntArray
from cascade.scheduling.messages import Priority
from cascade.simulation.runs import Runs

QUANTILES = (0.5, 0.9, 0.99, 0.999)
_ROUNDING_MS = 1e-9


class Ending(IntEnum):
    """How a request ended.

    Answered as planned or from less than was planned; refused on arrival, too late to start, given up so that others are in
    time, or for want of a stage that works.
    """

    ANSWERED = 1
    DEGRADED = 2
    REJECTED = 3
    EXPIRED = 4
    SHED = 5
    FAILED = 6


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures over some of the requests.

    Attributes
    ----------
    n_requests : int
    slo_attainment : float
        In-time answers over all offered requests.
    attainment_of_admitted : float
        In-time answers over all requests that were not refused on arrival; NaN if all were.
    effective_accuracy : float
        Share of right answers in time over all offered requests: a late or a missing answer counts as wrong.
    accuracy_of_answers : float
        Share of right answers over all answers, late ones included; NaN without any.
    latency_ms : mapping from float to float
        Quantiles of the time from arrival to answer, over the answers; NaN without any.
    """

    n_requests: int
    slo_attainment: float
    attainment_of_admitted: float
    effective_accuracy: float
    accuracy_of_answers: float
    latency_ms: dict[float, float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Report:
    """What came of m simulated requests, in the order of their arrival.

    Attributes
    ----------
    arrival_ms, budget_ms, end_ms : ndarray, shape (m,)
        Instant of arrival, time allowed (infinite for no deadline), instant of the answer or of the refusal.
    priority : ndarray of int64, shape (m,)
        `Priority`.
    ending : ndarray of uint8, shape (m,)
        `Ending`.
    correct : ndarray of bool, shape (m,)
        Whether the answer is right, late or not; False without an answer.
    evidence_set : ndarray of int64, shape (m,)
        Bit mask of the stages that the answer rests on; 0 without an answer.
    price : ndarray, shape (m,)
        Load price of the last batch that each request was in, in accuracy per millisecond; 0 if it was in none.
    runs : Runs
        Every batch.
    stages : tuple of str
    n_lanes : int
    """

    arrival_ms: FloatArray
    budget_ms: FloatArray
    priority: IntArray
    end_ms: FloatArray
    ending: NDArray[np.uint8]
    correct: NDArray[np.bool_]
    evidence_set: IntArray
    price: FloatArray
    runs: Runs
    stages: tuple[str, ...]
    n_lanes: int

    @property
    def n_requests(self) -> int:
        """The number of offered requests m."""
        return len(self.arrival_ms)

    @property
    def latency_ms(self) -> FloatArray:
        """Time from arrival to the answer or the refusal, shape (m,)."""
        return self.end_ms - self.arrival_ms

    @property
    def is_answered(self) -> NDArray[np.bool_]:
        """Whether there is an answer, shape (m,)."""
        return np.asarray(self.ending <= Ending.DEGRADED)

    @property
    def in_time(self) -> NDArray[np.bool_]:
        """Whether there is an answer by the deadline, shape (m,)."""
        return np.asarray(self.is_answered & (self.end_ms <= self.arrival_ms + self.budget_ms + _ROUNDING_MS))

    @property
    def duration_ms(self) -> float:
        """From 0 to the last outcome."""
        return float(self.end_ms.max())

    @property
    def slo_attainment(self) -> float:
        """In-time answers over all offered requests."""
        return float(self.in_time.mean())

    @property
    def attainment_of_admitted(self) -> float:
        """In-time answers over all requests that were not refused on arrival; NaN if all were."""
        return self.figures().attainment_of_admitted

    @property
    def effective_accuracy(self) -> float:
        """Share of right answers in time over all offered requests: a late or a missing answer counts as wrong."""
        return float((self.correct & self.in_time).mean())

    @property
    def goodput_rps(self) -> float:
        """In-time answers per second; 0 if no time has passed."""
        return 1000.0 * float(self.in_time.sum()) / self.duration_ms if self.duration_ms else 0.0

    @property
    def utilisation(self) -> float:
        """Share of the time of the lanes in which batches ran; 0 if no time has passed."""
        return self.runs.busy_ms / (self.duration_ms * self.n_lanes) if self.duration_ms else 0.0

    @property
    def counts(self) -> dict[Ending, int]:
        """Number of requests of each ending."""
        return {ending: int((self.ending == ending).sum()) for ending in Ending}

    def latency_quantile_ms(self, level: float) -> float:
        """Quantile of the time from arrival to answer, over the answers; NaN without any."""
        answered = self.latency_ms[self.is_answered]
        return float(np.quantile(answered, level)) if len(answered) else float("nan")

    def figures(self, rows: Any = slice(None)) -> Figures:
        """Figures over some of the requests.

        Parameters
        ----------
        rows : mask, indices or slice
            At least one of them; by default all.
        """
        in_time, answered, correct = self.in_time[rows], self.is_answered[rows], self.correct[rows]
        latency_ms = self.latency_ms[rows][answered]
        n_admitted = int((self.ending[rows] != Ending.REJECTED).sum())
        nan = float("nan")
        return Figures(
            n_requests=len(in_time),
            slo_attainment=float(in_time.mean()),
            attainment_of_admitted=float(in_time.sum()) / n_admitted if n_admitted else nan,
            effective_accuracy=float((correct & in_time).mean()),
            accuracy_of_answers=float(correct[answered].mean()) if answered.any() else nan,
            latency_ms={
                level: float(np.quantile(latency_ms, level)) if len(latency_ms) else nan for level in QUANTILES
            },
        )

    def by_priority(self) -> dict[Priority, Figures]:
        """Figures of each class of requests that occurs."""
        return {Priority(int(c)): self.figures(self.priority == c) for c in np.unique(self.priority)}

    def by_budget(self) -> dict[float, Figures]:
        """Figures of each budget that occurs, in milliseconds, ascending."""
        return {float(b): self.figures(self.budget_ms == b) for b in np.unique(self.budget_ms)}
