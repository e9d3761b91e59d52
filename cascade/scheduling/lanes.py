"""What every lane does, and when it is free again.

Pure state.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from cascade.scheduling.waiting import Item

_IDLE, _BORROWED = -1, -2


class Lane:
    """One lane.

    Attributes
    ----------
    stage : int
        That runs; negative where none does, or somebody else has the lane.
    items : list of Item
        That it runs for.
    free_at_ms, free_by_ms : float
        When it is expected to end, and when at the latest.
    """

    __slots__ = ("free_at_ms", "free_by_ms", "items", "stage")

    def __init__(self) -> None:
        self.stage = _IDLE
        self.items: list[Item] = []
        self.free_at_ms = self.free_by_ms = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether it can be given work."""
        return self.stage == _IDLE

    def start(self, stage: int, items: list[Item], free_at_ms: float, free_by_ms: float) -> None:
        """A stage runs from now on."""
        self.stage, self.items, self.free_at_ms, self.free_by_ms = stage, items, free_at_ms, free_by_ms

    def borrow(self, until_ms: float) -> None:
        """Somebody else has it until about then."""
        self.start(_BORROWED, [], until_ms, until_ms)

    def release(self) -> tuple[int, list[Item]]:
        """It is idle again; what ran, and for whom."""
        stage, items = self.stage, self.items
        self.stage, self.items = _IDLE, []
        return stage, items


class Lanes:
    """All lanes.

    Parameters
    ----------
    n_lanes : int
    """

    __slots__ = ("_lanes",)

    def __init__(self, n_lanes: int) -> None:
        self._lanes = [Lane() for _ in range(n_lanes)]

    def __len__(self) -> int:
        return len(self._lanes)

    def __getitem__(self, number: int) -> Lane:
        return self._lanes[number]

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes)

    @property
    def are_idle(self) -> bool:
        """Whether all of them can be given work."""
        return all(lane.stage == _IDLE for lane in self._lanes)

    @property
    def any_idle(self) -> bool:
        """Whether one of them can be given work."""
        for lane in self._lanes:  # noqa: SIM110 - asked at every poll, and a generator costs more than the look
            if lane.stage == _IDLE:
                return True
        return False

    def start_ms(self, now_ms: float) -> float:
        """When the first of them is expected to be free."""
        start_ms = inf
        for lane in self._lanes:
            if lane.stage == _IDLE:
                return now_ms
            start_ms = min(start_ms, lane.free_at_ms)
        return max(start_ms, now_ms)

    def free_by_ms(self, now_ms: float) -> list[float]:
        """When each is free at the latest."""
        return [now_ms if lane.stage == _IDLE or lane.free_by_ms < now_ms else lane.free_by_ms for lane in self._lanes]

    def busy_ms(self, now_ms: float) -> float:
        """Until they are free, on average."""
        busy_ms = 0.0
        for lane in self._lanes:
            if lane.stage != _IDLE and lane.free_at_ms > now_ms:
                busy_ms += lane.free_at_ms - now_ms
        return busy_ms / len(self._lanes)
