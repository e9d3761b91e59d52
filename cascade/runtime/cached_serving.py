"""Serve callers who wait from a result cache: answer from what is known, else find out, once for everybody who asks at the same time.

Reads the clock it is given. What a request begins with decides nothing by itself: the policy of now does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cascade.caching.flight import Join
from cascade.caching.keys import Key, Scope, first_equal
from cascade.caching.result_cache import ResultCache
from cascade.core.records import Prediction
from cascade.core.rows import n_rows
from cascade.core.table import STOP_BYTE, Lookup
from cascade.errors import CacheKeyError
from cascade.runtime.answers import BatchPrediction, prediction_of
from cascade.runtime.cache_use import CacheUse
from cascade.runtime.cached_batch import CachedBatch, items_of, once
from cascade.runtime.memory import Memory, Start
from cascade.runtime.pending import Pending
from cascade.runtime.ready import INFINITE, ReadyPolicy
from cascade.runtime.row_states import KnownRows, Rows
from cascade.runtime.serving import Server
from cascade.runtime.single import Request, Terms
from cascade.runtime.telling import tell_answer


class CachedServer(Server):
    """A `Server` that asks a cache first.

    Parameters
    ----------
    *args, **keywords
        As for `Server`.
    cache : ResultCache
    version : str
        Of everything that happens to an input before the first stage.
    """

    def __init__(self, *args: Any, cache: ResultCache, version: str, **keywords: Any) -> None:
        self._cache, self._version, self._usual_scope = cache, version, cache.scope(None, version)
        super().__init__(*args, **keywords)
        for lane in self._lanes:
            lane.at_work = cache.flights.at_work
        self._engine.renewals.append(cache.renew)

    def _follow(self, ready: ReadyPolicy, terms: Terms) -> None:
        super()._follow(ready, terms)
        self.memory = Memory(ready)

    def one(self, x: Any, request: Request, priority: str) -> Prediction:
        """As `Server.one`."""
        self._engine.check_open()
        name, cache = request.namespace, self._cache
        try:
            # As `_key`: each call less is a twentieth of a microsecond of five.
            key = cache.key(x, self._usual_scope if name is None else self._scope(name))
        except CacheKeyError:
            with cache.flights.at_work():
                return super().one(x, request, priority)
        entry = cache.find(key)
        start = None if entry is None else self.memory.start_of(entry)
        if start is not None:
            # What follows for all others too, without making anything that a hit does not need.
            stopped = self._stopped(start, request)
            if stopped is not None:
                return self._told(stopped, x, request)
        use = CacheUse(cache, self.memory, key, x, entry=entry, start=start)
        return self._found_out(use, request, priority, is_strict=False)

    def strict(self, x: Any, request: Request, priority: str) -> Prediction:
        """As `Server.strict`."""
        self._engine.check_open()
        use = self._use(x, request)
        if use is None:
            return super().strict(x, request, priority)
        return self._found_out(use, request, priority, is_strict=True)

    def many(self, inputs: Any, request: Request) -> BatchPrediction:
        """As `Server.many`."""
        items = items_of(inputs) if n_rows(inputs) else None
        if items is None:
            return super().many(inputs, request)
        self._engine.check_open()
        keys = self._cache.keys(items, self._scope(request.namespace))
        firsts = first_equal(keys)
        places = np.flatnonzero(np.array(firsts) == np.arange(len(firsts)))
        prepared = once(lambda: self._inputs.many(inputs, self._preprocess))
        batch = CachedBatch(
            self._cache, self.memory, self, request, inputs=inputs, places=places, keys=keys, items=items
        )
        rows = batch.rows().taken(np.searchsorted(places, firsts))
        return self._answered(prepared, rows, request)

    def improving(self, x: Any, request: Request) -> Iterator[Prediction]:
        """As `Server.improving`."""
        use = self._use(x, request)
        if use is None:
            return super().improving(x, request)
        if use.start is not None and self._stopped(use.start, request) is None:
            use.go_on()
        return self._improved(self._batch(use), request, use)

    def _improved(self, batch: Any, request: Request, use: CacheUse) -> Iterator[Prediction]:
        try:
            yield from self._improvements(batch, request, use)
        finally:
            use.end()

    def adopt(self, pending: Pending) -> None:
        """As `Server.adopt`."""
        super().adopt(pending)
        if pending.use is not None:
            pending.use.follow(self.memory, pending)

    def _key(self, x: Any, request: Request) -> Key | None:
        """The key of an input; None if it has none."""
        try:
            return self._cache.key(x, self._scope(request.namespace))
        except CacheKeyError:
            return None

    def _scope(self, namespace: str | None) -> Scope:
        return self._cache.scope(namespace, self._version)

    def _use(self, x: Any, request: Request) -> CacheUse | None:
        """What a request does with the cache; None if its input has no key."""
        key = self._key(x, request)
        if key is None:
            return None
        entry = self._cache.find(key)
        start = None if entry is None else self.memory.start_of(entry)
        return CacheUse(self._cache, self.memory, key, x, entry=entry, start=start)

    def _known(self, use: CacheUse, request: Request, *, is_strict: bool) -> Prediction | None:
        """The answer, if what is known by now is enough for one."""
        stopped = self.enough(use, request)
        return None if stopped is None else self.told(stopped, use, request, is_strict=is_strict)

    def enough(self, use: CacheUse, request: Request) -> Start | None:
        """What the answer rests on; None if a stage is to run."""
        if use.start is not None:
            return self._stopped(use.start, request)
        start = use.neighbour()
        stopped = None if start is None else self._stopped(start, request)
        if stopped is not None:
            use.taken_from_neighbour()
        return stopped

    def _stopped(self, start: Start, request: Request) -> Start | None:
        """Where a request stops at once, as a `Walk` that begins here would; None where it goes on."""
        lane, budget_ms = self._first_lane, request.deadline_ms - request.start_ms
        lookup = self.ready.lookup(budget_ms)
        left_ms = (request.stop_at_ms - self._now()) / lane.slowdown
        is_ample = left_ms >= lookup.ample_ms
        if is_ample and start.final_under is lookup:
            return start
        is_degraded = self._ending(lookup, start.evidence_set, start.confidence, left_ms=left_ms, budget_ms=budget_ms)
        if is_ample and is_degraded is False:
            start.final_under = lookup
        return None if is_degraded is None else replace(start, is_degraded=True) if is_degraded else start

    def endings(self, evidence_set: int, confidences: Sequence[float], request: Request) -> list[bool | None]:
        """The same of many that begin with one set: whether each was planned to go on; None where it does."""
        budget_ms = request.deadline_ms - request.start_ms
        lookup = self.ready.lookup(budget_ms)
        left_ms = (request.stop_at_ms - self._now()) / self._first_lane.slowdown
        return [
            self._ending(lookup, evidence_set, confidence, left_ms=left_ms, budget_ms=budget_ms)
            for confidence in confidences
        ]

    def _ending(
        self, lookup: Lookup, evidence_set: int, confidence: float, *, left_ms: float, budget_ms: float
    ) -> bool | None:
        action = lookup.action(evidence_set, confidence, left_ms)
        if action != STOP_BYTE:
            lane = self._first_lane
            return True if lane.troubled >> action & 1 and lane.is_fenced(action) else None
        if left_ms >= budget_ms or left_ms >= lookup.ample_ms:
            return False
        return lookup.action(evidence_set, confidence, budget_ms) != STOP_BYTE

    def told(self, stopped: Start, use: CacheUse, request: Request, *, is_strict: bool) -> Prediction:
        """The answer from what is known, counted; whoever waits hears of it."""
        wait_ms = self._now() - request.start_ms if use.has_joined else 0.0
        answer = self._told(stopped, use.x, request, wait_ms)
        use.answered()
        if is_strict:
            with self._counters.lock:
                self._counters.count_strict(in_time=answer.in_time)
        return answer

    def _told(self, stopped: Start, x: Any, request: Request, wait_ms: float = 0.0) -> Prediction:
        answer = prediction_of(
            stopped, self.ready, request, self._postprocess, self._now, wait_ms=wait_ms, is_shared=True
        )
        counters = self._counters
        with counters.lock:
            counters.count_answer(answer, request.priority)
            for watcher in self._watchers:
                watcher.see_one(partial(self._inputs.one, x, self._preprocess), stopped, request, answer)
        if request.trail is not None:
            tell_answer(request.trail, request, answer)
        return answer

    def _found_out(self, use: CacheUse, request: Request, priority: str, *, is_strict: bool) -> Prediction:
        """The answer on this thread: from what is known, or by finding out, or by waiting for who does."""
        while True:
            if use.start is not None or self._cache.has_neighbours:
                answer = self._known(use, request, is_strict=is_strict)
                if answer is not None:
                    return answer
            turn = self._cache.enter(use.key)
            if isinstance(turn, Join):
                turn.wait(self._clock, self._patience_ms(use, request, is_strict=is_strict))
                if self._took(use, turn, request):
                    continue
                with self._cache.flights.at_work():
                    return self._led(use, request, priority, is_strict=is_strict)
            with turn:
                use.lead = turn
                if not use.learn(turn.said):
                    return self._led(use, request, priority, is_strict=is_strict)
                # Somebody has landed since the look-up: what they found out may be enough.
                answer = self._known(use, request, is_strict=is_strict)
                return self._led(use, request, priority, is_strict=is_strict) if answer is None else answer

    def run_rows(self, inputs: Any, request: Request, known: KnownRows) -> Rows:
        """Run stages for raw rows of a call."""
        return self._rows(self._inputs.many(inputs, self._preprocess), request, known)

    def has_waited(self, use: CacheUse, turn: Join, request: Request) -> bool:
        """Wait for somebody else; whether to ask again, rather than run alone."""
        turn.wait(self._clock, self._patience_ms(use, request, is_strict=False))
        return self._took(use, turn, request)

    def _took(self, use: CacheUse, turn: Join, request: Request) -> bool:
        """Take along what is known where one waits no longer; False where it says no more than before, and that is not enough."""
        has_learnt = use.learn(turn.said)
        return turn.is_over or has_learnt or (use.start is not None and self._stopped(use.start, request) is not None)

    def _led(self, use: CacheUse, request: Request, priority: str, *, is_strict: bool) -> Prediction:
        """Run stages for this request, and for those who wait for it."""
        use.go_on()
        try:
            batch = self._batch(use)
            if is_strict:
                return self.through_lane(batch, request, priority, is_strict=True, use=use)
            return self._run(batch, request, priority, use)
        finally:
            use.end()

    def _batch(self, use: CacheUse) -> Any:
        """The input as the stages get it."""
        prepared, preprocess = self._cache.prepared, self._preprocess
        if prepared is None or preprocess is None:
            return self._inputs.one(use.x, preprocess)
        batch = prepared.get(use.key)
        if batch is None:
            batch = self._inputs.one(use.x, preprocess)
            prepared.keep(use.key, batch)
        return batch

    def _patience_ms(self, use: CacheUse, request: Request, *, is_strict: bool) -> float:
        """Until when to wait for somebody else: with evidence to answer from, to the end; else as long as a stage still fits."""
        due_ms = request.stop_at_ms
        if is_strict and due_ms < INFINITE:
            due_ms = self.guard.due_ms(request.start_ms, request.deadline_ms)
        if use.start is not None:
            return due_ms
        return due_ms - self.ready.upper_ms[self.ready.fastest] * self._first_lane.slowdown
