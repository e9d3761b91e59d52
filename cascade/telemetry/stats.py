"""What a predictor has done, as a frozen snapshot, and in words.

Knows nothing of stages or policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cascade.core.html import table
from cascade.telemetry.durations import Distribution


class CacheFigures(Protocol):
    """What is read of the snapshot of a result cache."""

    @property
    def lookups(self) -> int:
        """All look-ups."""
        ...

    @property
    def hit_ratio(self) -> float:
        """Share of the look-ups that needed no stage of their own."""
        ...

    @property
    def entries(self) -> int:
        """Entries there are."""
        ...

    @property
    def bytes(self) -> int:
        """What they take."""
        ...


@dataclass(frozen=True, slots=True)
class LoadNow:
    """How things stand where requests wait for lanes.

    Attributes
    ----------
    n_waiting : int
        Requests that wait.
    price : float
        Load price, in accuracy per millisecond; 0 for no load.
    slowdown : mapping from str to tuple of float
        By stage: measured over profiled service times on every lane.
    wake_late_ms : float
        0.99 quantile of how late timed waits ended of late.
    """

    n_waiting: int = 0
    price: float = 0.0
    slowdown: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    wake_late_ms: float = 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """What a predictor has done since it was made.

    Attributes
    ----------
    n_requests : int
        Items answered, one by one or in batches.
    n_in_time : int
        Items whose answer was ready before the deadline; items without one count as in time.
    n_by_status : mapping from str to int
        Items by how they ended: answered, degraded, abstained.
    path_counts : mapping from tuple of str to int
        Items by the stages that ran for them, in order.
    n_faults : mapping from str to int
        Failed calls by stage.
    mean_latency_ms, max_latency_ms, mean_queue_wait_ms : float
        Of the items answered one by one; 0 before the first.
    n_certified : int
        Items whose answer is within the guarantee of the policy that gave it.
    n_audited, n_audit_faults, n_audits_dropped : int
        Requests that ran through every stage after they were answered; those of them that failed; and those that were drawn
        but not run, as too many waited, the input could not be copied, or the predictor was closed.
    n_rejected, n_expired, n_shed, n_cancelled, n_failed : int
        Requests without an answer: refused on arrival; too late to start; given up so that others are in time; cancelled by
        who asked; and those that no stage, or a closed predictor, could answer. Not among ``n_requests``.
    n_strict, n_strict_late : int
        Strict requests that had an outcome by an answer, and those of them that came after their deadline.
    n_waiting, price, slowdown, wake_late_ms
        As in `LoadNow`.
    n_by_outcome : mapping from tuple of str to int
        Requests by outcome and class: ``("answered", "normal")``, ``("rejected", "interactive")``. Rows of `predict_batch` are
        normal.
    latency, queue_wait : Distribution or None
        Of the items answered one by one; None with ``telemetry=False``, as what follows is empty.
    service : mapping from tuple of str and int to Distribution
        By stage and largest size of a class of batches (1, 2, 4, 8, ...): how long its runs took. Of requests that a caller's
        own thread answers, one in 32 is measured.
    batches : mapping from tuple of str, int and str to int
        Batches of requests that queued, by stage, size, and why there was not one more in it: ``"nobody else"``, ``"limit"`` or
        ``"deadline"``.
    cache : CacheStats or None
        The figures of the result cache; None without one.
    """

    n_requests: int
    n_in_time: int
    n_by_status: Mapping[str, int]
    path_counts: Mapping[tuple[str, ...], int]
    n_faults: Mapping[str, int]
    mean_latency_ms: float
    max_latency_ms: float
    mean_queue_wait_ms: float
    n_certified: int = 0
    n_audited: int = 0
    n_audit_faults: int = 0
    n_audits_dropped: int = 0
    n_rejected: int = 0
    n_expired: int = 0
    n_shed: int = 0
    n_cancelled: int = 0
    n_failed: int = 0
    n_strict: int = 0
    n_strict_late: int = 0
    n_waiting: int = 0
    price: float = 0.0
    slowdown: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    wake_late_ms: float = 0.0
    n_by_outcome: Mapping[tuple[str, str], int] = field(default_factory=dict)
    latency: Distribution | None = None
    queue_wait: Distribution | None = None
    service: Mapping[tuple[str, int], Distribution] = field(default_factory=dict)
    batches: Mapping[tuple[str, int, str], int] = field(default_factory=dict)
    cache: CacheFigures | None = None

    @property
    def n_by_exit(self) -> dict[str, int]:
        """Items by the last stage that ran for them; ``""`` where none did."""
        counts: dict[str, int] = {}
        for path, n in self.path_counts.items():
            name = path[-1] if path else ""
            counts[name] = counts.get(name, 0) + n
        return counts

    @property
    def n_offered(self) -> int:
        """All requests that ended, cancelled ones aside."""
        return self.n_requests + self.n_rejected + self.n_expired + self.n_shed + self.n_failed

    @property
    def slo_attainment(self) -> float:
        """Share of all requests, cancelled ones aside, that were answered in time; 1 before the first."""
        return self.n_in_time / self.n_offered if self.n_offered else 1.0

    @property
    def strict_miss_rate(self) -> float:
        """Share of the answers to strict requests that came late; 0 before the first."""
        return self.n_strict_late / self.n_strict if self.n_strict else 0.0

    @property
    def certified_share(self) -> float:
        """Share of the items whose answer is within a guarantee; 0 where there is none, or before the first."""
        return self.n_certified / self.n_requests if self.n_requests else 0.0

    @property
    def in_time_share(self) -> float:
        """Share of the items answered in time; 1 before the first."""
        return self.n_in_time / self.n_requests if self.n_requests else 1.0

    def __repr__(self) -> str:
        width = max(len(name) for name, _ in self._lines())
        return "\n".join(["Stats", *(f"  {name:{width}}  {text}" for name, text in self._lines())])

    def _repr_html_(self) -> str:
        return table([], self._lines(), caption="Stats")

    def _lines(self) -> list[tuple[str, str]]:
        """What is worth reading, as names and texts."""
        unanswered = {name: getattr(self, f"n_{name}") for name in _UNANSWERED}
        paths = {" > ".join(path) or "no stage": n for path, n in self.path_counts.items()}
        strict = f"{self.n_strict}, {self.n_strict_late} late" if self.n_strict else ""
        lines = [
            ("requests", f"{self.n_requests} answered, {self.n_in_time} in time ({self.in_time_share:.1%})"),
            ("answers", _counts(self.n_by_status)),
            ("no answer", _counts(unanswered)),
            ("strict", strict),
            ("certified", f"{self.n_certified} ({self.certified_share:.1%})" if self.n_certified else ""),
            ("paths", _counts(paths)),
            ("latency", self._times(self.latency, self.mean_latency_ms)),
            ("queue wait", self._times(self.queue_wait, self.mean_queue_wait_ms)),
            ("service", self._service()),
            ("batches", self._batches()),
            ("load", self._load()),
            ("cache", _cache(self.cache)),
            ("faults", _counts(self.n_faults)),
            ("audits", self._audits()),
        ]
        return [(name, text) for name, text in lines if text]

    def _times(self, durations: Distribution | None, mean_ms: float) -> str:
        if durations is None:
            return f"mean {mean_ms:.3g} ms" if self.n_requests else ""
        if not durations.n:
            return ""
        p50_ms, p99_ms = durations.quantiles_ms([0.5, 0.99])
        return f"mean {mean_ms:.3g} ms, p50 {p50_ms:.3g}, p99 {p99_ms:.3g}, max {durations.max_ms:.3g}"

    def _service(self) -> str:
        """Mean time of one run, by stage and class of batch sizes."""
        by_stage: dict[str, list[str]] = {}
        for (stage, size), took in self.service.items():
            by_stage.setdefault(stage, []).append(f"{took.mean_ms:.3g} ms at {size}")
        return "; ".join(f"{stage} {', '.join(texts)}" for stage, texts in by_stage.items())

    def _batches(self) -> str:
        n = sum(self.batches.values())
        if not n:
            return ""
        reasons: dict[str, int] = {}
        for (_, _, reason), count in self.batches.items():
            reasons[reason] = reasons.get(reason, 0) + count
        mean = sum(size * count for (_, size, _), count in self.batches.items()) / n
        return f"{n} of {mean:.3g} requests on average, closed by: {_counts(reasons)}"

    def _load(self) -> str:
        slow = ", ".join(f"{stage} {max(factors):.2f}" for stage, factors in self.slowdown.items() if factors)
        text = f"{self.n_waiting} waiting, price {self.price:.3g} per ms"
        return f"{text}, slow-down {slow}" if slow else text

    def _audits(self) -> str:
        n = self.n_audited + self.n_audit_faults + self.n_audits_dropped
        return f"{self.n_audited}, {self.n_audit_faults} failed, {self.n_audits_dropped} dropped" if n else ""


_UNANSWERED = ("rejected", "expired", "shed", "cancelled", "failed")


def _counts(counts: Mapping[str, int]) -> str:
    """Counts in words, the largest first; those of 0 are left out."""
    by_count = sorted(counts.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name} {n}" for name, n in by_count if n)


def _cache(cache: CacheFigures | None) -> str:
    if cache is None:
        return ""
    return f"{cache.hit_ratio:.1%} of {cache.lookups} look-ups needed no stage, {cache.entries} entries, {cache.bytes} bytes"
