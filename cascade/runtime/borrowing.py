"""Lanes for callers who run stages on a thread of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from cascade.errors import Unavailable
from cascade.runtime.lane import Lane
from cascade.runtime.lending import Borrower
from cascade.runtime.nesting import HeldLanes


class LaneSource(ABC):
    """Gives lanes to callers, in turn with requests that queue; whoever inherits knows who has which.

    Attributes
    ----------
    lanes : tuple of Lane
    held : HeldLanes
        Whom they are with.
    """

    lanes: tuple[Lane, ...]
    held: HeldLanes

    @abstractmethod
    def now_ms(self) -> float:
        """The present instant."""

    @abstractmethod
    def tick(self) -> None:
        """A lane that was claimed is free."""

    @abstractmethod
    def join_line(self, borrower: Borrower) -> None:
        """Let somebody wait for a lane; raises `Unavailable` where none is given any more."""

    @abstractmethod
    def leave_line(self, borrower: Borrower) -> None:
        """Somebody waits for a lane no longer."""

    @abstractmethod
    def check_open(self) -> None:
        """Raise `Unavailable` if nothing is taken any more."""

    def borrow(self, duration_ms: float = 0.0) -> Lane:
        """Wait for a lane and take it for the calling thread, who gives it back; where that runs a stage on one, it is that one.

        Parameters
        ----------
        duration_ms : float
            How long it is expected to be kept.

        Raises
        ------
        Unavailable
            If nothing is taken any more.
        """
        nested = self.held.nested()
        if nested is not None:
            return nested
        lane = self.borrow_free()
        if lane is not None:
            lane.until_ms = self.now_ms() + duration_ms
            return lane
        return self._prepared(self._wait_for_lane(duration_ms))

    def borrow_free(self) -> Lane | None:
        """Take a lane if one is free and nobody waits."""
        for lane in self.lanes:
            if lane.take(False):
                if lane.is_claimed:
                    self.give_back(lane)
                    return None
                return self._prepared(lane)
        return None

    @contextmanager
    def lane(self, duration_ms: float) -> Iterator[Lane]:
        """A lane for a while; parameter and errors are those of `borrow`."""
        lane = self.borrow(duration_ms)
        try:
            yield lane
        finally:
            self.give_back(lane)

    def give_back(self, lane: Lane) -> None:
        """The lane is free again."""
        lane.release()
        if lane.is_claimed:
            self.tick()

    def _wait_for_lane(self, duration_ms: float) -> Lane:
        borrower = Borrower(duration_ms)
        self.join_line(borrower)
        try:
            borrower.gate.acquire()
        except BaseException:
            self._withdraw(borrower)
            raise
        if borrower.lane is None:
            self.check_open()
            raise Unavailable("the predictor gives no lanes any more")
        return borrower.lane

    def _prepared(self, lane: Lane) -> Lane:
        try:
            lane.prepare()
        except BaseException:
            self.give_back(lane)
            raise
        return lane

    def _withdraw(self, borrower: Borrower) -> None:
        """Whoever waited for a lane was interrupted."""
        self.leave_line(borrower)
        if borrower.lane is not None:
            self.give_back(borrower.lane)
