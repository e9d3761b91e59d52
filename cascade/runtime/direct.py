"""Serve one call on the calling thread, from the raw input to the counted answer: check, take a lane, run, finish, count.

Reads the clock it is given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from copy import copy
from itertools import count, islice
from threading import get_ident
from typing import Any, Self

import numpy as np

from cascade.core.records import Prediction
from cascade.core.rows import n_rows
from cascade.errors import BudgetTooSmall, StageError
from cascade.runtime.answers import BatchPrediction, Postprocess, answers_of, prediction_of
from cascade.runtime.batch import BatchRunner
from cascade.runtime.cache_use import CacheUse
from cascade.runtime.certified_walk import CertifiedWalk
from cascade.runtime.engine import Engine
from cascade.runtime.lane import Lane
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.receivers import Sleeper
from cascade.runtime.refining import improving_walk
from cascade.runtime.request import InputCheck, checked_terms, deadline_of
from cascade.runtime.row_states import KnownRows, Rows
from cascade.runtime.single import Request, Terms, walk_to_the_end
from cascade.runtime.telling import tell_answer, tell_refusal, tell_rows
from cascade.runtime.walk import Walk
from cascade.runtime.watch import CertifiedWatcher, Walked, Watcher
from cascade.telemetry.counters import Counters
from cascade.telemetry.listening import Listeners
from cascade.telemetry.requests import StageRun

_FORGET = 0.95
"""Share of the time kept back for finishing that is still believed in one request later."""


class DirectServer(ABC):
    """Everything that stays the same from one call to the next, while one policy is in force.

    Parameters
    ----------
    ready : ReadyPolicy
    engine : Engine
    counters : Counters
        For what is counted without holding a lane, under their lock.
    inputs : InputCheck
    terms : Terms
        Where a call does not say otherwise.
    preprocess, postprocess : callable or None
    watchers : sequence of Watcher
        Who sees every answer, whatever the policy; they see ids of rows.
    listeners : Listeners
        Who hears of every request.
    """

    def __init__(
        self,
        ready: ReadyPolicy,
        engine: Engine,
        *,
        counters: Counters,
        inputs: InputCheck,
        terms: Terms,
        preprocess: Callable[[Any], Any] | None,
        postprocess: Postprocess,
        watchers: tuple[Watcher, ...] = (),
        listeners: Listeners,
    ) -> None:
        self._engine, self._lanes, self._first_lane = engine, engine.lanes, engine.lanes[0]
        self._clock, self._now = engine.clock, engine.clock.now_ms
        self._inputs, self._counters = inputs, counters
        self._preprocess, self._postprocess = preprocess, postprocess
        self._reserve_ms = 0.0
        # Whoever waits for a lane, and whoever has an answer but not yet a turn with the interpreter. Past them nobody helps himself to
        # a lane: with 32 threads and a tiny model, one ran hundreds of requests in a row while the others waited for 20 ms and more.
        self._asleep: set[Sleeper] = set()
        engine.renewals.append(self._asleep.clear)
        self._ids, self._lasting, self._listeners = count(), watchers, listeners
        self._follow(ready, terms)

    def under(self, ready: ReadyPolicy, terms: Terms) -> Self:
        """The same under another policy; calls in progress go on under the old one."""
        other = copy(self)
        other._follow(ready, terms)
        return other

    def _follow(self, ready: ReadyPolicy, terms: Terms) -> None:
        self.ready, self.terms = ready, terms
        guarantee = ready.policy.guarantee
        certified = () if guarantee is None else (CertifiedWatcher(self._counters, guarantee),)
        self._watchers: tuple[Watcher, ...] = (*certified, *self._lasting)
        self._new_walk = Walk if guarantee is None else CertifiedWalk

    def request(
        self,
        budget_ms: float | None,
        deadline_ms: float | None,
        infeasible: str | None,
        abstain_below: float | None,
        namespace: str | None = None,
    ) -> Request:
        """A request that starts now.

        Raises
        ------
        ConfigurationError
            If an argument cannot work.
        """
        start_ms, terms = self._now(), self.terms
        if deadline_ms is None and budget_ms is not None and budget_ms >= 0.0:
            deadline = start_ms + budget_ms
        else:
            deadline = deadline_of(start_ms, budget_ms, deadline_ms)
        if infeasible is not None or abstain_below is not None:
            terms = checked_terms(
                terms.infeasible if infeasible is None else infeasible,
                terms.abstain_below if abstain_below is None else abstain_below,
                terms.on_overload,
            )
        request = Request(start_ms, deadline, deadline - self._reserve_ms, terms, next(self._ids), namespace)
        if self._listeners.active:
            request.trail = self._listeners.begin()
        return request

    def one(self, x: Any, request: Request, priority: str) -> Prediction:
        """The answer to one item: at once on this thread if a lane is free, else through a lane."""
        return self._run(self._inputs.one(x, self._preprocess), request, priority)

    def _run(self, batch: Any, request: Request, priority: str, use: CacheUse | None = None) -> Prediction:
        """The answer to one checked item."""
        if self._asleep:
            return self._in_turn(batch, request, priority, use)
        lane: Lane | None = self._first_lane
        if not lane.take(False):  # type: ignore[union-attr] # the first one is there
            lane = self._another_lane()
        if lane is None:
            return self._in_turn(batch, request, priority, use)
        if lane.is_claimed:
            self._engine.give_back(lane)
            return self._in_turn(batch, request, priority, use)
        return self._on_lane(batch, request, lane, use=use)

    def _in_turn(self, batch: Any, request: Request, priority: str, use: CacheUse | None) -> Prediction:
        """The same where no lane is to be had: in turn with others, or at once where a stage asks, on the lane that it runs on."""
        nested = self._engine.held.nested()
        if nested is None:
            return self.through_lane(batch, request, priority, use=use)
        return self._on_lane(batch, request, nested, use=use)

    def _on_lane(
        self, batch: Any, request: Request, lane: Lane, wait_ms: float = 0.0, use: CacheUse | None = None
    ) -> Prediction:
        """The answer to one checked item on a lane that is taken for this thread, and free afterwards."""
        try:
            lane.caller = thread = get_ident()
            if thread not in lane.prepared:
                lane.prepare()
            lane.until_ms = request.stop_at_ms
            ready, now = self.ready, self._now
            walk = self._new_walk(ready, batch, request.deadline_ms - request.start_ms)
            if use is not None:
                use.begin(walk)
            walk_to_the_end(walk, lane, now, request)
            answer = prediction_of(walk, ready, request, self._postprocess, now, wait_ms=wait_ms)
            lane.counters.count_answer(answer, request.priority)
            # What happens after the last stage is paid from the budget too: the dearest of late is kept back.
            after_ms = request.start_ms + answer.latency_ms - walk.stopped_ms
            kept_ms = self._reserve_ms * _FORGET
            self._reserve_ms = after_ms if after_ms > kept_ms else kept_ms  # noqa: FURB136 - three times as fast as max
            if self._watchers:
                self._show(batch, walk, request, answer)
        except (BudgetTooSmall, StageError) as error:
            reason = "failed" if isinstance(error, StageError) else "rejected"
            lane.counters.count_unanswered(reason, request.priority)
            if request.trail is not None:
                tell_refusal(request.trail, request, reason, self._now())
            raise
        finally:
            lane.caller = None
            lane.release()
            if lane.is_claimed:
                self._engine.tick()
        if request.trail is not None:
            tell_answer(request.trail, request, answer)
        return answer

    @abstractmethod
    def through_lane(
        self, batch: Any, request: Request, priority: str, *, is_strict: bool = False, use: CacheUse | None = None
    ) -> Prediction:
        """The answer to one checked item, in turn with others."""

    def _another_lane(self) -> Lane | None:
        """One that is free, where the first is not; taken."""
        return next((lane for lane in self._lanes[1:] if lane.take(False)), None)

    def _show(self, batch: Any, walk: Walked, request: Request, answer: Prediction) -> None:
        """Let the watchers see an answer."""
        with self._counters.lock:
            for watcher in self._watchers:
                watcher.see_one(batch, walk, request, answer)

    def many(self, inputs: Any, request: Request) -> BatchPrediction:
        """The answers to n rows."""
        batch = self._inputs.many(inputs, self._preprocess)
        return self._answered(batch, self._rows(batch, request), request)

    def _rows(self, batch: Any, request: Request, known: KnownRows | None = None) -> Rows:
        """What the stages say about checked rows."""
        with self._engine.lane(self.ready.expected_ms(n_rows(batch))) as lane, lane.at_work(), lane.holding():
            runner = BatchRunner(self.ready, lane, self._clock, request.terms, _noting(lane, request))
            return runner.run(batch, request.stop_at_ms, known)

    def _answered(self, batch: Any, rows: Rows, request: Request) -> BatchPrediction:
        """The answers to rows, counted; ``batch`` may be what gives the batch."""
        ids = np.fromiter(islice(self._ids, len(rows)), np.int64) if self._lasting else None
        answers = answers_of(rows, self.ready, request, postprocess=self._postprocess, now=self._now, ids=ids)
        with self._counters.lock:
            self._counters.count_batch(answers.path_counts, answers.status_counts, int(answers.in_time.sum()))
            for watcher in self._watchers:
                watcher.see_many(batch, rows, request, answers)
        if request.trail is not None:
            tell_rows(request.trail, request, answers)
        return answers

    def improving(self, x: Any, request: Request) -> Iterator[Prediction]:
        """Answers to one item, each from more evidence; only the last is counted, and none as certified."""
        return self._improvements(self._inputs.one(x, self._preprocess), request)

    def _improvements(self, batch: Any, request: Request, use: CacheUse | None = None) -> Iterator[Prediction]:
        ready = self.ready
        for walk, is_last in improving_walk(ready, self._engine, batch, request, use):
            answer = prediction_of(
                walk, ready, request, self._postprocess, self._now, final=is_last, is_shared=not is_last
            )
            if is_last:
                with self._counters.lock:
                    self._counters.count_answer(answer, request.priority)
                self._show(batch, walk, request, answer)
                if request.trail is not None:
                    tell_answer(request.trail, request, answer)
            yield answer


def _noting(lane: Lane, request: Request) -> Callable[[StageRun], None]:
    """What is told of the runs of one call of many rows on a lane that is held."""

    def note(run: StageRun) -> None:
        lane.counters.count_service(run.stage, run.n, run.end_ms - run.start_ms)
        if request.trail is not None:
            request.trail.runs.append(run)

    return note
