"""What is counted besides answers: how long they and their stages took, and how batches came about.

Knows nothing of stages but their names. The owner serialises the calls that count; several are added up when asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from cascade.telemetry.durations import Distribution, Durations

Batch = tuple[str, int, str]
"""Stage, requests, and why there were no more."""
Timed = tuple[str, int]
"""Stage, and class of batch sizes."""
_Key = TypeVar("_Key")


class Measures:
    """Mutable histograms of one lane, or of what holds none.

    Attributes
    ----------
    latency, queue_wait : Durations
        Of items answered one by one; those that did not wait are not in ``queue_wait``.
    service : dict of (str, int) to Durations
        By stage and class of batch sizes: runs of it.
    batches : dict of (str, int, str) to int
        Batches of requests that queued, by stage, size, and why they were closed.
    """

    __slots__ = ("batches", "latency", "queue_wait", "service")

    def __init__(self) -> None:
        self.latency, self.queue_wait = Durations(), Durations()
        self.service: dict[Timed, Durations] = {}
        self.batches: dict[Batch, int] = {}

    def add(self, other: Measures) -> None:
        """All that others are."""
        self.latency.add(other.latency)
        self.queue_wait.add(other.queue_wait)
        # Of copies, which nobody changes meanwhile.
        for key, durations in dict(other.service).items():
            self.service.setdefault(key, Durations()).add(durations)
        add_counts(self.batches, dict(other.batches))

    def frozen_service(self) -> dict[Timed, Distribution]:
        """The times of runs as they are now, in order of stage and size."""
        return {key: durations.snapshot() for key, durations in sorted(dict(self.service).items())}

    def note_service(self, stage: str, n: int, service_ms: float) -> None:
        """A stage took this long for n rows."""
        key = stage, size_class(n)
        durations = self.service.get(key)
        if durations is None:
            durations = self.service[key] = Durations()
        durations.note(service_ms)

    def note_batch(self, stage: str, n: int, closed_by: str) -> None:
        """A batch of n requests begins."""
        key = stage, n, closed_by
        self.batches[key] = self.batches.get(key, 0) + 1


def size_class(n: int) -> int:
    """The largest batch size of the class of n: the next power of two.

    Examples
    --------
    >>> [size_class(n) for n in (1, 2, 3, 4, 5, 33)]
    [1, 2, 4, 4, 8, 64]
    """
    return 1 << (n - 1).bit_length()


def add_counts(mine: dict[_Key, int], theirs: Mapping[_Key, int]) -> None:
    """Add counts to counts; ``theirs`` is a copy, or nobody changes it meanwhile."""
    for key, n in theirs.items():
        mine[key] = mine.get(key, 0) + n
