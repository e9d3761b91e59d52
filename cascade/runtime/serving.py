"""Serve requests through lanes: queue them, wait or not, and make answers of what the scheduler says.

Reads the clock it is given. The event loop runs no stage, and nobody hops through an executor.
"""

from __future__ import annotations

from typing import Any

from cascade.core.records import Prediction
from cascade.errors import CascadeError, PredictorClosed
from cascade.runtime.answers import prediction_of
from cascade.runtime.cache_use import CacheUse
from cascade.runtime.direct import DirectServer
from cascade.runtime.guard import HighQuantile, StrictGuard, Strictness
from cascade.runtime.pending import LoneCall, Pending, Receiver, Refused
from cascade.runtime.ready import INFINITE
from cascade.runtime.receivers import LaneFuture, LoopReceiver, Sleeper, deliver
from cascade.runtime.refusals import error_of
from cascade.runtime.request import priority_of
from cascade.runtime.single import Request, too_small
from cascade.runtime.telling import tell_answer, tell_refusal
from cascade.scheduling.messages import Answer, Priority

_RESERVE_MISSES = 0.01
_LATE_FACTOR = 2.0
"""Of the fastest stage's upper quantile: what a request gets whose own budget is shorter."""

_TOO_LATE = ("rejected", "expired")
"""Refusals of requests that no stage can answer in time; those that are shed could have been answered."""


