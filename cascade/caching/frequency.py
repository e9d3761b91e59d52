"""About how often keys were asked for of late, in a fixed number of bytes.

Pure; the owner serialises the calls.
"""

from __future__ import annotations

from collections.abc import Hashable

_MOST = 15
_SAMPLES_PER_COUNTER = 2
"""Look-ups per counter after which all counts are halved; with four counters to an entry, eight look-ups to an entry."""
_FEWEST, _SECOND = 1 << 8, 25
_HALVES = bytes(count // 2 for count in range(256))


class Frequencies:
    """Counts that forget: a key's is never too low, and seldom too high.

    Parameters
    ----------
    n_counters : int
        About, and in bytes; four for each key that is worth telling apart.

    References
    ----------
    Einziger, Friedman and Manes (2017), TinyLFU: A Highly Efficient Cache Admission Policy.

    Examples
    --------
    >>> asked = Frequencies(1000)
    >>> for name in ("a", "b", "a"):
    ...     asked.note(name)
    >>> asked.of("a"), asked.of("b"), asked.of("c")
    (2, 1, 0)
    """

    __slots__ = ("_counts", "_left", "_mask")

    def __init__(self, n_counters: int) -> None:
        size = 1 << max(n_counters, _FEWEST).bit_length()
        self._counts, self._mask = bytearray(size), size - 1
        self._left = size * _SAMPLES_PER_COUNTER

    def note(self, name: Hashable) -> None:
        """The key was asked for once more."""
        counts, mask, number = self._counts, self._mask, hash(name)
        one, other = number & mask, (number >> _SECOND) & mask
        least = min(counts[one], counts[other])
        if least < _MOST:
            # Only the smaller one: what others have added to the larger one is not made worse.
            if counts[one] == least:
                counts[one] = least + 1
            if counts[other] == least:
                counts[other] = least + 1
        self._left -= 1
        if self._left == 0:
            self._counts = counts.translate(_HALVES)
            self._left = (mask + 1) * _SAMPLES_PER_COUNTER // 2

    def of(self, name: Hashable) -> int:
        """How often the key was asked for of late, at most 15."""
        number = hash(name)
        return min(self._counts[number & self._mask], self._counts[(number >> _SECOND) & self._mask])
