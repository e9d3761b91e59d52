"""Time counted in invalidations: what was begun before one is never served to what is begun after it.

So nothing has to be found and dropped for a namespace to be void at once, and what is still being worked on is void as well.
"""

from __future__ import annotations

from threading import RLock

_MAX_DATES = 1024


class Epochs:
    """When each namespace was last declared void.

    Examples
    --------
    >>> epochs = Epochs()
    >>> before = epochs.since(b"a")
    >>> epochs.void(b"a")
    1
    >>> epochs.since(b"a"), epochs.since(b"b")
    ((1, 1), (1, 0))
    """

    __slots__ = ("_dates", "_floor", "_lock", "_now")

    def __init__(self) -> None:
        self._now = self._floor = 0
        self._dates: dict[bytes, int] = {}
        self._lock = RLock()

    def since(self, tenant: bytes) -> tuple[int, int]:
        """The present epoch, and the one from which on what is known of a namespace is valid."""
        # The present first: what begins while its namespace is declared void counts as begun before.
        return self._now, self._dates.get(tenant, self._floor)

    def valid_from(self, tenant: bytes) -> int:
        """The epoch from which on what is known of a namespace is valid."""
        return self._dates.get(tenant, self._floor)

    def void(self, tenant: bytes) -> int:
        """Declare a namespace void; the epoch that begins."""
        with self._lock:
            self._now += 1
            self._dates[tenant] = self._now
            if len(self._dates) > _MAX_DATES:
                # The namespace that was declared void the longest ago no longer has a date of its own: all go by it.
                self._floor = self._dates.pop(min(self._dates, key=self._dates.__getitem__))
            return self._now

    def void_all(self) -> None:
        """Declare everything void."""
        with self._lock:
            self._now += 1
            self._floor = self._now
            self._dates.clear()

    def renew(self) -> None:
        """Be usable in a process that was just forked."""
        self._lock = RLock()
