"""One computation at a time for each key: one request leads, the others wait for what it finds out, each until its own deadline.

Runs no stage and reads no clock but to wait. Holds no lock: every step is one operation of a dict, so that nothing here can
deadlock, whoever calls in from a signal handler, a finaliser or a stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from functools import partial
from threading import Lock, get_ident
from types import TracebackType
from typing import Any, Self

from cascade.caching.entries import NOTHING, Said
from cascade.caching.keys import Key, Token
from cascade.clock import Clock

_Name = tuple[Token, int]


class _Phase(Enum):
    RUNNING = "running"
    LANDED = "landed"
    FAILED = "failed"


_RUNNING, _LANDED, _FAILED = _Phase.RUNNING, _Phase.LANDED, _Phase.FAILED


class _Flight:
    """One computation in progress, and who waits for it."""

    __slots__ = ("key", "name", "phase", "said", "so_far", "waiting")

    def __init__(self, key: Key, name: _Name) -> None:
        self.key, self.name = key, name
        self.phase = _RUNNING
        self.said: Said = NOTHING
        self.so_far: Callable[[], Said] = _nothing
        self.waiting: dict[int, Callable[[], object]] = {}

    def call_back(self, number: int, callback: Callable[[], object]) -> None:
        """Call back once the flight has ended; at once if it has."""
        self.waiting[number] = callback
        # Whoever takes the callback out makes the call: it is made once, whether the flight ends before or after this line.
        if self.phase is not _RUNNING and self.waiting.pop(number, None) is not None:
            callback()

    def end(self, phase: _Phase) -> None:
        # What it would have told knows the leader's input.
        self.phase, self.so_far = phase, _nothing
        while self.waiting:
            # Somebody else may have taken the last one out, or may wait on a loop that is closed by now. Whatever one of them does, the
            # others are woken.
            with suppress(Exception):
                self.waiting.popitem()[1]()


class Lead:
    """The right, and the duty, to find out for everybody who asks for one key.

    Used as a context, it fails where it was not landed. So it does when it is forgotten.

    Attributes
    ----------
    key : Key
    said : mapping
        What is known already.
    """

    __slots__ = ("_flight", "_flights", "_thread", "key", "said")

    def __init__(self, flights: Flights, flight: _Flight | None, key: Key, thread: int | None) -> None:
        self.key, self.said = key, NOTHING
        self._flights, self._flight, self._thread = flights, flight, thread

    @property
    def has_joiners(self) -> bool:
        """Whether anybody waits right now."""
        return self._flight is not None and bool(self._flight.waiting)

    def tell(self, so_far: Callable[[], Said]) -> None:
        """Let whoever has to leave before the end take along what is known by then.

        Parameters
        ----------
        so_far : callable
            Called by them, on their threads, while the leader goes on: all that is known, changed by nobody from then on.
        """
        if self._flight is not None:
            self._flight.so_far = so_far

    def land(self, ran: Said) -> None:
        """End with what was found out, beside what is known already, and wake who waits."""
        if self._flight is not None:
            self._flight.said = {**self.said, **ran, **self.said} if self.said else ran
        self._end(_LANDED)

    def fail(self) -> None:
        """End, and wake who waits: one of them will lead."""
        self._end(_FAILED)

    def _end(self, phase: _Phase) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._flights.finish(thread)
        flight, self._flight = self._flight, None
        if flight is not None:
            # Out of the table first: whoever is woken and asks again starts anew.
            self._flights.forget(flight.name)
            flight.end(phase)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(_FAILED)

    def __del__(self) -> None:
        if self._flight is not None or self._thread is not None:
            self._end(_FAILED)


class Join:
    """A place among those who wait for one computation.

    Attributes
    ----------
    key : Key
    """

    __slots__ = ("_flight", "_flights", "key")

    def __init__(self, flights: Flights, flight: _Flight, key: Key) -> None:
        self._flights, self._flight, self.key = flights, flight, key

    @property
    def has_landed(self) -> bool:
        """Whether the leader has found out; what it says then holds for this key."""
        return self._flight.phase is _LANDED

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self._flight.phase is not _RUNNING

    @property
    def said(self) -> Said:
        """What the leader has said so far; nothing if its input is no longer this one."""
        flight = self._flight
        if flight.phase is _LANDED:
            return flight.said
        # Nobody has looked yet whether the leader's caller has changed the input meanwhile.
        said = flight.so_far()
        return said if said and self._flights.is_unchanged(flight.key) else NOTHING

    def wait(self, clock: Clock, until_ms: float) -> bool:
        """Sleep until the leader has ended, or until an instant.

        Returns
        -------
        bool
            Whether it is over. False at once on a thread that is itself at work for somebody: it has to find out for itself.
        """
        flight = self._flight
        if flight.phase is _RUNNING and not self._flights.is_at_work():
            gate = Lock()
            gate.acquire()
            flight.call_back(id(gate), partial(_open, gate))
            clock.wait_for(gate, until_ms)
            flight.waiting.pop(id(gate), None)
        return flight.phase is not _RUNNING

    def call_back(self, callback: Callable[[], object]) -> bool:
        """Call back, once, when the leader has ended: on its thread, or at once on this one.

        Parameters
        ----------
        callback : callable
            Without arguments; does next to nothing, such as telling an event loop.

        Returns
        -------
        bool
            False, without a call, on a thread that is itself at work for somebody.
        """
        if self._flights.is_at_work():
            return False
        self._flight.call_back(id(self), callback)
        return True

    def leave(self) -> None:
        """Be called back no more."""
        self._flight.waiting.pop(id(self), None)


class Flights:
    """The computations in progress.

    Parameters
    ----------
    is_unchanged : callable
        Whether the input of a key is still what the key was made of.

    Examples
    --------
    >>> from cascade.caching.keys import KeyMaker, scope_of
    >>> maker = KeyMaker(bytes(40), 1024, "copy", None)
    >>> key = maker.key("a question", scope_of("", ""), (0, 0))
    >>> flights = Flights(maker.is_unchanged)
    >>> lead = flights.enter(key, runs_here=False)
    >>> join = flights.enter(key, runs_here=False)
    >>> lead.land({"small": 0.9})
    >>> join.has_landed, join.said
    (True, {'small': 0.9})
    """

    __slots__ = ("_at_work", "_in_progress", "is_unchanged")

    def __init__(self, is_unchanged: Callable[[Key], bool]) -> None:
        self.is_unchanged = is_unchanged
        self._in_progress: dict[_Name, _Flight] = {}
        # By thread, how many computations it is at work on; only the thread itself writes its entry.
        self._at_work: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._in_progress)

    def enter(self, key: Key, *, runs_here: bool) -> Lead | Join:
        """Lead the computation for this key, or join the one in progress.

        Parameters
        ----------
        key : Key
        runs_here : bool
            Whether the calling thread itself will run the stages if it leads.
        """
        name = (key.token, key.valid_from)
        flight = self._in_progress.get(name)
        mine = None
        if flight is None:
            mine = _Flight(key, name)
            flight = self._in_progress.setdefault(name, mine)
        if flight is not mine:
            if flight.key.is_same(key):
                return Join(self, flight, key)
            # Another input of the same hash, or one that was changed since: this one is found out apart.
            mine = None
        if not runs_here:
            return Lead(self, mine, key, None)
        thread = get_ident()
        self.begin(thread)
        return Lead(self, mine, key, thread)

    def is_at_work(self) -> bool:
        """Whether the calling thread works for somebody: then it must not wait for others, who may be waiting for it."""
        return get_ident() in self._at_work

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Context of a thread that runs stages for others: what is asked from within never waits for a leader."""
        thread = get_ident()
        self.begin(thread)
        try:
            yield
        finally:
            self.finish(thread)

    def begin(self, thread: int) -> None:
        """One more computation that this thread is at work on."""
        self._at_work[thread] = self._at_work.get(thread, 0) + 1

    def finish(self, thread: int) -> None:
        """One less."""
        left = self._at_work.get(thread, 1) - 1
        if left:
            self._at_work[thread] = left
        else:
            self._at_work.pop(thread, None)

    def forget(self, name: Any) -> None:
        """The computation of this name has ended."""
        self._in_progress.pop(name, None)

    def renew(self) -> None:
        """Start afresh in a process that was forked: none of the others' threads is here."""
        self._in_progress, self._at_work = {}, {}


def _nothing() -> Said:
    return NOTHING


def _open(gate: Lock) -> None:
    gate.release()
