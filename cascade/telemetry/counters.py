"""Counters of answered requests, and a frozen snapshot of them.

Knows nothing of stages or policies. The owner serialises the calls that count; several counters are added up when asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType
from typing import TypeVar

from cascade.core.records import Prediction, Status

_ANSWERED = Status.ANSWERED
_Key = TypeVar("_Key", tuple[str, ...], str)


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


@dataclass(frozen=True, slots=True)
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

    @property
    def slo_attainment(self) -> float:
        """Share of all requests, cancelled ones aside, that were answered in time; 1 before the first."""
        n = self.n_requests + self.n_rejected + self.n_expired + self.n_shed + self.n_failed
        return self.n_in_time / n if n else 1.0

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


class Counters:
    """Mutable counts; `snapshot` freezes them.

    Attributes
    ----------
    lock : Lock
        For owners that have no other to serialise their calls.
    """

    __slots__ = (
        "_faults",
        "_latency_ms",
        "_max_latency_ms",
        "_n_audit_faults",
        "_n_audited",
        "_n_audits_dropped",
        "_n_batched",
        "_n_certified",
        "_n_late",
        "_n_strict",
        "_n_strict_late",
        "_n_timed",
        "_n_timed_otherwise",
        "_paths",
        "_statuses",
        "_unanswered",
        "_wait_ms",
        "lock",
    )

    def __init__(self) -> None:
        self.renew()
        self._unanswered: dict[str, int] = {}
        self._n_batched = self._n_late = self._n_timed = self._n_timed_otherwise = self._n_certified = 0
        self._n_audited = self._n_audit_faults = self._n_audits_dropped = self._n_strict = self._n_strict_late = 0
        self._latency_ms = self._max_latency_ms = self._wait_ms = 0.0
        self._paths: dict[tuple[str, ...], int] = {}
        self._statuses: dict[str, int] = {}
        self._faults: dict[str, int] = {}

    def renew(self) -> None:
        """Free the lock, whoever holds it: in a child process the holder is not there."""
        self.lock = Lock()

    def count_answer(self, answer: Prediction) -> None:
        """Count one item that was answered by itself."""
        self._n_timed += 1
        path, latency_ms = answer.path, answer.latency_ms
        self._paths[path] = self._paths.get(path, 0) + 1
        self._latency_ms += latency_ms
        if latency_ms > self._max_latency_ms:  # noqa: PLR1730 - three times as fast as max
            self._max_latency_ms = latency_ms
        # What is rare is counted, so that the usual answer touches little.
        if answer.queue_wait_ms:
            self._wait_ms += answer.queue_wait_ms
        if not answer.in_time:
            self._n_late += 1
        if answer.status is not _ANSWERED:
            self._n_timed_otherwise += 1
            self._count_status(answer.status.value, 1)

    def count_batch(self, paths: Mapping[tuple[str, ...], int], statuses: Mapping[str, int], n_in_time: int) -> None:
        """Count the items of one batch."""
        self._n_batched += sum(paths.values())
        self._n_late += sum(paths.values()) - n_in_time
        for path, n in paths.items():
            self._paths[path] = self._paths.get(path, 0) + n
        for status, n in statuses.items():
            self._count_status(status, n)

    def count_certified(self, n: int) -> None:
        """Count n of the items answered as within the guarantee."""
        self._n_certified += n

    def count_audit(self) -> None:
        """Count one audit that has run."""
        self._n_audited += 1

    def count_audit_fault(self) -> None:
        """Count one audit that failed."""
        self._n_audit_faults += 1

    def count_audit_dropped(self) -> None:
        """Count one audit that is not to be run."""
        self._n_audits_dropped += 1

    def count_fault(self, stage: str) -> None:
        """Count one failed call of a stage."""
        self._faults[stage] = self._faults.get(stage, 0) + 1

    def count_unanswered(self, reason: str) -> None:
        """Count one request without an answer: rejected, expired, shed, cancelled or failed."""
        self._unanswered[reason] = self._unanswered.get(reason, 0) + 1

    def count_strict(self, *, in_time: bool) -> None:
        """Count one answer to a strict request."""
        self._n_strict += 1
        self._n_strict_late += not in_time

    def snapshot(self, load: LoadNow | None = None) -> Stats:
        """The counts as they are now, and how things stand."""
        n, unanswered, load = max(self._n_timed, 1), self._unanswered, load or LoadNow()
        return Stats(
            self._n_timed + self._n_batched,
            self._n_timed + self._n_batched - self._n_late,
            MappingProxyType(self._by_status()),
            MappingProxyType(dict(self._paths)),
            MappingProxyType(dict(self._faults)),
            self._latency_ms / n,
            self._max_latency_ms,
            self._wait_ms / n,
            self._n_certified,
            self._n_audited,
            self._n_audit_faults,
            self._n_audits_dropped,
            n_rejected=unanswered.get("rejected", 0),
            n_expired=unanswered.get("expired", 0),
            n_shed=unanswered.get("shed", 0),
            n_cancelled=unanswered.get("cancelled", 0),
            n_failed=unanswered.get("failed", 0),
            n_strict=self._n_strict,
            n_strict_late=self._n_strict_late,
            n_waiting=load.n_waiting,
            price=load.price,
            slowdown=MappingProxyType(dict(load.slowdown)),
            wake_late_ms=load.wake_late_ms,
        )

    @classmethod
    def total(cls, parts: Iterable[Counters]) -> Counters:
        """The sum of several."""
        whole = cls()
        for part in parts:
            whole._add(part)
        return whole

    def _add(self, other: Counters) -> None:
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._max_latency_ms = max(self._max_latency_ms, other._max_latency_ms)
        _add_counts(self._paths, other._paths)
        _add_counts(self._statuses, other._statuses)
        _add_counts(self._faults, other._faults)
        _add_counts(self._unanswered, other._unanswered)

    def _count_status(self, status: str, n: int) -> None:
        self._statuses[status] = self._statuses.get(status, 0) + n

    def _by_status(self) -> dict[str, int]:
        """Items by how they ended; those that were answered by themselves as planned are counted by what is left over."""
        as_planned, counts = self._n_timed - self._n_timed_otherwise, dict(self._statuses)
        if as_planned:
            counts[_ANSWERED.value] = counts.get(_ANSWERED.value, 0) + as_planned
        return counts


_SUMMED = [name for name in Counters.__slots__ if name.startswith(("_n_", "_latency", "_wait"))]


def _add_counts(mine: dict[_Key, int], theirs: dict[_Key, int]) -> None:
    # Of a copy, which nobody changes meanwhile.
    for key, n in dict(theirs).items():
        mine[key] = mine.get(key, 0) + n
