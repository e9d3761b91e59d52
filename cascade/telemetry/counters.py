"""Counters of answered requests.

Knows nothing of stages or policies. The owner serialises the calls that count; several counters are added up when asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil, log2
from threading import Lock
from types import MappingProxyType

from cascade.core.records import Prediction, Status
from cascade.telemetry.durations import FIRST, LEAST_MS, MOST_MS, PER_OCTAVE, bucket_of
from cascade.telemetry.measures import Measures, add_counts
from cascade.telemetry.stats import CacheFigures, LoadNow, Stats

NORMAL = "normal"
"""The class of a request that says nothing of one; only others are counted, so that the usual answer touches little."""
_ANSWERED = Status.ANSWERED


class Counters:
    """Mutable counts; `snapshot` freezes them.

    Parameters
    ----------
    measures : Measures, optional
        Where durations and batches are counted; by default they are not.

    Attributes
    ----------
    lock : Lock
        For owners that have no other to serialise their calls.
    measures : Measures or None
    """

    __slots__ = (
        "_buckets",
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
        "_of_classes",
        "_paths",
        "_statuses",
        "_unanswered",
        "_wait_ms",
        "lock",
        "measures",
    )

    def __init__(self, measures: Measures | None = None) -> None:
        self.renew()
        self.measures = measures
        self._buckets = None if measures is None else measures.latency.counts
        self._of_classes: dict[tuple[str, str], int] = {}
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

    def count_answer(self, answer: Prediction, priority: str = NORMAL) -> None:
        """Count one item that was answered by itself, in the class that it asked for."""
        self._n_timed += 1
        path, latency_ms = answer.path, answer.latency_ms
        self._paths[path] = self._paths.get(path, 0) + 1
        self._latency_ms += latency_ms
        if latency_ms > self._max_latency_ms:  # noqa: PLR1730 - three times as fast as max
            self._max_latency_ms = latency_ms
        if self._buckets is not None:
            # `bucket_of` written out: a call less is a twentieth of a microsecond.
            if LEAST_MS < latency_ms < MOST_MS:
                self._buckets[ceil(log2(latency_ms) * PER_OCTAVE) + FIRST] += 1
            else:
                self._buckets[bucket_of(latency_ms)] += 1
        # What is rare is counted, so that the usual answer touches little.
        if answer.queue_wait_ms:
            self._wait_ms += answer.queue_wait_ms
            if self.measures is not None:
                self.measures.queue_wait.note(answer.queue_wait_ms)
        if priority != NORMAL:
            self._count_class(answer.status.value, priority)
        if not answer.in_time:
            self._n_late += 1
        if answer.status is not _ANSWERED:
            self._n_timed_otherwise += 1
            self._count_status(answer.status.value)

    def count_batch(self, paths: Mapping[tuple[str, ...], int], statuses: Mapping[str, int], n_in_time: int) -> None:
        """Count the items of one batch."""
        n = sum(paths.values())
        self._n_batched += n
        self._n_late += n - n_in_time
        add_counts(self._paths, paths)
        add_counts(self._statuses, statuses)

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

    def count_unanswered(self, reason: str, priority: str = NORMAL) -> None:
        """Count one request without an answer: rejected, expired, shed, cancelled or failed."""
        self._unanswered[reason] = self._unanswered.get(reason, 0) + 1
        if priority != NORMAL:
            self._count_class(reason, priority)

    def count_service(self, stage: str, n: int, service_ms: float) -> None:
        """Count one run of a stage for n rows."""
        if self.measures is not None:
            self.measures.note_service(stage, n, service_ms)

    def count_run(self, stage: str, n: int, closed_by: str) -> None:
        """Count one batch of n requests that is to run."""
        if self.measures is not None:
            self.measures.note_batch(stage, n, closed_by)

    def count_strict(self, *, in_time: bool) -> None:
        """Count one answer to a strict request."""
        self._n_strict += 1
        self._n_strict_late += not in_time

    def snapshot(self, load: LoadNow | None = None, cache: CacheFigures | None = None) -> Stats:
        """The counts as they are now, and how things stand."""
        n, unanswered, load, measures = max(self._n_timed, 1), self._unanswered, load or LoadNow(), self.measures
        if measures is not None:
            self._complete(measures)
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
            n_by_outcome=MappingProxyType(self._by_outcome()),
            latency=None if measures is None else measures.latency.snapshot(),
            queue_wait=None if measures is None else measures.queue_wait.snapshot(),
            service=MappingProxyType({} if measures is None else measures.frozen_service()),
            batches=MappingProxyType({} if measures is None else dict(sorted(measures.batches.items()))),
            cache=cache,
        )

    def _complete(self, measures: Measures) -> None:
        """Let the histograms of answers agree with what is counted here: on the way only what is new is touched."""
        latency, wait = measures.latency, measures.queue_wait
        latency.total_ms, latency.max_ms = self._latency_ms, self._max_latency_ms
        wait.counts[0] = max(self._n_timed - sum(wait.counts[1:]), 0)

    @classmethod
    def total(cls, parts: Iterable[Counters]) -> Counters:
        """The sum of several."""
        parts = list(parts)
        whole = cls(Measures() if any(part.measures is not None for part in parts) else None)
        for part in parts:
            whole._add(part)
        return whole

    def _add(self, other: Counters) -> None:
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._max_latency_ms = max(self._max_latency_ms, other._max_latency_ms)
        # Of copies, which nobody changes meanwhile.
        add_counts(self._paths, dict(other._paths))
        add_counts(self._statuses, dict(other._statuses))
        add_counts(self._faults, dict(other._faults))
        add_counts(self._unanswered, dict(other._unanswered))
        add_counts(self._of_classes, dict(other._of_classes))
        if self.measures is not None and other.measures is not None:
            self.measures.add(other.measures)

    def _count_status(self, status: str) -> None:
        self._statuses[status] = self._statuses.get(status, 0) + 1

    def _count_class(self, outcome: str, priority: str) -> None:
        key = outcome, priority
        self._of_classes[key] = self._of_classes.get(key, 0) + 1

    def _by_outcome(self) -> dict[tuple[str, str], int]:
        """All requests by outcome and class; those that said nothing of one are what is left over."""
        left = {**self._by_status(), **self._unanswered}
        for (outcome, _), n in self._of_classes.items():
            left[outcome] = left.get(outcome, 0) - n
        normal = {(outcome, NORMAL): n for outcome, n in left.items() if n}
        return dict(sorted({**normal, **self._of_classes}.items()))

    def _by_status(self) -> dict[str, int]:
        """Items by how they ended; those that were answered by themselves as planned are counted by what is left over."""
        as_planned, counts = self._n_timed - self._n_timed_otherwise, dict(self._statuses)
        if as_planned:
            counts[_ANSWERED.value] = counts.get(_ANSWERED.value, 0) + as_planned
        return counts


_SUMMED = [name for name in Counters.__slots__ if name.startswith(("_n_", "_latency", "_wait"))]
