"""What is noted about answers besides giving them: which are within a guarantee, and whether they drift.

The lock of the counters is held by the caller.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from cascade.core.guarantee import Guarantee
from cascade.core.records import Prediction
from cascade.core.replay import Replay
from cascade.errors import ConfigurationError
from cascade.runtime.answers import BatchPrediction
from cascade.runtime.ready import INFINITE
from cascade.runtime.row_states import Rows
from cascade.runtime.single import Request
from cascade.telemetry.counters import Counters
from cascade.telemetry.drift import MIN_ANSWERS, DriftMonitor, DriftReport


class Walked(Protocol):
    """One item that was answered, whichever way."""

    @property
    def is_certified(self) -> bool:
        """Whether the answer is within a guarantee, as far as its path goes."""
        ...


class Watcher(Protocol):
    """Looks at every answer once it is counted; ``batch`` may be what gives the batch, where nothing has run."""

    def see_one(self, batch: Any, walk: Walked, request: Request, answer: Prediction) -> None:
        """One item was answered."""
        ...

    def see_many(self, batch: Any, rows: Rows, request: Request, answers: BatchPrediction) -> None:
        """The rows of one call were answered."""
        ...


class CertifiedWatcher:
    """Counts the answers that are within a guarantee.

    Parameters
    ----------
    counters : Counters
    guarantee : Guarantee
        Of the policy that answers.
    """

    def __init__(self, counters: Counters, guarantee: Guarantee) -> None:
        self._counters = counters
        self._abstain_below = guarantee.abstain_below or 0.0

    def see_one(self, batch: Any, walk: Walked, request: Request, answer: Prediction) -> None:  # noqa: ARG002 - a Watcher
        """Count one item, if its path is certified."""
        if walk.is_certified and request.terms.abstain_below == self._abstain_below:
            self._counters.count_certified(1)

    def see_many(self, batch: Any, rows: Rows, request: Request, answers: BatchPrediction) -> None:  # noqa: ARG002 - as above
        """Count rows that no fault changed and that began with nothing; only calls without a deadline are certified."""
        if request.deadline_ms == INFINITE and request.terms.abstain_below == self._abstain_below:
            self._counters.count_certified(int((~(rows.degraded | rows.resumed)).sum()))


class DriftWatcher:
    """Keeps paths and confidences of the first and of the latest answers.

    Parameters
    ----------
    counters : Counters
        Whose lock is held when answers are seen.
    names : tuple of str
        Of the stages.
    window : int
        Answers kept of either.
    """

    def __init__(self, counters: Counters, names: tuple[str, ...], window: int) -> None:
        self._counters, self._monitor, self._names = counters, DriftMonitor(window), names

    def see_one(self, batch: Any, walk: Walked, request: Request, answer: Prediction) -> None:  # noqa: ARG002 - a Watcher
        """Note one answer."""
        self._monitor.note(answer.path, answer.confidence)

    def see_many(self, batch: Any, rows: Rows, request: Request, answers: BatchPrediction) -> None:  # noqa: ARG002 - as above
        """Note the rows that stay in either window: the first and the last."""
        n, head = len(answers), min(len(answers), self._monitor.n_missing)
        kept = np.concatenate([np.arange(head), np.arange(max(head, n - self._monitor.window), n)])
        for path, confidence in zip(rows.paths(kept, self._names), answers.confidence[kept].tolist(), strict=True):
            self._monitor.note(path, confidence)

    def restart(self) -> None:
        """Begin anew, under another policy."""
        with self._counters.lock:
            self._monitor.restart()

    def report(self, reference: Replay | None, alpha: float) -> DriftReport:
        """The latest answers against a replay; None: against the first ones."""
        with self._counters.lock:
            return self._monitor.report(reference, alpha)


def drift_watcher_of(counters: Counters, names: tuple[str, ...], window: int) -> DriftWatcher | None:
    """The watcher of a predictor; None where drift is not looked for.

    Raises
    ------
    ConfigurationError
        If the window is too small to tell anything.
    """
    if window == 0:
        return None
    if window < MIN_ANSWERS:
        raise ConfigurationError(
            f"expected drift_window of at least {MIN_ANSWERS} answers, or 0 for none, got {window}"
        )
    return DriftWatcher(counters, names, window)
