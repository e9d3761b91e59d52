"""Durations counted in buckets that grow by a constant factor, and a frozen snapshot of them that knows its quantiles.

A duration costs a logarithm and an increment when it comes: about a third of what adding it to a sketch costs (`benchmarks/telemetry.py`).
The sketch, of the maintained package ``ddsketch``, is made of the buckets when somebody asks; the buckets are its own, so nothing is
lost on the way. The owner serialises the calls that count.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, inf, log2
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ddsketch import LogCollapsingLowestDenseDDSketch

PER_OCTAVE = 16
"""Buckets while a duration doubles."""
LEAST_MS, MOST_MS = 2.0**-10, 2.0**30
"""A microsecond and twelve days: what is shorter or longer counts as that."""
FIRST = 10 * PER_OCTAVE
"""Bucket i holds what is above ``2 ** ((i - 1 - FIRST) / PER_OCTAVE)`` ms, up to the same with i."""
N_BUCKETS = 40 * PER_OCTAVE + 1
_GROWTH = 2.0 ** (1.0 / PER_OCTAVE)
RELATIVE_ACCURACY = (_GROWTH - 1.0) / (_GROWTH + 1.0)
"""How far a quantile may be off: 2.2 %."""


class Durations:
    """Counts of durations; 5 KiB, however many come.

    Attributes
    ----------
    counts : array of int
        By bucket; whoever is in a hurry raises them without asking, and adds to ``total_ms`` and ``max_ms``.
    total_ms, max_ms : float
    """

    __slots__ = ("counts", "max_ms", "total_ms")

    def __init__(self) -> None:
        self.counts = array("Q", bytes(8 * N_BUCKETS))
        self.total_ms = self.max_ms = 0.0

    def note(self, duration_ms: float) -> None:
        """One more."""
        if LEAST_MS < duration_ms < MOST_MS:
            self.counts[ceil(log2(duration_ms) * PER_OCTAVE) + FIRST] += 1
        else:
            self.counts[bucket_of(duration_ms)] += 1
        self.total_ms += duration_ms
        if duration_ms > self.max_ms:  # noqa: PLR1730 - three times as fast as max
            self.max_ms = duration_ms

    def add(self, other: Durations) -> None:
        """All that others are."""
        counts = np.frombuffer(self.counts, np.uint64)
        counts += np.frombuffer(other.counts, np.uint64)
        self.total_ms += other.total_ms
        self.max_ms = max(self.max_ms, other.max_ms)

    def snapshot(self) -> Distribution:
        """The counts as they are now."""
        return Distribution(np.array(self.counts, np.uint64), self.total_ms, self.max_ms)


def bucket_of(duration_ms: float) -> int:
    """The number of the bucket of a duration.

    Examples
    --------
    >>> [bucket_of(ms) - FIRST for ms in (0.5, 1.0, 1.01, 2.0)]
    [-16, 0, 1, 16]
    >>> bucket_of(0.0), bucket_of(1e12) == N_BUCKETS - 1
    (0, True)
    """
    return ceil(log2(min(max(duration_ms, LEAST_MS), MOST_MS)) * PER_OCTAVE) + FIRST


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """How long something took: frozen, mergeable, of bounded size.

    Attributes
    ----------
    counts : ndarray of uint64
        By bucket; 16 buckets for every doubling, from a microsecond to twelve days.
    total_ms, max_ms : float
        Sum and largest duration, both exact.
    """

    counts: NDArray[np.uint64]
    total_ms: float
    max_ms: float

    def __post_init__(self) -> None:
        self.counts.flags.writeable = False

    @classmethod
    def merged(cls, parts: Iterable[Distribution]) -> Self:
        """Of all that several are of, from whatever lane or process."""
        counts, total_ms, max_ms = np.zeros(N_BUCKETS, np.uint64), 0.0, 0.0
        for part in parts:
            counts += part.counts
            total_ms += part.total_ms
            max_ms = max(max_ms, part.max_ms)
        return cls(counts, total_ms, max_ms)

    @property
    def n(self) -> int:
        """Number of durations."""
        return int(self.counts.sum())

    @property
    def mean_ms(self) -> float:
        """Mean, exact; 0 without any."""
        return self.total_ms / self.n if self.n else 0.0

    def quantile_ms(self, level: float) -> float:
        """The quantile at a level in [0, 1], within 2.2 %; 0 without any.

        Examples
        --------
        >>> took = Durations()
        >>> for duration_ms in range(1, 101):
        ...     took.note(float(duration_ms))
        >>> abs(took.snapshot().quantile_ms(0.5) - 50.0) < 0.022 * 50.0
        True
        """
        return self.quantiles_ms([level])[0]

    def quantiles_ms(self, levels: Sequence[float]) -> list[float]:
        """Several quantiles, in milliseconds; as `quantile_ms`."""
        sketch = self.sketch()
        values = [sketch.get_quantile_value(level) for level in levels]
        return [min(float(value or 0.0), self.max_ms) for value in values]

    def sketch(self) -> LogCollapsingLowestDenseDDSketch:
        """A sketch of the package ``ddsketch`` with the same counts, in milliseconds, to merge with others of its accuracy."""
        # Nobody pays for the package who asks for no quantile.
        from ddsketch import LogCollapsingLowestDenseDDSketch

        sketch = LogCollapsingLowestDenseDDSketch(RELATIVE_ACCURACY, N_BUCKETS)
        for bucket in np.flatnonzero(self.counts).tolist():
            # In the middle of the bucket, far from the edges of the sketch's own; what is not even a microsecond is nothing.
            middle_ms = 2.0 ** ((bucket - 0.5 - FIRST) / PER_OCTAVE) if bucket else 0.0
            sketch.add(middle_ms, float(self.counts[bucket]))
        return sketch

    def n_up_to(self, bounds_ms: Sequence[float]) -> list[int]:
        """How many took no longer than each bound; exact where the bound is a whole power of two, else within a bucket."""
        found: list[int] = np.cumsum(self.counts, dtype=np.int64)[_places(tuple(bounds_ms))].tolist()
        return found

    def __repr__(self) -> str:
        if not self.n:
            return "Distribution(n=0)"
        p50_ms, p99_ms = self.quantiles_ms([0.5, 0.99])
        return f"Distribution(n={self.n}, p50_ms={p50_ms:.3g}, p99_ms={p99_ms:.3g}, max_ms={self.max_ms:.3g})"


@lru_cache(maxsize=16)
def _places(bounds_ms: tuple[float, ...]) -> NDArray[np.intp]:
    """The last bucket up to each bound; a scrape asks for the same ones again and again."""
    return np.array([N_BUCKETS - 1 if bound == inf else bucket_of(bound) for bound in bounds_ms], np.intp)


def no_durations() -> Distribution:
    """Of nothing."""
    return Distribution(np.zeros(N_BUCKETS, np.uint64), 0.0, 0.0)
