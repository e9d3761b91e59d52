"""Near duplicates: which of the inputs that are known is so like this one that its answer may be taken.

Calls the user's embedding, never under a lock. How alike is alike enough was proved on labelled pairs; it is not chosen here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, Protocol

from cascade.caching.keys import Key, Token
from cascade.caching.neighbours import MOST_EXACT, Index, check_room, index_for
from cascade.core.directions import Directions, unit_vectors
from cascade.errors import ConfigurationError


class ProvedThreshold(Protocol):
    """What `control_similarity` returns."""

    @property
    def threshold(self) -> float:
        """Least similarity, in [0, 1)."""
        ...

    @property
    def max_risk(self) -> float:
        """Bound on the share of wrong answers among those taken from a neighbour."""
        ...

    @property
    def delta(self) -> float:
        """Probability that the bound does not hold."""
        ...


class SimilarityCache:
    """Finds near duplicates for a `ResultCache`.

    Parameters
    ----------
    embed : callable
        One input in, a vector of d numbers out; the one that the threshold was proved with.
    threshold : SimilarityThreshold
        From `control_similarity` on labelled pairs.
    max_entries : int
        Most inputs that are searched; the oldest make room. Up to 100,000 the search is exact; beyond, it needs the extra
        ``neighbours`` and misses one now and then.

    Attributes
    ----------
    proved : SimilarityThreshold
    n_failed : int
        Inputs that could not be embedded, and were answered without their neighbours.

    Raises
    ------
    ConfigurationError
        If the threshold is a number, or another argument cannot work.
    MissingExtra
        If so many entries need hnswlib, and it is not installed.

    Notes
    -----
    Its vectors take ``n_bytes`` beside the bound of the `ResultCache`.
    """

    def __init__(
        self, embed: Callable[[Any], Any], threshold: ProvedThreshold, *, max_entries: int = MOST_EXACT
    ) -> None:
        if not callable(embed):
            raise ConfigurationError(f"expected embed to be a function of one input, got {embed!r}")
        if not all(hasattr(threshold, name) for name in ("threshold", "max_risk", "delta")):
            raise ConfigurationError(
                f"expected threshold as control_similarity returns it, got {threshold!r}: a number proves nothing about the answers "
                "that are taken from neighbours; hand labelled pairs to cascade.control_similarity"
            )
        if not isinstance(max_entries, int) or max_entries < 1:
            raise ConfigurationError(f"expected max_entries as a number of at least 1, got {max_entries!r}")
        check_room(max_entries)
        self.proved, self.n_failed = threshold, 0
        self._embed, self._max_entries = embed, max_entries
        # By scope: nothing of one is a neighbour of anything in another.
        self._indices: dict[tuple[bytes, int], Index] = {}
        self._places: OrderedDict[Token, tuple[bytes, int]] = OrderedDict()
        self._lock, self._is_busy = RLock(), False

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether this thread may go ahead: not from within itself, as a signal handler would."""
        with self._lock:
            if self._is_busy:
                yield False
                return
            self._is_busy = True
            try:
                yield True
            finally:
                self._is_busy = False

    def __len__(self) -> int:
        return len(self._places)

    @property
    def n_bytes(self) -> int:
        """What the vectors take."""
        return sum(index.n_bytes for index in [*self._indices.values()])

    def embed(self, key: Key, x: Any) -> Directions | None:
        """The direction of an input, kept with its key; None where it has none."""
        if key.vector is None:
            try:
                vector = unit_vectors(self._embed(x))
                key.vector = vector.reshape(-1) if vector.ndim == 1 or len(vector) == 1 else None
            except Exception:  # noqa: BLE001 - whatever the user's function does: the request is answered without neighbours
                key.vector = None
            if key.vector is None:
                self.n_failed += 1
        direction: Directions | None = key.vector
        return direction

    def nearest(self, key: Key, direction: Directions) -> Token | None:
        """The most similar input of the same scope, if it is similar enough."""
        index = self._indices.get((key.scope.prefix, len(direction)))
        if index is None:
            return None
        # Most of the work without the lock; what it found is looked at once more under it.
        candidate = index.candidate(direction)
        with self._alone() as is_alone:
            found = index.nearest(direction, candidate) if is_alone else None
        return found[0] if found is not None and found[1] >= self.proved.threshold else None

    def add(self, key: Key) -> None:
        """Let an input be found, if it was embedded."""
        direction = key.vector
        if direction is None:
            return
        place = key.scope.prefix, len(direction)
        with self._alone() as is_alone:
            if not is_alone or key.token in self._places:
                return
            if len(self._places) >= self._max_entries:
                self._remove(next(iter(self._places)))
            index = self._indices.get(place)
            if index is None:
                index = self._indices[place] = index_for(len(direction), self._max_entries)
            index.add(key.token, direction)
            self._places[key.token] = place

    def drop(self, token: Token) -> None:
        """Let an input that is no longer known be found no more."""
        with self._alone() as is_alone:
            if is_alone and token in self._places:
                self._remove(token)

    def _remove(self, token: Token) -> None:
        place = self._places.pop(token)
        index = self._indices[place]
        index.remove(token)
        if not len(index):
            del self._indices[place]

    def forget(self, tenant: bytes) -> None:
        """Let nothing of a namespace be found any more; nothing at all for an empty name."""
        with self._alone() as is_alone:
            if is_alone:
                for place in [place for place in self._indices if place[0].startswith(tenant)]:
                    del self._indices[place]
                for token in [token for token, place in self._places.items() if place not in self._indices]:
                    del self._places[token]

    def renew(self) -> None:
        """Be usable in a process that was just forked; what was in the middle of a change is forgotten."""
        self._lock = RLock()
        if self._is_busy:
            self._indices, self._places, self._is_busy = {}, OrderedDict(), False
