"""Intra-op thread counts of the threads that run stages: set at a thread's first run, given back in the end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from numbers import Integral
from threading import get_ident
from typing import Any

from cascade.errors import ConfigurationError
from cascade.stages.base import RunnableStage

LEAVE_THREADS = 0


def checked_threads(threads: Any) -> int:
    """The number of intra-op threads that was asked for; `LEAVE_THREADS` for ``"leave"``.

    Raises
    ------
    ConfigurationError
        If it is neither that nor a whole number of at least 1.
    """
    if isinstance(threads, str) and threads == "leave":
        return LEAVE_THREADS
    if isinstance(threads, bool) or not isinstance(threads, Integral) or threads < 1:
        raise ConfigurationError(f'expected threads to be "leave" or a whole number of at least 1, got {threads!r}')
    return int(threads)


class ThreadCounts:
    """The threads that have run stages, and what is to be undone in each.

    Parameters
    ----------
    stages : sequence of stages
    n_threads : int
        Intra-op threads of each calling thread; `LEAVE_THREADS` touches nothing.

    Attributes
    ----------
    n_threads : int
    known : dict
        What is to be undone, by thread that was limited already.
    """

    def __init__(self, stages: Sequence[RunnableStage], n_threads: int) -> None:
        self._stages, self.n_threads = tuple(stages), n_threads
        self.known: dict[int, ExitStack] = {}

    def limit(self) -> None:
        """Limit the calling thread, unless it is."""
        if get_ident() in self.known:
            return
        with ExitStack() as undo:
            for stage in self._stages:
                if self.n_threads != LEAVE_THREADS and stage.threads() != self.n_threads:
                    undo.enter_context(stage.limit_threads(self.n_threads))
            self.known[get_ident()] = undo.pop_all()

    def lift(self) -> None:
        """Give the calling thread its counts back."""
        mine = self.known.pop(get_ident(), None)
        if mine is not None:
            mine.close()

    def forget(self) -> None:
        """Give the calling thread, and the pools of the process, their counts back."""
        self.lift()
        self.known.clear()
