"""Whether a predictor does what it is meant to: deadlines, speed, drift, age; and who is told when that changes.

Pure but for `HealthWatch`, which remembers what it was shown, and has a lock.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

from scipy.special import bdtrc

from cascade.core.html import table
from cascade.errors import ConfigurationError
from cascade.telemetry.drift import DriftReport
from cascade.telemetry.stats import Stats

_log = logging.getLogger("cascade")
_DAY_MS = 86_400_000.0
_PER_WINDOW = 100
"""Samples that are kept of a window at most."""


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """What counts as well.

    Attributes
    ----------
    max_miss_rate : float
        Share of the requests, in (0, 1), that may be late or without an answer.
    max_slowdown : float
        Measured over profiled service times, of the slowest stage and lane.
    max_age_ms : float
        Time since the policy in force was put there.
    alpha : float
        Probability, in (0, 1), that a report on a predictor that misses no more than it may, and answers as before, raises a false alarm.
    window_ms : float
        Misses are counted over about this time.

    Raises
    ------
    ConfigurationError
        If a limit cannot work.
    """

    max_miss_rate: float = 0.01
    max_slowdown: float = 2.0
    max_age_ms: float = 30.0 * _DAY_MS
    alpha: float = 0.01
    window_ms: float = 300_000.0

    def __post_init__(self) -> None:
        for name in ("max_miss_rate", "alpha"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigurationError(f"expected {name} between 0 and 1, both excluded, got {getattr(self, name)}")
        for name in ("max_slowdown", "max_age_ms", "window_ms"):
            if not getattr(self, name) > 0.0:
                raise ConfigurationError(f"expected {name} above 0, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : {"serving", "deadlines", "speed", "stages", "drift", "age"}
    is_alarm : bool
    is_known : bool
        False where there is not enough to tell from; never an alarm.
    text : str
        What was found, and the limit.
    """

    name: str
    is_alarm: bool
    text: str
    is_known: bool = True

    @property
    def state(self) -> str:
        """``"alarm"``, ``"well"`` or ``"unknown"``."""
        return "alarm" if self.is_alarm else "well" if self.is_known else "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class Health:
    """What `Predictor.health` found.

    Attributes
    ----------
    checks : tuple of Check
    """

    checks: tuple[Check, ...]

    @property
    def is_well(self) -> bool:
        """Whether there is no alarm."""
        return not self.alarms

    @property
    def alarms(self) -> tuple[Check, ...]:
        """The checks that raise an alarm."""
        return tuple(check for check in self.checks if check.is_alarm)

    def __repr__(self) -> str:
        verdict = "well" if self.is_well else f"alarm: {', '.join(check.name for check in self.alarms)}"
        lines = [f"  {check.name:9}  {check.state:7}  {check.text}" for check in self.checks]
        return "\n".join([f"Health: {verdict}", *lines])

    def _repr_html_(self) -> str:
        rows = [(check.name, check.state, check.text) for check in self.checks]
        return table(["check", "state", "found"], rows, caption="Health")


class Found(NamedTuple):
    """What a report is made of.

    Attributes
    ----------
    stats : Stats
    refusal : str
        Why no requests are taken; empty if they are.
    fenced : sequence of str
        Stages that are left alone, as they failed repeatedly.
    drift : DriftReport or None
        None where nobody looks for drift.
    """

    stats: Stats
    refusal: str
    fenced: Sequence[str]
    drift: DriftReport | None


class Sample(NamedTuple):
    """Requests at an instant: all that ended, and those that were in time."""

    at_ms: float
    n_offered: int
    n_in_time: int


