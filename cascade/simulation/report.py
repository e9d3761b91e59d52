"""What came of a simulated workload: an outcome for every request, and figures over them.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.evidence import members_of
from cascade.core.records import FloatArray, IntArray
from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Priority
from cascade.simulation.figures import HEADER, Ending, Figures, figures_of, number_or_none, plain_figures, table_row
from cascade.simulation.runs import Runs
from cascade.simulation.tables import milliseconds, percent, text_table

_ROUNDING_MS = 1e-9
_SHOWN = 5


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

    @property
    def evidence_shares(self) -> dict[str, float]:
        """Share of the answers that rest on each set of stages, such as ``"small + big"``; the most frequent first."""
        sets, counts = np.unique(self.evidence_set[self.is_answered], return_counts=True)
        order, total = np.argsort(-counts, kind="stable"), counts.sum()
        return {" + ".join(self.stages[j] for j in members_of(int(sets[i]))): float(counts[i] / total) for i in order}

    def price_over_time(self, n_bins: int = 60) -> tuple[FloatArray, FloatArray]:
        """The load price over time: mean over the requests in batches that started in each of equal periods.

        Returns
        -------
        start_ms, price : ndarray, shape (n_bins,)
            Beginning of each period, and accuracy per millisecond; NaN where no batch started.

        Raises
        ------
        ConfigurationError
            If there is to be no period.
        """
        if n_bins < 1:
            raise ConfigurationError(f"expected n_bins of at least 1, got {n_bins}")
        edges = np.linspace(0.0, self.duration_ms, n_bins + 1)
        which = np.clip(np.searchsorted(edges, self.runs.start_ms, side="right") - 1, 0, n_bins - 1)
        n_rows = np.bincount(which, self.runs.size, n_bins)
        total = np.bincount(which, self.runs.size * self.runs.price, n_bins)
        return edges[:-1], np.divide(total, n_rows, out=np.full(n_bins, np.nan), where=n_rows > 0)

    def figures(self, rows: Any = slice(None)) -> Figures:
        """Figures over some of the requests.

        Parameters
        ----------
        rows : mask, indices or slice
            At least one of them; by default all.
        """
        return figures_of(self.ending[rows], self.in_time[rows], self.correct[rows], self.latency_ms[rows])

    def by_priority(self) -> dict[Priority, Figures]:
        """Figures of each class of requests that occurs."""
        return {Priority(int(c)): self.figures(self.priority == c) for c in np.unique(self.priority)}

    def by_budget(self) -> dict[float, Figures]:
        """Figures of each budget that occurs, in milliseconds, ascending."""
        return {float(b): self.figures(self.budget_ms == b) for b in np.unique(self.budget_ms)}

    def to_dict(self) -> dict[str, Any]:
        """The figures, without the arrays, as values that JSON knows: what is not a number or infinite is None."""
        start_ms, price = self.price_over_time()
        return {
            **plain_figures(self.figures()),
            "goodput_rps": self.goodput_rps,
            "duration_ms": self.duration_ms,
            "n_lanes": self.n_lanes,
            "utilisation": self.utilisation,
            "mean_batch_size": number_or_none(self.runs.mean_size),
            "endings": {ending.name.lower(): count for ending, count in self.counts.items()},
            "evidence": self.evidence_shares,
            "by_priority": {c.name.lower(): plain_figures(figures) for c, figures in self.by_priority().items()},
            "by_budget": [
                {"budget_ms": number_or_none(b), **plain_figures(figures)} for b, figures in self.by_budget().items()
            ],
            "price_over_time": {
                "start_ms": start_ms.tolist(),
                "price": [number_or_none(value) for value in price.tolist()],
            },
        }

    def __repr__(self) -> str:
        in_time, right = percent(self.slo_attainment), percent(self.effective_accuracy)
        return f"Report({self.n_requests} requests, {in_time} in time, {right} right and in time)"

    def __str__(self) -> str:
        rows = [table_row("all", self.figures())]
        by_priority, by_budget = self.by_priority(), self.by_budget()
        if len(by_priority) > 1:
            rows += [table_row(c.name.lower(), figures) for c, figures in by_priority.items()]
        if len(by_budget) > 1:
            rows += [table_row(f"within {milliseconds(b)}", figures) for b, figures in by_budget.items()]
        ended = [f"{ending.name.lower()} {percent(n / self.n_requests)}" for ending, n in self.counts.items() if n]
        shares = [f"{stages} {percent(share)}" for stages, share in self.evidence_shares.items()]
        more = [f"{len(shares) - _SHOWN} other sets"] if len(shares) > _SHOWN else []
        price = float(self.price[self.is_answered].mean()) if self.is_answered.any() else 0.0
        summary = (
            f"{self.n_requests} requests in {self.duration_ms / 1000.0:.1f} s, {self.goodput_rps:.1f} a second in time; "
            f"lanes: {self.n_lanes}, busy {percent(self.utilisation)}"
        )
        return "\n".join(
            [
                summary,
                text_table(HEADER, rows),
                f"ended: {', '.join(ended)}",
                f"answers from: {', '.join([*shares[:_SHOWN], *more]) or 'none'}",
                f"batches: {self.runs.mean_size:.1f} requests on average; price of an answer: {price:.2g} on average",
            ]
        )
