"""What goes into a scheduler and what comes out of it: frozen values.

Instants are milliseconds on whatever clock the owner reads; requests and lanes are numbers that the owner gives. What is made
for every request is a named tuple, which takes a third of the time of a frozen dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol


class Priority(IntEnum):
    """Classes of requests; a lower number goes first."""

    INTERACTIVE = 0
    NORMAL = 1
    BACKGROUND = 2


class Arrived(NamedTuple):
    """A request came in, perhaps with evidence from an earlier answer.

    Attributes
    ----------
    request : int
    deadline_ms : float
        Infinite for none.
    priority : Priority
    evidence_set : int
        Bit mask of the stages that have run for it.
    confidence : float
        Pooled confidence of that evidence.
    is_strict : bool
        Whether it is answered by its deadline even while a stage still runs for it.
    """

    request: int
    deadline_ms: float
    priority: Priority = Priority.NORMAL
    evidence_set: int = 0
    confidence: float = 0.0
    is_strict: bool = False


class Finished(NamedTuple):
    """A lane has done what it was told.

    Attributes
    ----------
    lane : int
    confidences : tuple of float
        Of each request of the batch, in its order, under its evidence now.
    service_ms : float
        What the stage took.
    """

    lane: int
    confidences: tuple[float, ...]
    service_ms: float


@dataclass(frozen=True, slots=True)
class Faulted:
    """A stage failed for a whole batch; its requests are where they were before, and will not run it again."""

    lane: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Nobody wants the answer any more; what runs for it already goes on to its end, and is dropped."""

    request: int


@dataclass(frozen=True, slots=True)
class Borrowed:
    """An idle lane does something that no scheduler told it, until about ``until_ms``."""

    lane: int
    until_ms: float


@dataclass(frozen=True, slots=True)
class Returned:
    """A borrowed lane is idle again."""

    lane: int


Event = Arrived | Finished | Faulted | Cancelled | Borrowed | Returned


class Run(NamedTuple):
    """Run a stage for these requests on a lane.

    Attributes
    ----------
    lane, stage : int
    requests : tuple of int
    price : float
        Load price under which the most urgent of them was decided, in accuracy per millisecond.
    closed_by : {"nobody else", "limit", "deadline"}
        Why the batch is no larger: no other request wants this stage now, the limit of its size, or a deadline.
    """

    lane: int
    stage: int
    requests: tuple[int, ...]
    price: float
    closed_by: str


class Answer(NamedTuple):
    """Answer a request from the evidence there is.

    Attributes
    ----------
    request : int
    evidence_set : int
        Bit mask of the stages whose evidence counts; never 0.
    is_degraded : bool
        Whether that is less than was planned on its arrival.
    """

    request: int
    evidence_set: int
    is_degraded: bool


class Refuse(NamedTuple):
    """Give up a request.

    Attributes
    ----------
    request : int
    reason : {"rejected", "expired", "shed", "failed"}
        Refused on arrival; too late to start; given up so that others are in time; every stage it could start with failed.
    why : str
        In words.
    """

    request: int
    reason: str
    why: str


Command = Run | Answer | Refuse


class Decides(Protocol):
    """What an engine asks of a scheduler, ours or another: tell it what happened, then ask what to do."""

    def handle(self, event: Event, now_ms: float) -> None:
        """Take note of what happened."""
        ...

    def poll(self, now_ms: float) -> list[Command]:
        """What to do now; at most one `Run` for each idle lane."""
        ...

    def next_wakeup_ms(self) -> float:
        """When to poll again if nothing happens; infinite for never."""
        ...
