"""Which lane each thread is running a stage on, so that what a stage asks of its own predictor runs there, instead of waiting for itself.

Holds no lock: every thread writes its own entry only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from threading import get_ident

from cascade.runtime.lane import Lane


class HeldLanes:
    """The lanes that threads are at work on."""

    __slots__ = ("_by_thread",)

    def __init__(self) -> None:
        self._by_thread: dict[int, Lane] = {}

    @contextmanager
    def on(self, lane: Lane) -> Iterator[None]:
        """Context of a thread that has taken a lane and runs stages on it."""
        before = self.begin(lane)
        try:
            yield
        finally:
            self.end(before)

    def begin(self, lane: Lane) -> Lane | None:
        """The calling thread has taken a lane; the one that it was on before."""
        thread = get_ident()
        before = self._by_thread.get(thread)
        self._by_thread[thread] = lane
        return before

    def end(self, before: Lane | None) -> None:
        """It gives the lane back."""
        if before is None:
            self._by_thread.pop(get_ident(), None)
        else:
            self._by_thread[get_ident()] = before

    def nested(self) -> Lane | None:
        """The lane that the calling thread is at work on, for what a stage asks meanwhile: to be given back, which frees nothing."""
        held = self._by_thread.get(get_ident())
        if held is None:
            return None
        lane = copy(held)
        lane.release, lane.is_claimed = _nothing, False
        return lane

    def clear(self) -> None:
        """In a child process none of the others' threads is there."""
        self._by_thread.clear()


def _nothing() -> None:
    """The lane stays with whom it is."""
