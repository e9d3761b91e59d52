"""What one request does with the result cache, from the look-up to what it leaves there.

Asks the cache; runs no stage and makes no answer.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from cascade.caching.entries import NOTHING, Entry, Said
from cascade.caching.flight import Lead
from cascade.caching.keys import Key
from cascade.caching.sharing import Sharing
from cascade.runtime.memory import Memory, Resumable, Start


class CacheUse:
    """One request's dealings with a cache.

    Parameters
    ----------
    cache : ResultCache
    memory : Memory
        Of the policy that the request is decided under.
    key : Key
    x : object
        The input.
    entry : Entry or None
        What the cache has found for it.
    start : Start or None
        Where that lets it begin.

    Attributes
    ----------
    start : Start or None
        What the request begins with, as far as it is known by now.
    lead : Lead or None
        Its duty to find out for others.
    has_joined : bool
        Whether others have found out what it begins with.
    """

    __slots__ = ("_cache", "_found", "_known", "_reached", "has_joined", "key", "lead", "memory", "start", "x")

    def __init__(
        self, cache: Sharing, memory: Memory, key: Key, x: Any, *, entry: Entry | None, start: Start | None
    ) -> None:
        self._cache, self.memory, self.key, self.x = cache, memory, key, x
        self._known: Said = NOTHING if entry is None else entry.said
        self.start = start
        self._found = entry is not None
        self._reached: Resumable | None = None
        self.lead: Lead | None = None
        self.has_joined = False

    def neighbour(self) -> Start | None:
        """What is known about a near duplicate, good for an answer as it stands."""
        said = NOTHING if self._known else self._cache.near(self.key, self.x)
        return self.memory.start(said) if said else None

    def learn(self, said: Said, *, is_joined: bool = True) -> bool:
        """Take note of what others have found out since; whether that is of use."""
        if not said:
            return False
        self._known = {**self._known, **said}
        start = self.memory.start(self._known)
        is_more = start is not None and (self.start is None or start.evidence_set != self.start.evidence_set)
        if is_more:
            self.start, self.has_joined = start, self.has_joined or is_joined
        return is_more

    def go_on(self, carries: Said | None = None) -> None:
        """A stage is to run; ``carries`` is where exits find what they continue from, by default all that is known."""
        if self.start is not None:
            self.start = self.memory.going_on(self.start, self._known if carries is None else carries)

    def begin(self, reached: Resumable) -> None:
        """Let a request that is to be answered begin with what is known, and hear what stages say."""
        self._reached = reached
        if self.start is not None:
            reached.resume(self.start)
        if self.lead is not None:
            since = 0 if self.start is None else self.start.evidence_set
            self.lead.tell(partial(self._so_far, reached, self.memory, since))

    def follow(self, memory: Memory, reached: Resumable) -> None:
        """Begin anew under another policy; before anything has run."""
        self.memory = memory
        self.start = memory.start(self._known) if self._known else None
        self.go_on()
        self.begin(reached)

    def _so_far(self, reached: Resumable, memory: Memory, since: int) -> Said:
        """What whoever waits and has to leave takes along; asked on their thread."""
        ran = memory.ran(reached, since, has_ended=False)
        # Where the request has begun anew under another policy meanwhile, what was read may be of both.
        return {**self._known, **ran} if ran and reached.ready is memory.ready else self._known

    def answered(self) -> None:
        """The answer rests on what was known, and nothing has run."""
        if self.has_joined:
            self._cache.count_join(found=self._found)
        self.end()

    def taken_from_neighbour(self) -> None:
        """The answer is that about a near duplicate."""
        self._cache.count_neighbour()

    def end(self) -> None:
        """Keep what stages have said, and wake who waits; once."""
        reached, self._reached = self._reached, None
        since = 0 if self.start is None else self.start.evidence_set
        try:
            ran = {} if reached is None else self.memory.ran(reached, since, has_ended=True)
            if ran and self._found:
                self._cache.count_upgrade()
            if self.lead is None:
                if ran:
                    self._cache.keep(self.key, ran)
            elif ran or self.lead.said:
                self._cache.settle(self.lead, ran)
        finally:
            self._leave()

    def end_with(self, ran: dict[str, Any], *, is_kept: bool) -> None:
        """The same, where the cache has been handed what stages have said, by source, and keeps it or not."""
        if ran and self._found:
            self._cache.count_upgrade()
        if self.lead is not None and ran and is_kept:
            self.lead.land(ran)
        self._leave()

    def _leave(self) -> None:
        """Nobody waits any more: they were woken, or one of them has to lead."""
        lead, self.lead = self.lead, None
        if lead is not None:
            lead.fail()