class Server(DirectServer):
    """A `DirectServer` that also queues.

    Parameters
    ----------
    *args, **keywords
        As for `DirectServer`.
    strictness : Strictness
    """

    def __init__(self, *args: Any, strictness: Strictness, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.is_strict = strictness.is_usual
        self.guard = StrictGuard(strictness.miss_rate)
        self._finishing = HighQuantile(_RESERVE_MISSES, 0.1)

    def through_lane(
        self, batch: Any, request: Request, priority: str, *, is_strict: bool = False, use: CacheUse | None = None
    ) -> Prediction:
        """The answer to one checked item, in turn with others; this thread sleeps until it is there."""
        sleeper = Sleeper()
        pending = self._pending(batch, request, priority_of(priority), is_strict=is_strict, receiver=sleeper, use=use)
        self._queue(pending)
        self._asleep.add(sleeper)
        try:
            sleeper.sleep()
        except BaseException:
            self.cancel(pending)
            raise
        finally:
            self._asleep.discard(sleeper)
        answer: Prediction = pending.owner.settle(pending)
        return answer

    def strict(self, x: Any, request: Request, priority: str) -> Prediction:
        """The answer to one item, by its deadline even while a stage still runs for it."""
        return self.through_lane(self._inputs.one(x, self._preprocess), request, priority, is_strict=True)

    def future(self, x: Any, request: Request, priority: str, *, is_strict: bool) -> LaneFuture:
        """The future answer to one item."""
        batch, future = self._inputs.one(x, self._preprocess), LaneFuture(self)
        self._begin(future, batch, request, priority, is_strict=is_strict)
        return future

    async def on_loop(self, x: Any, request: Request, priority: str, *, is_strict: bool) -> Prediction:
        """The answer to one item, awaited on the running event loop."""
        # Whoever awaits has loaded it, and nobody else pays for it.
        from asyncio import get_running_loop

        batch, loop = self._inputs.one(x, self._preprocess), get_running_loop()
        future = loop.create_future()
        receiver = LoopReceiver(loop, future)
        self._begin(receiver, batch, request, priority, is_strict=is_strict)
        return await self._awaited(future, receiver)

    async def _awaited(self, future: Any, receiver: LoopReceiver) -> Prediction:
        """What comes of a future of the running loop; whoever stops waiting has cancelled."""
        try:
            answer: Prediction = await future
        finally:
            if receiver.request is not None and (future.cancelled() or not future.done()):
                self.cancel(receiver.request)
        return answer

    def end(self) -> None:
        """The predictor is closed."""

    def cancel(self, pending: Any) -> bool:
        """Drop a request; False if it has its outcome already, or is answered alone."""
        is_dropped = self._engine.cancel(pending)
        if is_dropped:
            self._count_unanswered("cancelled", pending.request)
        return is_dropped

    def adopt(self, pending: Pending) -> None:
        """Take over a request from another owner, before anything has run for it."""
        if pending.request.terms is pending.owner.terms:
            pending.request.terms = self.terms
        pending.owner = self
        pending.follow(self.ready)

    def settle(self, pending: Any) -> Prediction:
        """The answer to a request that is over, counted; or its error, raised and counted."""
        if isinstance(pending, LoneCall):
            assert pending.lane is not None
            waited_ms = self._now() - pending.request.start_ms
            return self._on_lane(pending.batch, pending.request, pending.lane, waited_ms, pending.use)
        outcome, request = pending.outcome, pending.request
        if not isinstance(outcome, Answer):
            if not _is_prior(pending):
                raise self._refusal(pending)
            pending.is_degraded = True
        answer = prediction_of(
            pending,
            pending.ready,
            request,
            self._postprocess,
            self._now,
            wait_ms=pending.queue_wait_ms,
        )
        end_ms, counters = request.start_ms + answer.latency_ms, self._counters
        with counters.lock:
            counters.count_answer(answer, request.priority)
            if pending.is_strict:
                counters.count_strict(in_time=answer.in_time)
            if pending.was_due:
                self.guard.note(end_ms - pending.due_ms)
            else:
                self._finishing.note(end_ms - pending.stopped_ms)
            for watcher in self._watchers:
                watcher.see_one(pending.batch, pending, request, answer)
        if request.trail is not None:
            tell_answer(request.trail, request, answer)
        return answer

    def _refusal(self, pending: Pending) -> CascadeError:
        outcome = pending.outcome
        if isinstance(outcome, Refused):
            self._count_unanswered(outcome.reason, pending.request)
            return error_of(pending, outcome)
        assert isinstance(outcome, CascadeError)
        self._count_unanswered("failed" if isinstance(outcome, PredictorClosed) else "rejected", pending.request)
        return outcome

    def _count_unanswered(self, reason: str, request: Request) -> None:
        with self._counters.lock:
            self._counters.count_unanswered(reason, request.priority)
        if request.trail is not None:
            tell_refusal(request.trail, request, reason, self._now())

    def _begin(
        self,
        receiver: LaneFuture | LoopReceiver,
        batch: Any,
        request: Request,
        priority: str,
        *,
        is_strict: bool,
        use: CacheUse | None = None,
    ) -> None:
        """Let a lane begin at once where one is idle, or queue."""
        urgency = priority_of(priority)
        if not is_strict:
            call = LoneCall(self, batch, request, receiver, use)
            # Before it begins: it may be over before this goes on.
            receiver.request = call
            if self._engine.answer_alone(call):
                return
        pending = self._pending(batch, request, urgency, is_strict=is_strict, receiver=receiver, use=use)
        receiver.request = pending
        self._queue(pending)

    def _pending(
        self,
        batch: Any,
        request: Request,
        priority: Priority,
        *,
        is_strict: bool,
        receiver: Receiver,
        use: CacheUse | None = None,
    ) -> Pending:
        deadline_ms = request.deadline_ms
        if deadline_ms == INFINITE:
            due_ms = INFINITE
        elif is_strict:
            due_ms = self.guard.due_ms(request.start_ms, deadline_ms)
        else:
            due_ms = deadline_ms - self._finishing.value_ms
        pending = Pending(self.ready, batch, request, priority=priority, due_ms=due_ms, receiver=receiver)
        pending.owner, pending.is_strict, pending.use = self, is_strict, use
        if use is not None:
            use.begin(pending)
        return pending

    def _queue(self, pending: Pending) -> None:
        """Submit a request, unless its own budget is too short for any stage and it says what is to happen then."""
        if pending.evidence_set:
            self._engine.submit(pending)
            return
        ready, now_ms = pending.ready, self._now()
        left_ms, fastest_ms = pending.due_ms - now_ms, ready.upper_ms[ready.fastest]
        infeasible = pending.request.terms.infeasible
        if left_ms < fastest_ms and infeasible == "fastest" and not pending.is_strict:
            # It is late whatever happens: soon is the best there is.
            pending.due_ms = now_ms + _LATE_FACTOR * fastest_ms
        elif left_ms < fastest_ms and infeasible != "fastest":
            pending.stopped_ms = now_ms
            pending.outcome = (
                too_small(ready, left_ms) if infeasible == "raise" else Refused("rejected", "no stage fits its budget")
            )
            deliver([pending])
            return
        self._engine.submit(pending)


def _is_prior(pending: Pending) -> bool:
    """Whether the class prior is the answer to a request for which nothing could be run in time."""
    outcome = pending.outcome
    return isinstance(outcome, Refused) and outcome.reason in _TOO_LATE and pending.request.terms.infeasible == "prior"
