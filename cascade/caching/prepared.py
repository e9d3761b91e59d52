"""What ``preprocess=`` made of inputs, kept within a bound of its own, so that a request which goes on need not do it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cascade.caching.entries import Entry, copied, private
from cascade.caching.keys import Key, KeyMaker
from cascade.caching.store import Store
from cascade.errors import ConfigurationError

_BATCH = "batch"


class PreparedInputs:
    """Prepared batches of one item, by the key of the input.

    Parameters
    ----------
    keys : KeyMaker
    max_bytes, ttl_ms, now
        As for `Store`.

    Notes
    -----
    The version of ``preprocess=`` is in the scope of the keys.
    """

    def __init__(self, keys: KeyMaker, max_bytes: int, ttl_ms: float | None, now: Callable[[], float]) -> None:
        self.store = Store(max_bytes, ttl_ms, now)
        self._keys, self._now = keys, now

    def get(self, key: Key) -> Any:
        """A batch that whoever gets it may write into; None where there is none."""
        entry = self.store.get(key.token, key.valid_from)
        return copied(entry.said[_BATCH]) if entry is not None and entry.stored == key.parts else None

    def keep(self, key: Key, batch: Any) -> bool:
        """Keep a batch; False if it cannot be copied for sure, or the input has changed since its key was made."""
        parts = self._keys.copied(key)
        if parts is None:
            return False
        try:
            said = {_BATCH: private(batch)}
        except ConfigurationError:
            return False
        entry = Entry(key.token, parts, said, born_ms=self._now(), epoch=key.epoch)
        if not self.store.swap(key.token, entry, None, key.valid_from):
            current = self.store.peek(key.token, key.valid_from)
            if current is not None and current.stored != parts:
                # Another input of the same hash: one of the two has to go.
                self.store.swap(key.token, entry, current, key.valid_from)
        return True
