"""Entries that outlive the process, in a folder kept by diskcache. Nothing in it is ever unpickled.

Touches files. The folder is open only while it is read or written, so that several processes may share it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from sys import intern
from typing import Any

from cascade.caching.entries import Entry
from cascade.caching.keys import SEED_BYTES, Token, tenant_of
from cascade.caching.rows_on_disk import Row, packed, unpacked
from cascade.errors import ConfigurationError, MissingExtra

_SEED, _GENERATION = b"seed", b"void"
_AT_ONCE = 128


class Folder:
    """A folder of entries.

    Parameters
    ----------
    path : str or Path
        Made where it is missing. Whoever may read it can read the inputs.
    max_bytes : int
        What the files may take, about.

    Attributes
    ----------
    seed : bytes
        Of the keys, so that they are the same in the next process.

    Raises
    ------
    MissingExtra
        If diskcache is not installed.
    """

    def __init__(self, path: str | Path, max_bytes: int) -> None:
        self._path, self._max_bytes, self._cache = Path(path), max_bytes, _cache_class()
        with self._about() as about:
            # Whoever comes first decides; all others take what is there.
            about.add(_SEED, os.urandom(SEED_BYTES))
            self.seed: bytes = about.get(_SEED)
        if type(self.seed) is not bytes or len(self.seed) != SEED_BYTES:
            raise ConfigurationError(f"expected a folder that a result cache has made, got {path}: name another one")
        # How often everything, and each namespace, was declared void as far as this process knows. What it writes down is
        # from then, whatever others have declared since.
        self._known: dict[bytes, int] = {}

    def _about(self) -> Any:
        # Never culled: without its dates, what is void would come back.
        return self._cache(str(self._path / "about"), eviction_policy="none")

    def _rows(self) -> Any:
        return self._cache(str(self._path / "rows"), size_limit=max(self._max_bytes, 1))

    def generation(self, tenant: bytes) -> tuple[int, int]:
        """How often everything, and this namespace, was declared void as far as is known."""
        return self._known.get(_GENERATION, 0), self._known.get(_GENERATION + tenant, 0)

    def load(self, now_ms: float, ttl_ms: float) -> list[tuple[Token, Entry]]:
        """The entries that are neither damaged nor void nor too old, the oldest first.

        Parameters
        ----------
        now_ms, ttl_ms : float
            The present instant on the clock that the entries will live by, and how long they do.
        """
        with self._about() as about:
            self._known = {name: about.get(name) for name in about if _starts(name, _GENERATION)}
        with self._rows() as stored:
            rows = [row for name in stored if (row := unpacked(stored.get(name))) is not None]
        rows.sort(key=lambda row: row.born_at_ms)
        calendar, entries = calendar_ms(), []
        for row in rows:
            age_ms = calendar - row.born_at_ms
            # Of what comes from the future nobody knows the age.
            if row.generation == self.generation(tenant_of(row.token)) and 0.0 <= age_ms < ttl_ms:
                said = {intern(source): value for source, value in row.said.items()}
                entries.append((row.token, Entry(row.token, row.stored, said, born_ms=now_ms - age_ms, epoch=0)))
        return entries

    def save(self, entries: Sequence[tuple[Token, Entry]], valid_from: Callable[[Token], int], now_ms: float) -> int:
        """Write entries in the place of those of the same inputs; how many could be written.

        Parameters
        ----------
        entries : sequence of pairs
        valid_from : callable
            The epoch from which on entries of a key's namespace are valid.
        now_ms : float
            The present instant on the clock that the entries live by.
        """
        shift_ms = calendar_ms() - now_ms
        rows = []
        for token, entry in entries:
            # The date first: what is declared void in between is then written as from before.
            generation = self.generation(tenant_of(token))
            if entry.epoch >= valid_from(token):
                rows.append(Row(token, entry.stored, dict(entry.said), entry.born_ms + shift_ms, generation))
        n_written = 0
        with self._rows() as stored:
            for start in range(0, len(rows), _AT_ONCE):
                # A few at a time, so that other processes get through.
                with stored.transact():
                    for row in rows[start : start + _AT_ONCE]:
                        data = packed(row)
                        if data is not None:
                            stored.set(_name_of(row.token), data)
                            n_written += 1
        return n_written

    def void(self, tenant: bytes) -> None:
        """Forget a namespace, or everything for an empty name; what other processes found out before counts as void, too."""
        with self._about() as about:
            self._known[_GENERATION + tenant] = about.incr(_GENERATION + tenant)
        with self._rows() as rows:
            for name in [*rows]:
                if _starts(name, tenant):
                    rows.delete(name)


def _cache_class() -> Callable[..., Any]:
    """What opens a folder that holds bytes and numbers only."""
    try:
        from diskcache import Cache, Disk
    except ImportError as error:
        raise MissingExtra(
            "expected diskcache to keep results in a folder, and it is not installed: pip install 'cascade-inference[disk]'"
        ) from error

    class PlainDisk(Disk):  # type: ignore[misc] # diskcache ships no types
        """Reads bytes and numbers. What was pickled, by whomever, is not there."""

        def get(self, key: Any, raw: Any) -> Any:
            return super().get(key, raw) if raw else None

        def fetch(self, mode: int, filename: Any, value: Any, read: Any) -> Any:
            return None if mode == _PICKLED else super().fetch(mode, filename, value, read)

    return lambda directory, **settings: Cache(directory, disk=PlainDisk, **settings)


_PICKLED = 4
"""How diskcache marks values that it has pickled."""


def _name_of(token: Token) -> bytes:
    digest, head = token
    return head + digest


def _starts(name: Any, prefix: bytes) -> bool:
    return type(name) is bytes and name.startswith(prefix)


def calendar_ms() -> float:
    """Milliseconds since 1970: the only time that two processes share."""
    return time.time_ns() * 1e-6
