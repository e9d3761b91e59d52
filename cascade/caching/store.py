"""Entries within a bound in bytes: the least recently used go first, and none is served beyond its time to live.

Reads the clock it is given, always before it takes its lock. Under the lock there is no hashing, no copying and no code of
the user's; what was dropped is freed after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from threading import RLock

from cachetools import Cache, LRUCache, TTLCache

from cascade.caching.entries import Entry
from cascade.caching.frequency import Frequencies
from cascade.caching.keys import Token
from cascade.caching.stats import Counts
from cascade.errors import ConfigurationError

_ADMISSIONS = ("recency", "frequency")
_BYTES_PER_COUNTER = 512
"""Four counters for an entry of two kilobytes."""
_SWEPT = 256
"""Entries looked at under one hold of the lock when many are dropped."""


class Store:
    """Entries by token.

    Parameters
    ----------
    max_bytes : int
        The entries never take more.
    ttl_ms : float or None
        Age from which on an entry is not served.
    now : callable
        The present instant in milliseconds.
    admission : {"recency", "frequency"}
        Whether a new entry always gets room, or only where it was asked for more often of late than those that would have to go.

    Attributes
    ----------
    counts : Counts
        Changed under ``lock`` only.
    n_bytes : int
        What the entries take.

    Notes
    -----
    A signal handler or a finaliser may call into a store that its own thread is changing. Such a call finds nothing and
    stores nothing.
    """

    def __init__(
        self, max_bytes: int, ttl_ms: float | None, now: Callable[[], float], admission: str = "recency"
    ) -> None:
        if not isinstance(max_bytes, int) or max_bytes < 0:
            raise ConfigurationError(f"expected max_bytes as a number of bytes >= 0, got {max_bytes!r}")
        if ttl_ms is not None and not ttl_ms >= 0.0:
            raise ConfigurationError(f"expected ttl_ms >= 0, or None for no limit, got {ttl_ms!r}")
        if admission not in _ADMISSIONS:
            raise ConfigurationError(f"expected admission to be one of {_ADMISSIONS}, got {admission!r}")
        self._asked = Frequencies(max_bytes // _BYTES_PER_COUNTER) if admission == "frequency" else None
        self.max_bytes, self.ttl_ms = max_bytes, inf if ttl_ms is None else float(ttl_ms)
        self.counts, self.n_bytes = Counts(), 0
        self.lock = RLock()
        self._now, self._instant_ms, self._latest_ms, self._is_busy = now, -inf, -inf, False
        self._empty()

    def _empty(self) -> None:
        # Whose turn it is to go, by use and by age. The entries stand apart: one that grows stays as old as it was. Sizes are summed
        # up here: the library would keep a third table for them.
        self._order: Cache[Token, None] = (
            LRUCache(inf) if self.ttl_ms == inf else TTLCache(inf, self.ttl_ms, timer=lambda: self._instant_ms)
        )
        self._entries: dict[Token, Entry] = {}
        self.n_bytes = 0

    def __contains__(self, token: Token) -> bool:
        """Whether there is an entry, valid or not; takes no lock."""
        return token in self._entries

    def get(self, token: Token, valid_from: int) -> Entry | None:
        """The entry, if it is neither too old nor from before an invalidation; counted as a hit or a miss."""
        now_ms = 0.0 if self.ttl_ms == inf else self._now()
        with self.lock:
            if self._asked is not None:
                self._asked.note(token)
            entry = self._find(token, valid_from, now_ms)
            if entry is None:
                self.counts.misses += 1
            else:
                self.counts.hits += 1
        return entry

    def get_all(self, tokens: Sequence[Token], valid_from: Sequence[int]) -> list[Entry | None]:
        """As `get`, of many tokens; others get through in between."""
        now_ms = 0.0 if self.ttl_ms == inf else self._now()
        found: list[Entry | None] = []
        for start in range(0, len(tokens), _SWEPT):
            part = slice(start, start + _SWEPT)
            with self.lock:
                for token, epoch in zip(tokens[part], valid_from[part], strict=True):
                    if self._asked is not None:
                        self._asked.note(token)
                    found.append(self._find(token, epoch, now_ms) if token in self._entries else None)
                n_missing = found[start:].count(None)
                self.counts.misses += n_missing
                self.counts.hits += len(found) - start - n_missing
        return found

    def peek(self, token: Token, valid_from: int) -> Entry | None:
        """As `get`, without counting."""
        now_ms = 0.0 if self.ttl_ms == inf else self._now()
        with self.lock:
            return self._find(token, valid_from, now_ms)

    def _find(self, token: Token, valid_from: int, now_ms: float) -> Entry | None:
        entry = self._entries.get(token)
        if entry is None or self._is_busy or entry.epoch < valid_from or now_ms >= entry.born_ms + self.ttl_ms:
            return None
        self._is_busy = True
        try:
            self._instant_ms = now_ms
            # Marks it as used.
            self._order[token]
        except KeyError:
            return None
        finally:
            self._is_busy = False
        return entry

    def swap(self, token: Token, entry: Entry, expected: Entry | None, valid_from: int) -> bool:
        """Put an entry in the place of the one that was found there; False if there is another one by now."""
        now_ms = self._now() if self.ttl_ms != inf else 0.0
        # Freed when this returns, and not under the lock.
        freed: list[Entry] = []
        with self.lock:
            return self._swap(token, entry, expected, valid_from, now_ms=now_ms, freed=freed)

    def put_all(self, tokens: Sequence[Token], entries: Sequence[Entry], valid_from: Sequence[int]) -> list[bool]:
        """As `swap`, of many entries that were not found there; others get through in between."""
        now_ms = self._now() if self.ttl_ms != inf else 0.0
        are_put: list[bool] = []
        for start in range(0, len(entries), _SWEPT):
            freed: list[Entry] = []
            part = slice(start, start + _SWEPT)
            with self.lock:
                are_put += [
                    self._swap(token, entry, None, epoch, now_ms=now_ms, freed=freed)
                    for token, entry, epoch in zip(tokens[part], entries[part], valid_from[part], strict=True)
                ]
        return are_put

    def _swap(
        self,
        token: Token,
        entry: Entry,
        expected: Entry | None,
        valid_from: int,
        *,
        now_ms: float,
        freed: list[Entry],
    ) -> bool:
        if self._is_busy or entry.n_bytes > self.max_bytes or now_ms >= entry.born_ms + self.ttl_ms:
            self.counts.declined += 1
            return True
        self._is_busy = True
        try:
            if self.ttl_ms != inf:
                self._drop_expired(now_ms, freed)
            current = self._entries.get(token)
            if current is not None and not self._is_valid(current, valid_from):
                self._drop_invalid(token, valid_from, freed)
                current = None
            if current is not expected:
                return False
            self._put(token, entry, current, freed)
        finally:
            self._is_busy = False
        return True

    def _is_valid(self, entry: Entry, valid_from: int) -> bool:
        return entry.epoch >= valid_from and self._instant_ms < entry.born_ms + self.ttl_ms

    def _drop_invalid(self, token: Token, valid_from: int, freed: list[Entry]) -> None:
        self._drop(token, freed)
        if freed[-1].epoch < valid_from:
            self.counts.invalidated += 1
        else:
            self.counts.expired += 1

    def _put(self, token: Token, entry: Entry, current: Entry | None, freed: list[Entry]) -> None:
        if current is None:
            grown = entry.n_bytes
        else:
            grown = entry.n_bytes - current.n_bytes
            # The last to go, so that room is never made by dropping it.
            self._order[token]
        if self.n_bytes + grown > self.max_bytes and not self._make_room(token, grown, current, freed):
            self.counts.declined += 1
            return
        if current is None:
            # Ages are kept in the order in which entries came. One that is older than its place says, because its thread was held up after
            # looking at the clock, stays a little longer, and is not served.
            self._instant_ms = self._latest_ms = max(self._latest_ms, entry.born_ms)
            self._order[token] = None
            self.counts.stored += 1
        self._entries[token] = entry
        self.n_bytes += grown

    def _make_room(self, token: Token, grown: int, current: Entry | None, freed: list[Entry]) -> bool:
        """Drop what was used the longest ago, until there is room; False where that is worth more than what is to come."""
        pop, entries, doomed = self._order.popitem, self._entries, []
        room = self.max_bytes - self.n_bytes
        while room < grown:
            oldest, _ = pop()
            doomed.append(oldest)
            room += entries[oldest].n_bytes
        if self._asked is not None and current is None and self._asked.of(token) <= max(map(self._asked.of, doomed)):
            # They have been looked at, and start anew.
            for oldest in doomed:
                self._order[oldest] = None
            return False
        freed += [entries.pop(oldest) for oldest in doomed]
        self.n_bytes = self.max_bytes - room
        self.counts.evictions += len(doomed)
        return True

    def _drop(self, token: Token, freed: list[Entry]) -> None:
        del self._order[token]
        entry = self._entries.pop(token)
        self.n_bytes -= entry.n_bytes
        freed.append(entry)

    def _drop_expired(self, now_ms: float, freed: list[Entry]) -> None:
        self._instant_ms = now_ms
        if not isinstance(self._order, TTLCache):
            return
        for token, _ in self._order.expire(now_ms):
            entry = self._entries.pop(token)
            self.n_bytes -= entry.n_bytes
            self.counts.expired += 1
            freed.append(entry)

    def drop(self, prefix: bytes, before: int) -> None:
        """Drop the entries whose keys start like this and are from before an epoch; a few at a time, so that others get through."""
        doomed = [token for token, entry in self.items() if entry.epoch < before and token[1].startswith(prefix)]
        for start in range(0, len(doomed), _SWEPT):
            freed: list[Entry] = []
            with self.lock:
                if self._is_busy:
                    return
                self._is_busy = True
                try:
                    self._drop_expired(self._instant_ms, freed)
                    for token in doomed[start : start + _SWEPT]:
                        entry = self._entries.get(token)
                        if entry is not None and entry.epoch < before:
                            self._drop(token, freed)
                            self.counts.invalidated += 1
                finally:
                    self._is_busy = False

    def items(self) -> list[tuple[Token, Entry]]:
        """The entries as they are now, those that nobody will be served any more among them."""
        with self.lock:
            return [*self._entries.items()]

    def clear(self) -> None:
        """Drop everything."""
        with self.lock:
            if self._is_busy:
                return
            freed = self._order, self._entries
            self.counts.invalidated += len(self._entries)
            self._empty()
        del freed

    def purge(self) -> tuple[Counts, int, int]:
        """Drop what is too old; the counts, the number of entries and their bytes after that, all of one instant."""
        now_ms = self._now()
        freed: list[Entry] = []
        with self.lock:
            if not self._is_busy:
                self._is_busy = True
                try:
                    self._drop_expired(now_ms, freed)
                finally:
                    self._is_busy = False
            return replace(self.counts), len(self._entries), self.n_bytes

    def renew(self) -> None:
        """Start afresh in a process that was forked while some other thread may have been at work here."""
        self.lock = RLock()
        if self._is_busy:
            self._is_busy = False
            self.clear()
