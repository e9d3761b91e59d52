"""Serve futures and coroutines from a result cache: no thread of theirs waits for what another request finds out.

Reads the clock it is given.
"""

from __future__ import annotations

from typing import Any

from cascade.caching.flight import Join, Lead
from cascade.core.records import Prediction
from cascade.runtime.cached_serving import CachedServer
from cascade.runtime.errands import Errand, WaitingRoom
from cascade.runtime.receivers import LaneFuture, LoopReceiver, deliver
from cascade.runtime.request import priority_of
from cascade.runtime.single import Request


class CachingServer(CachedServer):
    """A `CachedServer` for those too who do not wait on a thread.

    Parameters are those of `CachedServer`.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._room = WaitingRoom(self._clock, _woken)
        self._engine.renewals.append(self._room.renew)

    def future(self, x: Any, request: Request, priority: str, *, is_strict: bool) -> LaneFuture:
        """As `Server.future`."""
        self._check(priority)
        use = self._use(x, request)
        if use is None:
            return super().future(x, request, priority, is_strict=is_strict)
        future = LaneFuture(self)
        self._go(Errand(self, use, request, priority, is_strict=is_strict, receiver=future))
        return future

    async def on_loop(self, x: Any, request: Request, priority: str, *, is_strict: bool) -> Prediction:
        """As `Server.on_loop`."""
        self._check(priority)
        use = self._use(x, request)
        if use is None:
            return await super().on_loop(x, request, priority, is_strict=is_strict)
        # Whoever awaits has loaded it, and nobody else pays for it.
        from asyncio import get_running_loop

        answer = self._known(use, request, is_strict=is_strict)
        if answer is not None:
            return answer
        loop = get_running_loop()
        future = loop.create_future()
        receiver = LoopReceiver(loop, future)
        self._go(Errand(self, use, request, priority, is_strict=is_strict, receiver=receiver))
        return await self._awaited(future, receiver)

    def _check(self, priority: str) -> None:
        """Refuse at once what would be refused without a cache, whatever is known."""
        priority_of(priority)
        self._engine.check_open()

    def cancel(self, pending: Any) -> bool:
        """As `Server.cancel`; also a request that waits for what another one finds out."""
        if isinstance(pending, Errand):
            is_dropped = pending.stop_waiting()
            if is_dropped:
                self._room.nudge()
                self._count_unanswered("cancelled", pending.request)
            return is_dropped
        is_dropped = super().cancel(pending)
        if is_dropped and pending.use is not None:
            pending.use.end()
        return is_dropped

    def settle(self, pending: Any) -> Prediction:
        """As `Server.settle`; what stages have said is kept, whatever became of the request."""
        if isinstance(pending, Errand):
            if pending.error is not None:
                raise pending.error
            assert pending.stopped is not None
            return self.told(pending.stopped, pending.use, pending.request, is_strict=pending.is_strict)
        try:
            return super().settle(pending)
        finally:
            if pending.use is not None:
                pending.use.end()

    def end(self) -> None:
        """As `Server.end`: nobody waits for others any more, and what is known is saved."""
        self._room.close()
        self._cache.save()

    def _go(self, errand: Errand) -> None:
        """Answer an errand from what is known, begin it, or let it wait for somebody else; never waits itself."""
        use, request = errand.use, errand.request
        while True:
            errand.stopped = self.enough(use, request)
            if errand.stopped is not None:
                deliver([errand])
                return
            turn = self._cache.enter(use.key, runs_here=False)
            if isinstance(turn, Lead):
                use.lead = turn
                if use.learn(turn.said):
                    errand.stopped = self.enough(use, request)
                    if errand.stopped is not None:
                        deliver([errand])
                        return
                break
            until_ms = self._patience_ms(use, request, is_strict=errand.is_strict)
            if until_ms > self._now() and self._room.enter(errand, turn, until_ms):
                return
            if not self._took(use, turn, request):
                break
        self._run_errand(errand)

    def _run_errand(self, errand: Errand) -> None:
        """Run stages for an errand."""
        use = errand.use
        use.go_on()
        try:
            batch = self._batch(use)
            self._begin(errand.receiver, batch, errand.request, errand.priority, is_strict=errand.is_strict, use=use)
        except BaseException:
            use.end()
            raise


def _woken(errand: Errand, turn: Join) -> None:
    """An errand has waited: whom it waited for has ended, or its patience has."""
    server: CachingServer = errand.owner
    try:
        if server._took(errand.use, turn, errand.request):
            server._go(errand)
        else:
            server._run_errand(errand)
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
        errand.error = error
        server._count_unanswered("failed", errand.request)
        deliver([errand])
