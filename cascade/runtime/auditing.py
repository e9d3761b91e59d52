"""Audits: on a random share of the requests every stage runs once the answer is out, so that all of them are heard.

A request that is answered early never shows what the stages behind would have said; policies refitted on such requests
alone would never learn that they should have gone on. An audit takes the lane for one stage at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from cascade.core.outcomes import Outcomes
from cascade.core.recording import predecessors
from cascade.core.records import Prediction
from cascade.core.rows import take_rows
from cascade.core.stage_outputs import check_rows, read_output
from cascade.errors import ConfigurationError, StageError
from cascade.runtime.answers import BatchPrediction
from cascade.runtime.audit_thread import AuditThread
from cascade.runtime.engine import Engine
from cascade.runtime.lane import Lane
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.row_states import Rows
from cascade.runtime.single import Request
from cascade.runtime.watch import Walked
from cascade.telemetry.audit_log import Audit, AuditLog, joined
from cascade.telemetry.counters import Counters


@dataclass(slots=True, eq=False)
class _Job:
    """One request that is to run through every stage."""

    id: int
    batch: Any
    outputs: list[Any] = field(default_factory=list)
    carries: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Which requests are audited, and when; as the keywords of `Predictor`.

    Raises
    ------
    ConfigurationError
        If the fraction is not in [0, 1] or the capacity is below 1.
    """

    fraction: float
    capacity: int
    seed: int | np.random.Generator
    in_background: bool

    def __post_init__(self) -> None:
        if not 0.0 <= self.fraction <= 1.0:
            raise ConfigurationError(f"expected audit_fraction in [0, 1], got {self.fraction}")
        if self.capacity < 1:
            raise ConfigurationError(f"expected audit_capacity of at least 1, got {self.capacity}")


