"""The public methods that say what was done: figures, decisions, and whoever listens."""

from __future__ import annotations

from cascade.caching.result_cache import ResultCache
from cascade.runtime.engine import Engine
from cascade.scheduling.messages import Command
from cascade.telemetry.counters import Counters
from cascade.telemetry.listening import Listeners, Listening
from cascade.telemetry.requests import Listener
from cascade.telemetry.stats import Stats


class Observing:
    """How a predictor is observed; whoever inherits makes the engine and the counters."""

    _engine: Engine
    _counters: Counters
    _cache: ResultCache | None
    _listeners: Listeners

    def stats(self) -> Stats:
        """What was answered and refused so far, and how things stand, as a frozen snapshot."""
        counted = Counters.total((self._counters, *(lane.counters for lane in self._engine.lanes)))
        return counted.snapshot(self._engine.load(), None if self._cache is None else self._cache.stats())

    def decisions(self) -> tuple[tuple[float, Command], ...]:
        """The latest decisions about requests that went through a lane, each with its instant on the predictor's clock."""
        return self._engine.decisions()

    def listen(self, listener: Listener) -> Listening:
        """Tell somebody what becomes of every request that begins from now on.

        Parameters
        ----------
        listener : Listener
            Such as `JsonLines`. Its methods are called on the threads that serve, several at once, so they are to be quick. One
            that raises is logged, and hears of no more; the request goes on.

        Returns
        -------
        Listening
            ``stop()`` ends it, as does leaving its ``with`` block. In a forked process nobody listens.
        """
        return self._listeners.add(listener)
