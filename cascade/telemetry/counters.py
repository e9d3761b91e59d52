"""Counters of answered requests, and a frozen snapshot of them.

Knows nothing of stages or policies. The owner serialises the calls that count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cascade.core.records import Prediction, Status

_ANSWERED = Status.ANSWERED


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

    @property
    def certified_share(self) -> float:
        """Share of the items whose answer is within a guarantee; 0 where there is none, or before the first."""
        return self.n_certified / self.n_requests if self.n_requests else 0.0

    @property
    def in_time_share(self) -> float:
        """Share of the items answered in time; 1 before the first."""
        return self.n_in_time / self.n_requests if self.n_requests else 1.0


class Counters:
    """Mutable counts; `snapshot` freezes them."""

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
        "_n_timed",
        "_n_timed_otherwise",
        "_paths",
        "_statuses",
        "_wait_ms",
    )

    def __init__(self) -> None:
        self._n_batched = self._n_late = self._n_timed = self._n_timed_otherwise = self._n_certified = 0
        self._n_audited = self._n_audit_faults = self._n_audits_dropped = 0
        self._latency_ms = self._max_latency_ms = self._wait_ms = 0.0
        self._paths: dict[tuple[str, ...], int] = {}
        self._statuses: dict[str, int] = {}
        self._faults: dict[str, int] = {}

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

    def snapshot(self) -> Stats:
        """The counts as they are now."""
        n = max(self._n_timed, 1)
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
        )

    def _count_status(self, status: str, n: int) -> None:
        self._statuses[status] = self._statuses.get(status, 0) + n

    def _by_status(self) -> dict[str, int]:
        """Items by how they ended; those that were answered by themselves as planned are counted by what is left over."""
        as_planned, counts = self._n_timed - self._n_timed_otherwise, dict(self._statuses)
        if as_planned:
            counts[_ANSWERED.value] = counts.get(_ANSWERED.value, 0) + as_planned
        return counts