class Auditor:
    """Draws requests, runs them through every stage, and keeps what was said and the labels that come.

    Parameters
    ----------
    engine : Engine
        Whose lanes are used.
    counters : Counters
        Whose lock is held when answers are seen.
    fraction : float
        Probability, in (0, 1], that a request is drawn, whatever became of it.
    capacity : int
        Most requests that wait to be run, most audits without a label, and most with one.
    rng : numpy.random.Generator
        Draws the requests.
    in_background : bool
        Run audits on a thread while a lane is free; else they wait for `run_all`.
    """

    def __init__(
        self,
        engine: Engine,
        counters: Counters,
        fraction: float,
        *,
        capacity: int,
        rng: np.random.Generator,
        in_background: bool,
    ) -> None:
        self._engine, self._counters, self._capacity = engine, counters, capacity
        self._fraction, self._rng = fraction, rng
        self._thread = AuditThread(engine, self.run_next) if in_background else None
        self._stages = engine.lanes[0].stages
        self._names = tuple(stage.name for stage in self._stages)
        self._before = predecessors(self._stages)
        self._jobs: deque[_Job] = deque()
        self._log = AuditLog(capacity)
        self._log_lock, self._running = Lock(), Lock()
        self._n_skipped = self._next_gap()

    def see_one(self, batch: Any, walk: Walked, request: Request, answer: Prediction) -> None:  # noqa: ARG002 - a Watcher
        """Draw an answered request, or do not; the lock of the counters is held by the caller."""
        self._log.see(request.id)
        if self._n_skipped:
            self._n_skipped -= 1
            return
        self._n_skipped = self._next_gap()
        self._draw(request.id, batch, 0, answer.path)

    def see_many(self, batch: Any, rows: Rows, request: Request, answers: BatchPrediction) -> None:  # noqa: ARG002 - as above
        """Draw rows of one call; the lock of the counters is held by the caller."""
        assert answers.ids is not None
        self._log.see(int(answers.ids[-1]))
        row, n = self._n_skipped, len(answers)
        while row < n:
            self._draw(int(answers.ids[row]), batch, row, rows.paths(np.array([row]), self._names)[0])
            row += 1 + self._next_gap()
        self._n_skipped = row - n

    def run_all(self) -> int:
        """Run every audit that waits on this thread, and return once none is left; how many this call has run."""
        n_run = 0
        while self.run_next(self._engine.borrow):
            n_run += 1
        return n_run

    def run_next(self, take_lane: Callable[[], Lane | None]) -> bool:
        """Run the audit that has waited longest, if any; ``take_lane`` takes a lane, or gives None to stop here.

        Nothing that goes wrong is raised: it is counted, and the audit is dropped.
        """
        with self._running:
            if not self._jobs:
                return False
            job = self._jobs.popleft()
            try:
                for j in range(len(self._before)):
                    lane = take_lane()
                    if lane is None:
                        self._give_up(job.id)
                        return False
                    try:
                        self._run_stage(job, j, lane)
                    finally:
                        self._engine.give_back(lane)
            except Exception:  # noqa: BLE001 - whatever a model or an input does, it must not end the thread of the audits
                self._counters.count_audit_fault()
                with self._log_lock:
                    self._log.drop(job.id)
            else:
                self._counters.count_audit()
                with self._log_lock:
                    self._log.finish(job.id, job.outputs)
            return True

    def close(self) -> None:
        """End the thread, once its stage has ended, and drop the audits that have not run."""
        if self._thread is not None:
            self._thread.close()
        with self._running:
            while self._jobs:
                self._give_up(self._jobs.popleft().id)

    def renew(self) -> None:
        """In a child process: what waited is run by the parent, and no thread is there."""
        self._log_lock, self._running = Lock(), Lock()
        self._jobs.clear()
        if self._thread is not None:
            self._thread = AuditThread(self._engine, self.run_next)

    def feedback(self, request_id: Any, label: Any, ready: ReadyPolicy) -> bool:
        """Keep the label of an audited request; raises as `AuditLog.label`."""
        with self._log_lock:
            return self._log.label(request_id, label, ready.classes)

    def audits(self) -> tuple[Audit, ...]:
        """All audits that are kept."""
        with self._log_lock:
            return self._log.audits()

    def outcomes(self, ready: ReadyPolicy, *, forget: bool) -> Outcomes:
        """The labelled audits as a table; raises as `AuditLog.outcomes`."""
        with self._log_lock:
            table = self._log.outcomes(ready.stages, ready.classes, ready.policy.inputs)
            if forget:
                self._log.forget_outcomes()
            return table

    def _draw(self, request_id: int, batch: Any, row: int, path: tuple[str, ...]) -> None:
        if len(self._jobs) >= self._capacity:
            self._counters.count_audit_dropped()
            return
        try:
            item = _copied(batch, row)
        except Exception:  # noqa: BLE001 - an input that cannot be copied is no reason to lose its answer
            self._counters.count_audit_dropped()
            return
        with self._log_lock:
            self._log.begin(request_id, path)
        self._jobs.append(_Job(request_id, item))
        if self._thread is not None:
            self._thread.wake()

    def _run_stage(self, job: _Job, j: int, lane: Lane) -> None:
        """One stage, on a lane that is held."""
        before = self._before[j]
        if lane.is_fenced(j):
            raise StageError(f"stage {self._names[j]!r} failed repeatedly and is left alone for a while")
        try:
            with lane.at_work():
                output, carry = lane.run(j, job.batch, None if before < 0 else job.carries[before])
            check_rows(lane.stages[j], output, 1)
            read_output(lane.stages[j], output)
        except StageError:
            lane.reject(j)
            raise
        else:
            lane.accept(j)
            # A copy: a stage may use its memory again.
            job.outputs.append(joined([output]))
            job.carries.append(carry)

    def _give_up(self, request_id: int) -> None:
        self._counters.count_audit_dropped()
        with self._log_lock:
            self._log.drop(request_id)

    def _next_gap(self) -> int:
        """Requests that are passed over before the next is drawn: each is drawn with one probability."""
        return int(self._rng.geometric(self._fraction)) - 1


def auditor_of(engine: Engine, counters: Counters, settings: AuditSettings) -> Auditor | None:
    """The auditor of a predictor; None where no request is to be audited."""
    if settings.fraction == 0.0:
        return None
    return Auditor(
        engine,
        counters,
        settings.fraction,
        capacity=settings.capacity,
        rng=np.random.default_rng(settings.seed),
        in_background=settings.in_background,
    )


def _copied(batch: Any, row: int) -> Any:
    """One row as a batch that shares nothing with the caller's, who may change it; ``batch`` may be what gives the batch."""
    if callable(batch):
        batch = batch()
    item = take_rows(batch, np.array([row]))
    return item if hasattr(item, "shape") else deepcopy(item)
