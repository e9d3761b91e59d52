"""One request on its way through the lanes: what it asked for, what the stages have said, and how it ended.

Reads no clock. What changes it is said at each method: most hold the engine's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

import numpy as np

from cascade.core.times import ROUNDING_MS
from cascade.errors import CascadeError, StageError
from cascade.runtime.cache_use import CacheUse
from cascade.runtime.lane import Lane
from cascade.runtime.memory import Start
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.single import Request
from cascade.scheduling.messages import Answer, Priority


class Asked(Protocol):
    """A request, whichever way it is served.

    Attributes
    ----------
    owner : object
        Who makes the answer.
    receiver : object
        Whom it is told to.
    """

    owner: Any
    receiver: Any


class Receiver(Protocol):
    """Whoever waits for the outcome of a request."""

    def receive(self, pending: Asked) -> None:
        """The request has its outcome; no lock is held."""
        ...


class LoneCall:
    """A request that met an idle lane without load: the lane's thread answers it as a caller's own would.

    Parameters
    ----------
    owner : object
        Who makes the answer.
    batch : batch of one item
    request : Request
    receiver : Receiver
    use : CacheUse, optional

    Attributes
    ----------
    lane : Lane or None
        Taken for it.
    """

    __slots__ = ("batch", "lane", "owner", "receiver", "request", "use")

    def __init__(
        self, owner: Any, batch: Any, request: Request, receiver: Receiver, use: CacheUse | None = None
    ) -> None:
        self.owner, self.batch, self.request, self.receiver, self.use = owner, batch, request, receiver, use
        self.lane: Lane | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is no answer.

    Attributes
    ----------
    reason : str
        As in `Refuse`, or ``"cancelled"``.
    why : str
    n_waiting : int
        Requests that waited then.
    price : float
        Load price then.
    """

    reason: str
    why: str
    n_waiting: int = 0
    price: float = 0.0


Outcome = Answer | Refused | CascadeError


class Pending:
    """A request that a scheduler decides about; once it is over, whoever answers reads it like a `Walk`.

    Parameters
    ----------
    ready : ReadyPolicy
    batch : batch of one item
    request : Request
    priority : Priority
    due_ms : float
        Instant by which the scheduler is to have answered.
    receiver : Receiver

    Attributes
    ----------
    owner : object
        Who makes the answer; set by who queues it.
    is_strict, was_due : bool
        Whether it is answered by ``due_ms`` whatever runs, and whether it was.
    use : CacheUse or None
        Its dealings with a cache; set by who queues it.
    evidence_set, state, confidence, path, is_degraded, is_resumed
        As in `Walk`; changed by `commit` only once it is queued.
    started_ms, stopped_ms : float
        Instants of the first run, NaN before it, and of the outcome.
    outcome : Outcome or None
        None until it is over.
    fault : StageError or None
        The latest failure of a stage.
    carries : dict
        For the next exits: by stage, a carry of a batch and its row there.
    """

    __slots__ = (
        "_draft",
        "_is_within",
        "_least_ms",
        "batch",
        "carries",
        "confidence",
        "due_ms",
        "evidence_set",
        "fault",
        "is_degraded",
        "is_resumed",
        "is_strict",
        "outcome",
        "owner",
        "path",
        "priority",
        "ready",
        "receiver",
        "request",
        "started_ms",
        "state",
        "stopped_ms",
        "use",
        "was_due",
    )

    def __init__(
        self, ready: ReadyPolicy, batch: Any, request: Request, *, priority: Priority, due_ms: float, receiver: Receiver
    ) -> None:
        self.batch, self.request, self.priority, self.due_ms = batch, request, priority, due_ms
        self.receiver: Receiver = receiver
        self.owner: Any = None
        self.use: CacheUse | None = None
        self.is_strict = self.was_due = self.is_degraded = False
        self.evidence_set, self.confidence = 0, 0.0
        self.started_ms, self.stopped_ms = -inf, 0.0
        self.outcome: Outcome | None = None
        self.fault: StageError | None = None
        self.carries: dict[int, tuple[Any, int]] | None = None
        self.follow(ready)

    def follow(self, ready: ReadyPolicy) -> None:
        """Be decided under this policy, from nothing; before anything has run."""
        self.ready = ready
        self.state, self.evidence_set, self.is_resumed = ready.new_state(), 0, False
        self.path: tuple[str, ...] = ()
        guarantee = ready.policy.guarantee
        self._is_within = guarantee is not None
        self._least_ms = inf if guarantee is None else guarantee.min_budget_ms - ROUNDING_MS

    def resume(self, start: Start) -> None:
        """Begin with what is known; before it is queued."""
        self.state, self.confidence, self.path, self.is_resumed = start.state.copy(), start.confidence, start.path, True
        # Whoever looks from another thread reads the state of these stages.
        self.evidence_set = start.evidence_set
        self.carries = {j: (carry, 0) for j, carry in start.carries.items()} or None
        self._is_within = False

    def carry_of(self, j: int) -> Any:
        """What the exit after stage j continues from, as a batch of one; None if there is nothing."""
        held = None if self.carries is None else self.carries.get(j)
        return None if held is None else self.ready.stages[j].take(held[0], np.array([held[1]]))

    @property
    def is_certified(self) -> bool:
        """Whether the answer is within a guarantee, as far as path, time and load go."""
        return self._is_within and self.evidence_set != 0

    @property
    def queue_wait_ms(self) -> float:
        """From the call to the first run; to the outcome, where nothing ran."""
        started_ms = self.stopped_ms if self.started_ms == -inf else self.started_ms
        return max(started_ms - self.request.start_ms, 0.0)

    def decide(self, price: float, now_ms: float) -> None:
        """Take note that a decision about it was made at this load price; the engine's lock is held."""
        if not self._is_within:
            return
        guarantee = self.ready.policy.guarantee
        assert guarantee is not None
        left_ms = self.request.stop_at_ms - now_ms
        if left_ms < self._least_ms or not guarantee.covers(self.request.budget_ms, price):
            self._is_within = False

    def read(self, j: int, output: Any) -> float:
        """What stage j said, as the confidence that this gives; counts only once it is committed.

        Raises
        ------
        StageOutputError
            If it cannot be used.
        """
        # An answer may be given from the evidence so far while this is being written.
        state = self.state.copy() if self.evidence_set else self.state
        confidence = self.ready.absorb_one(state, j, self.evidence_set | 1 << j, output)
        self._draft = state, confidence
        return confidence

    def commit(self, j: int) -> None:
        """Let what was read of stage j count; the engine's lock is held."""
        self.state, self.confidence = self._draft
        self.evidence_set |= 1 << j
        self.path += self.ready.steps[j]
        self._least_ms -= self.ready.upper_ms[j]

    def keep_carry(self, j: int, carry: Any, row: int) -> None:
        """What the exit after stage j continues from: a row of a carry."""
        if self.carries is None:
            self.carries = {}
        self.carries[j] = (carry, row)

    def note_fault(self, fault: StageError) -> None:
        """A stage failed, or said something unusable; the engine's lock is held."""
        self.fault, self.is_degraded, self._is_within = fault, True, False