class HealthWatch:
    """Remembers what it takes to tell what is new, and tells those who want to know.

    Parameters
    ----------
    now_ms : float
        When the policy in force was put there.
    """

    def __init__(self, now_ms: float) -> None:
        self._hooks: tuple[Callable[[Check], None], ...] = ()
        self._alarms: dict[str, Check] = {}
        self.renew()
        self._since_ms = now_ms
        self._samples = deque([Sample(now_ms, 0, 0)])

    def renew(self) -> None:
        """Free the lock, whoever holds it: in a child process the holder is not there."""
        self._lock = Lock()

    def follow(self, now_ms: float) -> None:
        """Another policy is in force."""
        with self._lock:
            self._since_ms = now_ms

    def add(self, hook: Callable[[Check], None]) -> None:
        """Call it with a check that raises an alarm, and again once it does not any more."""
        with self._lock:
            self._hooks = (*self._hooks, hook)

    def remove(self, hook: Callable[[Check], None]) -> None:
        """Call it no more; nothing if it is not called anyway."""
        with self._lock:
            self._hooks = tuple(other for other in self._hooks if other is not hook)

    def report(self, found: Found, limits: HealthLimits, now_ms: float) -> Health:
        """How things are; those who want to know are called before this returns, on this thread."""
        with self._lock:
            before = self._sampled(Sample(now_ms, found.stats.n_offered, found.stats.n_in_time), limits.window_ms)
            age_ms = now_ms - self._since_ms
            health = Health(_checks(found, limits, before, now_ms, age_ms))
            alarms = {check.name: check for check in health.alarms}
            changed = [check for check in health.checks if (check.name in alarms) != (check.name in self._alarms)]
            self._alarms, hooks = alarms, self._hooks
        for check in changed:
            for hook in hooks:
                try:
                    hook(check)
                except Exception as error:  # noqa: BLE001 - one hook is not to keep the others from hearing
                    _log.error("%r failed on %s", hook, check, exc_info=error)
        return health

    def _sampled(self, now: Sample, window_ms: float) -> Sample:
        """Keep a sample; the one that the window begins with."""
        samples = self._samples
        if now.at_ms - samples[-1].at_ms >= window_ms / _PER_WINDOW:
            samples.append(now)
        while len(samples) > 1 and (samples[1].at_ms <= now.at_ms - window_ms or len(samples) > 2 * _PER_WINDOW):
            samples.popleft()
        return samples[0]


def _checks(found: Found, limits: HealthLimits, before: Sample, now_ms: float, age_ms: float) -> tuple[Check, ...]:
    return (
        Check("serving", bool(found.refusal), found.refusal or "requests are taken"),
        _deadlines(found.stats, limits, before, now_ms),
        _speed(found.stats, limits),
        _stages(found.fenced),
        _drift(found.drift),
        _age(age_ms, limits),
    )


def _deadlines(stats: Stats, limits: HealthLimits, before: Sample, now_ms: float) -> Check:
    """More misses than the limit explains: an exact one-sided binomial test at half of alpha."""
    n = stats.n_offered - before.n_offered
    n_missed = n - (stats.n_in_time - before.n_in_time)
    seconds = (now_ms - before.at_ms) / 1e3
    if n <= 0:
        return Check("deadlines", False, f"no request in the last {seconds:.0f} s", is_known=False)
    p = float(bdtrc(n_missed - 1, n, limits.max_miss_rate)) if n_missed else 1.0
    text = (
        f"{n_missed} of {n} requests missed in {seconds:.0f} s ({n_missed / n:.2%}), of at most {limits.max_miss_rate:.2%}: "
        f"p = {p:.2g}"
    )
    return Check("deadlines", p <= 0.5 * limits.alpha, text)


def _speed(stats: Stats, limits: HealthLimits) -> Check:
    slowest = max(((max(factors), stage) for stage, factors in stats.slowdown.items() if factors), default=(1.0, ""))
    factor, stage = slowest
    text = f"stage {stage!r} takes {factor:.2f} times what was profiled, of at most {limits.max_slowdown:g}"
    return Check("speed", factor > limits.max_slowdown, text)


def _stages(fenced: Sequence[str]) -> Check:
    if fenced:
        return Check("stages", True, f"left alone for a while, as they failed repeatedly: {', '.join(fenced)}")
    return Check("stages", False, "none is left alone")


def _drift(drift: DriftReport | None) -> Check:
    if drift is None:
        return Check("drift", False, "not looked for: pass drift_window=1000, say, to Predictor", is_known=False)
    return Check("drift", drift.is_drifted, drift.explain(), is_known=drift.has_enough)


def _age(age_ms: float, limits: HealthLimits) -> Check:
    text = f"the policy has been in force for {age_ms / _DAY_MS:.1f} days, of at most {limits.max_age_ms / _DAY_MS:.1f}"
    return Check("age", age_ms > limits.max_age_ms, text)
