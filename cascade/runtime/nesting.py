"""Which lane each thread is running a stage on, so that what a stage asks of its own predictor runs there, instead of waiting for itself.

Holds no lock: every thread writes its own entry only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from threading import get_ident

from cascade.runtime.lane import Lane


class HeldLanes:
    """The lanes that threads are at work on.

    Parameters
    ----------
    lanes : sequence of Lane
        A thread that answers one item is noted on the lane itself, as `Lane.caller`, which costs it next to nothing.
    """

    __slots__ = ("_by_thread", "_lanes")

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self._by_thread: dict[int, Lane] = {}

    @contextmanager
    def on(self, lane: Lane) -> Iterator[None]:
        """Context of a thread that has taken a lane and runs stages on it."""
        thread = get_ident()
        before = self._by_thread.get(thread)
        self._by_thread[thread] = lane
        try:
            yield
        finally:
            if before is None:
                # Not there any more where the process was forked meanwhile.
                self._by_thread.pop(thread, None)
            else:
                self._by_thread[thread] = before

    def nested(self) -> Lane | None:
        """The lane that the calling thread is at work on, for what a stage asks meanwhile: to be given back, which frees nothing."""
        thread = get_ident()
        held = self._by_thread.get(thread) or next((lane for lane in self._lanes if lane.caller == thread), None)
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
