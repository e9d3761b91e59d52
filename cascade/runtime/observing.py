"""The public methods that say what was done: figures, decisions, and whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cascade.caching.result_cache import ResultCache
from cascade.clock import Clock
from cascade.runtime.engine import Engine
from cascade.runtime.watch import DriftWatcher
from cascade.scheduling.messages import Command
from cascade.telemetry.counters import Counters
from cascade.telemetry.health import Check, Found, Health, HealthLimits, HealthWatch
from cascade.telemetry.listening import Listeners, Listening
from cascade.telemetry.requests import Listener
from cascade.telemetry.stats import Stats
from cascade.telemetry.trace import TraceWindow


class Observing:
    """How a predictor is observed; whoever inherits makes the engine and the counters."""

    _engine: Engine
    _counters: Counters
    _cache: ResultCache | None
    _listeners: Listeners
    _clock: Clock
    _drift: DriftWatcher | None
    _health: HealthWatch

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

        Notes
        -----
        Told is what `stats` counts: a call whose arguments or input cannot be used is no request, and neither is one whose
        postprocessing raises.
        """
        return self._listeners.add(listener)

    def health(self, limits: HealthLimits | None = None) -> Health:
        """Whether it does what it is meant to: takes requests, keeps deadlines, is as fast as profiled, answers as before.

        Parameters
        ----------
        limits : HealthLimits, optional
            What counts as well, and how often a false alarm is raised.

        Notes
        -----
        Nothing looks by itself: ask as often as you want to know, from a timer, a probe or a scrape. Misses are counted since the
        first call that is not yet ``window_ms`` ago, or else since the predictor was made; they are tested against the limit as if they
        came independently, at half of ``alpha``, and drift at the other half. Who looks k times raises up to k times the false alarms.
        Drift is known where the predictor has a ``drift_window``; a policy bears no date, so its age counts from when it was put in force.
        """
        lanes = self._engine.lanes
        fenced = [stage.name for j, stage in enumerate(lanes[0].stages) if any(lane.is_fenced(j) for lane in lanes)]
        limits = HealthLimits() if limits is None else limits
        drift = None if self._drift is None else self._drift.report(None, 0.5 * limits.alpha)
        refusal = self._engine.refusal
        found = Found(self.stats(), "" if refusal is None else str(refusal), fenced, drift)
        return self._health.report(found, limits, self._clock.now_ms())

    def on_alert(self, hook: Callable[[Check], None]) -> Callable[[], None]:
        """Call somebody whenever `health` finds that a check raises an alarm, and once it does not any more.

        Parameters
        ----------
        hook : callable
            Gets the `Check`, on the thread that called `health`. What it raises is logged.

        Returns
        -------
        callable
            Without arguments; ends it.
        """
        self._health.add(hook)
        return lambda: self._health.remove(hook)

    def trace(self, path: str | Path, *, max_requests: int = 50_000) -> TraceWindow:
        """A window of time as a trace file for Perfetto: lanes, batches, requests, deadlines and the queue.

        Parameters
        ----------
        path : path
            Of a JSON file that https://ui.perfetto.dev and chrome://tracing open; written when the ``with`` block ends.
        max_requests : int
            Requests that are kept; later ones take the place of earlier ones.

        Returns
        -------
        TraceWindow
            Records requests that begin and end within its ``with`` block.

        Raises
        ------
        ConfigurationError
            If there is no folder for the file, or ``max_requests`` is not at least 1.
        """
        return TraceWindow(path, self.listen, max_requests)
