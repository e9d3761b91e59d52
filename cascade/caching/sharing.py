"""What a request does with the cache: look up, lead or join, hand in what the stages said.

Decides nothing about requests. No lock is held while anything is hashed, copied, or asked of the user's code.
"""

from __future__ import annotations

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
        entry = self._store.get(key.token, key.valid_from)
        if entry is None:
            return NOTHING
        if entry.stored == key.parts:
            return entry.said
        self._recount("hits", "misses")
        return NOTHING

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
            By source, what the stages said that ran now; what was known before keeps its age.
        """
        fresh = _private(ran)
        if self._keep(lead.key, fresh):
            lead.land({**lead.said, **fresh, **lead.said} if lead.said else fresh)
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
        return self._keep(key, _private(said))

    def _keep(self, key: Key, fresh: dict[str, Any]) -> bool:
        parts = self._keys.copied(key)
        if parts is None:
            with self._store.lock:
                self._store.counts.declined += 1
            return False
        if not fresh:
            return True
        token, valid_from, store = key.token, key.valid_from, self._store
        entry = Entry(token, parts, fresh, born_ms=self._clock.now_ms(), epoch=key.epoch)
        current, grown = None, entry
        while not store.swap(token, grown, current, valid_from):
            current = store.peek(token, valid_from)
            if current is None or current.stored != parts:
                grown = entry
            elif current.epoch > key.epoch or current.said.keys() >= fresh.keys():
                # Known already, or by somebody who asked after an invalidation that this request came before.
                break
            else:
                grown = current.joined(token, fresh)
        if self._similar is not None and token in store:
            self._similar.add(key)
        return True

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


def _private(said: Said) -> dict[str, Any]:
    return {intern(source): private(value) for source, value in said.items()}
