"""What a request does with the cache: look up, lead or join, hand in what the stages said.

Decides nothing about requests. No lock is held while anything is hashed, copied, or asked of the user's code.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import intern
from typing import Any

from cascade.caching.entries import NOTHING, Entry, Said, private
from cascade.caching.flight import Flights, Join, Lead
from cascade.caching.keys import Key, KeyMaker
from cascade.caching.similarity import SimilarityCache
from cascade.caching.store import Store
from cascade.clock import Clock

_MOST_GONE = 8
"""Neighbours that are no longer known, after which none is looked for."""


class Sharing:
    """The part of a `ResultCache` that requests see.

    Attributes
    ----------
    flights : Flights
        The computations in progress.
    """

    flights: Flights
    _clock: Clock
    _keys: KeyMaker
    _similar: SimilarityCache | None
    _store: Store

    def look(self, key: Key) -> Said:
        """What is known about this input, by source; empty where nothing is. Counts as a hit or as a miss."""
        entry = self.find(key)
        return NOTHING if entry is None else entry.said

    def find(self, key: Key) -> Entry | None:
        """As `look`: the entry, or None."""
        entry = self._store.get(key.token, key.valid_from)
        if entry is None or entry.stored == key.parts:
            return entry
        self._recount("hits", "misses")
        return None

    @property
    def has_neighbours(self) -> bool:
        """Whether near duplicates are looked for."""
        return self._similar is not None

    def find_all(self, keys: Sequence[Key | None]) -> list[Entry | None]:
        """As `find`, of the rows of one batch; nothing is found, nor counted, without a key."""
        asked = [key for key in keys if key is not None]
        found = iter(self._store.get_all([key.token for key in asked], [key.valid_from for key in asked]))
        entries = [None if key is None else next(found) for key in keys]
        for i, entry in enumerate(entries):
            if entry is not None and entry.stored != keys[i].parts:  # type: ignore[union-attr] # it was found by its key
                self._recount("hits", "misses")
                entries[i] = None
        return entries

    def near(self, key: Key, x: Any) -> Said:
        """What is known about the most similar input, if it is similar enough; to be asked once `look` has found nothing.

        What is kept later under this key is then found as a neighbour of others.

        Parameters
        ----------
        key : Key
        x : object
            Its input, for the embedding.

        Returns
        -------
        mapping
            Good for an answer as it stands, and for `count_neighbour` then. It says nothing that could be added to.
        """
        similar = self._similar
        direction = None if similar is None else similar.embed(key, x)
        if similar is None or direction is None:
            return NOTHING
        for _ in range(_MOST_GONE):
            token = similar.nearest(key, direction)
            if token is None or token == key.token:
                return NOTHING
            entry = self._store.peek(token, key.valid_from)
            if entry is not None:
                return entry.said
            similar.drop(token)
        return NOTHING

    def enter(self, key: Key, *, runs_here: bool = True) -> Lead | Join:
        """Lead the computation for an input, or join the one in progress; to be asked once `look` has said too little.

        Parameters
        ----------
        key : Key
        runs_here : bool
            Whether the calling thread itself runs the stages if it leads, so that it must not wait for anybody meanwhile.

        Returns
        -------
        Lead or Join
            The ``said`` of a `Lead` is what became known since the look-up, if anything.
        """
        turn = self.flights.enter(key, runs_here=runs_here)
        # Somebody may have landed between the look-up and now.
        if type(turn) is Lead and key.token in self._store:
            entry = self._store.peek(key.token, key.valid_from)
            if entry is not None and entry.stored == key.parts:
                turn.said = entry.said
        return turn

    def settle(self, lead: Lead, ran: Said) -> None:
        """Keep what was found out, and wake who waits for it.

        Parameters
        ----------
        lead : Lead
        ran : mapping from str to value
            By source, what the stages said that ran now, as `private` gives it: it is kept as it is. What was known before keeps its age.
        """
        if self.keep(lead.key, ran):
            lead.land(ran)
        else:
            lead.fail()

    def remember(self, key: Key, said: Said) -> bool:
        """Keep what stages said about an input, beside what is known already.

        Parameters
        ----------
        key : Key
        said : mapping from str to value
            By source: arrays, tensors, plain values, or tuples, lists and dicts of these. Copied.

        Returns
        -------
        bool
            False if the input was changed since the key was made: what was said may be about another one, and is not kept.
        """
        return self.keep(key, {intern(source): private(value) for source, value in said.items()})

    def keep(self, key: Key, fresh: Said) -> bool:
        """As `remember`, of what is private already and named by interned strings."""
        entry = self._entry(key, fresh)
        if entry is not None and fresh:
            if not self._store.swap(key.token, entry, None, key.valid_from):
                self._join(key, entry)
            self._note_neighbour(key)
        return entry is not None

    def keep_all(self, keys: Sequence[Key], said: Sequence[Said]) -> list[bool]:
        """As `keep`, of the rows of one batch."""
        # Lists side by side: a tuple for each row would be one more object for the collector to look at.
        entries = [self._entry(key, fresh) for key, fresh in zip(keys, said, strict=True)]
        kept = [key for key, entry in zip(keys, entries, strict=True) if entry is not None and entry.said]
        new = [entry for entry in entries if entry is not None and entry.said]
        are_put = self._store.put_all([key.token for key in kept], new, [key.valid_from for key in kept])
        for key, entry, is_put in zip(kept, new, are_put, strict=True):
            if not is_put:
                self._join(key, entry)
            self._note_neighbour(key)
        return [entry is not None for entry in entries]

    def _entry(self, key: Key, fresh: Said) -> Entry | None:
        """What is to be kept; None if the input has changed."""
        parts = self._keys.copied(key)
        if parts is None:
            with self._store.lock:
                self._store.counts.declined += 1
            return None
        return Entry(key.token, parts, fresh, born_ms=self._clock.now_ms(), epoch=key.epoch)

    def _join(self, key: Key, entry: Entry) -> None:
        """Keep what was said where somebody else has kept something meanwhile."""
        token, valid_from, fresh = key.token, key.valid_from, entry.said
        while True:
            current = self._store.peek(token, valid_from)
            if current is None or current.stored != entry.stored:
                grown = entry
            elif current.epoch > key.epoch or current.said.keys() >= fresh.keys():
                # Known already, or by somebody who asked after an invalidation that this request came before.
                return
            else:
                grown = current.joined(token, fresh)
            if self._store.swap(token, grown, current, valid_from):
                return

    def _note_neighbour(self, key: Key) -> None:
        if self._similar is not None and key.token in self._store:
            self._similar.add(key)

    def count_upgrade(self) -> None:
        """A look-up that found something went on from it."""
        self._recount("hits", "upgrades")

    def count_join(self, *, found: bool) -> None:
        """A look-up ended with what another request found out; ``found`` says whether it had found something itself."""
        self._recount("hits" if found else "misses", "joins")

    def count_neighbour(self) -> None:
        """A look-up that found nothing ended with what was said about a near duplicate."""
        self._recount("misses", "neighbours")

    def _recount(self, was: str, now: str) -> None:
        counts = self._store.counts
        with self._store.lock:
            setattr(counts, was, getattr(counts, was) - 1)
            setattr(counts, now, getattr(counts, now) + 1)
