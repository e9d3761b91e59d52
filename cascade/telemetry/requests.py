"""What became of one request, as a frozen record for whoever listens.

Holds neither inputs nor labels: what is listened to ends up in logs.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple, Protocol


class StageRun(NamedTuple):
    """One run of a stage; the requests of a batch share it.

    Attributes
    ----------
    stage : str
    lane : int
    n : int
        Rows that ran together.
    start_ms, end_ms : float
        On the predictor's clock.
    has_failed : bool
        Whether it said nothing that could be used.
    closed_by : str
        Why the batch is no larger, as in `Run`; empty where nobody queued.
    """

    stage: str
    lane: int
    n: int
    start_ms: float
    end_ms: float
    has_failed: bool = False
    closed_by: str = ""


class RequestRecord(NamedTuple):
    """What became of one request, or of one call of many rows.

    Attributes
    ----------
    id : int
    n_rows : int
        1, or the rows of a call of `predict_batch`.
    priority : str
        The class it asked for.
    outcome : str
        ``"answered"``, ``"degraded"`` or ``"abstained"``; without an answer ``"rejected"``, ``"expired"``, ``"shed"``, ``"cancelled"`` or
        ``"failed"``. Of many rows the most frequent one.
    arrived_ms, ended_ms : float
        On the predictor's clock.
    deadline_ms : float
        On the same; infinite for none.
    queue_wait_ms : float
    in_time : bool
    path : tuple of str
        The stages that ran; empty for many rows, and without an answer.
    confidence : float or None
        None for many rows, and without an answer.
    from_cache : bool
        Whether some evidence came from the result cache.
    runs : tuple of StageRun
        In order of their ends.
    """

    id: int
    n_rows: int
    priority: str
    outcome: str
    arrived_ms: float
    ended_ms: float
    deadline_ms: float
    queue_wait_ms: float
    in_time: bool
    path: tuple[str, ...] = ()
    confidence: float | None = None
    from_cache: bool = False
    runs: tuple[StageRun, ...] = ()

    @property
    def latency_ms(self) -> float:
        """From the call to its end."""
        return self.ended_ms - self.arrived_ms

    @property
    def budget_ms(self) -> float | None:
        """Time allowed; None for no deadline."""
        return None if self.deadline_ms == inf else self.deadline_ms - self.arrived_ms

    @property
    def slack_ms(self) -> float | None:
        """Time that was left at the end, negative if it was late; None for no deadline."""
        return None if self.deadline_ms == inf else self.deadline_ms - self.ended_ms

    @property
    def is_answered(self) -> bool:
        """Whether there was an answer."""
        return self.outcome in {"answered", "degraded", "abstained"}


class Listener(Protocol):
    """Hears of every request; both methods are called on threads that serve, several at once, and should be quick."""

    def began(self) -> Any:
        """A request begins, on the thread of its caller: whatever is to be known of that at its end."""
        ...

    def ended(self, record: RequestRecord, began: Any) -> None:
        """It is over; ``began`` is what was returned when it began."""
        ...
