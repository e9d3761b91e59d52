"""What a cache counts, and a frozen snapshot of it. Pure; the owner serialises the calls that count."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """What came and went.

    Every look-up is one of ``hits``, ``misses`` and what these are counted as later: ``upgrades``, ``joins``, ``neighbours``.
    ``stored`` is the sum of ``evictions``, ``expired``, ``invalidated`` and the entries there are.

    Attributes
    ----------
    hits, upgrades : int
        Look-ups that found an entry, and needed no stage; or went on from it.
    joins : int
        Look-ups that ended with what another request found out.
    neighbours : int
        Look-ups that ended with what was said about a near duplicate.
    misses : int
        All other look-ups.
    stored, evictions, expired, invalidated : int
        Entries that came; that went for want of room; because of their age; because somebody said so.
    declined : int
        Entries that were not stored: larger than the bound, not worth the room, or of an input that changed while it was worked on.
    unkeyed : int
        Inputs without a key: of a kind that cannot be told from others, or the user's function failed.
    """

    hits: int = 0
    upgrades: int = 0
    joins: int = 0
    neighbours: int = 0
    misses: int = 0
    stored: int = 0
    evictions: int = 0
    expired: int = 0
    invalidated: int = 0
    declined: int = 0
    unkeyed: int = 0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache has done since it was made.

    ``lookups`` is the sum of ``hits``, ``upgrades``, ``joins``, ``neighbours`` and ``misses``; ``stored`` the sum of ``evictions``,
    ``expired``, ``invalidated`` and ``entries``.

    Attributes
    ----------
    hits, upgrades : int
        Requests answered by what was stored; that went on from it.
    joins : int
        Requests answered by what another one found out at the time.
    neighbours : int
        Requests answered by what was said about a near duplicate.
    misses : int
        All others that had a key.
    unkeyed : int
        Requests without one, answered without the cache.
    stored, evictions, expired, invalidated : int
        Entries that came; that went for want of room; because of their age; because somebody said so.
    declined : int
        Entries that were not stored: larger than the bound, not worth the room, or of an input that changed meanwhile.
    entries, bytes, max_bytes : int
        Entries there are, what they take, and what they may take.
    """

    hits: int
    upgrades: int
    joins: int
    neighbours: int
    misses: int
    unkeyed: int
    stored: int
    evictions: int
    expired: int
    invalidated: int
    declined: int
    entries: int
    bytes: int
    max_bytes: int

    @property
    def lookups(self) -> int:
        """Requests that had a key."""
        return self.hits + self.upgrades + self.joins + self.neighbours + self.misses

    @property
    def hit_ratio(self) -> float:
        """Share of the look-ups that needed no stage of their own; 0 before the first."""
        return (self.hits + self.joins + self.neighbours) / self.lookups if self.lookups else 0.0
