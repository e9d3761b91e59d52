"""Who hears of requests, and what is noted of one that somebody hears of.

Without a listener a request pays for one look at an empty tuple, and one at a None.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from threading import Lock
from types import TracebackType
from typing import Any, Self

from cascade.telemetry.requests import Listener, RequestRecord, StageRun

_log = logging.getLogger("cascade")


class Listeners:
    """All that listen to one predictor.

    Attributes
    ----------
    active : tuple of Listener
    """

    def __init__(self) -> None:
        self.active: tuple[Listener, ...] = ()
        self._lock = Lock()

    def add(self, listener: Listener) -> Listening:
        """Let it hear of every request that begins from now on."""
        with self._lock:
            self.active = (*self.active, listener)
        return Listening(self, listener)

    def remove(self, listener: Listener) -> None:
        """Requests that have begun are still told."""
        with self._lock:
            self.active = tuple(other for other in self.active if other is not listener)

    def renew(self) -> None:
        """In a child process nobody listens: files and connections are the parent's."""
        self._lock = Lock()
        self.active = ()

    def begin(self) -> Trail:
        """A request begins on this thread."""
        trail = Trail(self)
        for listener in self.active:
            try:
                trail.told.append((listener, listener.began()))
            except Exception as error:  # noqa: BLE001 - whatever somebody's listener does, the request goes on
                self.let_go(listener, error)
        return trail

    def let_go(self, listener: Listener, error: Exception) -> None:
        """One that fails hears no more."""
        self.remove(listener)
        _log.error("%r failed, and hears of no more requests", listener, exc_info=error)


class Stoppable(ABC):
    """Goes on until `stop`, or to the end of its ``with`` block."""

    @abstractmethod
    def stop(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class Listening(Stoppable):
    """Somebody listens until `stop`, or to the end of the ``with`` block."""

    def __init__(self, listeners: Listeners, listener: Listener) -> None:
        self._listeners, self._listener = listeners, listener

    def stop(self) -> None:
        """Hear of no request that begins from now on."""
        self._listeners.remove(self._listener)


class Trail:
    """What is noted of one request.

    Attributes
    ----------
    told : list of (Listener, object)
        Who is to hear of its end, with what they said when it began.
    runs : list of StageRun
    """

    __slots__ = ("_listeners", "runs", "told")

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self.told: list[tuple[Listener, Any]] = []
        self.runs: list[StageRun] = []

    def end(self, record: RequestRecord) -> None:
        """Tell everybody, once."""
        told, self.told = self.told, []
        for listener, began in told:
            try:
                listener.ended(record, began)
            except Exception as error:  # noqa: BLE001 - as in `begin`
                self._listeners.let_go(listener, error)
