"""Who has which lane: nobody, the scheduler's batch, or a caller who runs stages on a thread of their own.

Every method holds the engine's lock. A caller takes a lane that is free without asking, and the scheduler is told only
if it wants that lane meanwhile: the lane is then claimed, and whoever releases it calls the engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import Lock

from cascade.runtime.lane import Lane
from cascade.scheduling.messages import Borrowed, Decides, Returned

_FREE, _RUNNING, _DONE, _LENT = range(4)


class Borrower:
    """Somebody who waits for a lane.

    Parameters
    ----------
    duration_ms : float
        How long it is expected to be kept.

    Attributes
    ----------
    gate : Lock
        Opens when ``lane`` is there, or nobody will give one any more.
    lane : Lane or None
    """

    __slots__ = ("duration_ms", "gate", "lane")

    def __init__(self, duration_ms: float) -> None:
        self.duration_ms = duration_ms
        self.gate = Lock()
        self.gate.acquire()
        self.lane: Lane | None = None


class Lending:
    """Which lanes the scheduler may use.

    Parameters
    ----------
    lanes : sequence of Lane

    Attributes
    ----------
    borrowers : deque of Borrower
        In the order in which they came.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = tuple(lanes)
        self._states = [_FREE] * len(lanes)
        self._was_lent = [False] * len(lanes)
        self.borrowers: deque[Borrower] = deque()
        self._is_ending = False

    @property
    def is_idle(self) -> bool:
        """Whether nobody is known to have a lane, nor to wait for one."""
        return not self.borrowers and self._states.count(_FREE) == len(self._states)

    def take_idle(self, scheduler: Decides, now_ms: float, longest_ms: float) -> list[Lane]:
        """Take every lane that the scheduler may use; tell it of those that others have.

        ``longest_ms`` is the most that a caller is expected to keep one.
        """
        idle = []
        for number, lane in enumerate(self._lanes):
            state = self._states[number]
            if state == _RUNNING:
                continue
            if state == _DONE:
                self._states[number] = _FREE
                idle.append(lane)
                continue
            if not lane.take(False):
                # Whoever releases it after this sees the claim; whoever has released it before makes the second try succeed.
                lane.is_claimed = True
                if not lane.take(False):
                    if state == _FREE:
                        self._lend(lane, scheduler, now_ms, longest_ms)
                    continue
            lane.is_claimed = self._is_ending
            if state == _LENT:
                self._states[number] = _FREE
                self._was_lent[number] = True
                scheduler.handle(Returned(number), now_ms)
            idle.append(lane)
        return idle

    def grant(self, idle: list[Lane], scheduler: Decides, now_ms: float, *, is_needed: bool) -> None:
        """Give idle lanes to those who wait for one; where requests wait too (``is_needed``), they take turns."""
        for lane in [*idle]:
            if not self.borrowers:
                return
            if is_needed and self._was_lent[lane.number]:
                continue
            idle.remove(lane)
            borrower = self.borrowers.popleft()
            lane.is_claimed = True
            lane.until_ms = now_ms + borrower.duration_ms
            borrower.lane = lane
            self._lend(lane, scheduler, now_ms, borrower.duration_ms)
            borrower.gate.release()

    def run(self, lane: Lane) -> None:
        """A taken lane runs a batch."""
        self._states[lane.number], self._was_lent[lane.number] = _RUNNING, False

    def finish(self, lane: Lane) -> None:
        """The batch has run: the lane is idle, and still taken."""
        self._states[lane.number] = _DONE

    def claim_for_ever(self) -> None:
        """From now on nobody takes a lane without asking the engine."""
        self._is_ending = True
        for lane in self._lanes:
            lane.is_claimed = True

    def turn_away(self) -> None:
        """Let those go who wait for a lane, without one."""
        while self.borrowers:
            self.borrowers.popleft().gate.release()

    def _lend(self, lane: Lane, scheduler: Decides, now_ms: float, longest_ms: float) -> None:
        self._states[lane.number] = _LENT
        until_ms = min(max(lane.until_ms, now_ms), now_ms + longest_ms)
        scheduler.handle(Borrowed(lane.number, until_ms), now_ms)
