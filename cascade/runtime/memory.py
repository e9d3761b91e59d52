"""What the stages said earlier about an input, as a place for a request to start from, and the way back into a cache.

Knows how evidence is encoded under one policy; no lock, no clock, no cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cascade.caching.entries import Said, can_be_held, copied
from cascade.core.outcomes import FeatureArray
from cascade.core.recording import predecessors
from cascade.core.records import FloatArray
from cascade.runtime.ready import ReadyPolicy


@dataclass(frozen=True, slots=True)
class Start:
    """Evidence that a request begins with.

    Attributes
    ----------
    evidence_set : int
        Bit mask of the stages that have spoken.
    path : tuple of str
        Their names.
    rows : dict
        By stage, what it said.
    carries : dict
        By stage, what the exit after it continues from, for a batch of this one item.
    """

    evidence_set: int
    path: tuple[str, ...]
    rows: dict[int, FeatureArray]
    carries: dict[int, Any]


class Resumable(Protocol):
    """One request, whichever way it is answered."""

    evidence_set: int
    path: tuple[str, ...]
    state: FloatArray
    heard: Callable[[Any], None] | None

    def resume(self, start: Start) -> None:
        """Begin with what is known; before anything has run."""
        ...

    def carry_of(self, j: int) -> Any:
        """What the exit after stage j continues from; None if there is nothing."""
        ...


class Memory:
    """Reads and writes what is remembered, under one policy.

    Parameters
    ----------
    ready : ReadyPolicy

    Attributes
    ----------
    ready : ReadyPolicy

    Notes
    -----
    A source is named after the stage's fingerprint and how its answers are encoded: another version of a stage, or other classes, have
    other sources.
    """

    def __init__(self, ready: ReadyPolicy) -> None:
        self.ready = ready
        encodings = [ready.reader.encoding(j) for j in range(len(ready.stages))]
        self._sources = [
            f"{stage.fingerprint} {encoding}" for stage, encoding in zip(ready.stages, encodings, strict=True)
        ]
        self._places = {source: j for j, source in enumerate(self._sources)}
        self._by_name = {name: j for j, name in enumerate(ready.names)}
        self._row, self._steps = ready.reader.row, ready.steps
        # The order of a chain is a wish; what exits continue from is not.
        self._before = ready.requires if ready.policy.chain is None else predecessors(ready.stages)
        self._is_linked = any(before >= 0 for before in self._before)
        # What is on a device stays there no longer than its request.
        self._kept_carries = {
            j: f"carry of {self._sources[j]}"
            for j, stage in enumerate(ready.stages)
            if j in self._before and stage.device == "cpu"
        }

    def start(self, said: Said) -> Start | None:
        """Where a request about this input starts; None if nothing that was said is of use."""
        places, evidence_set = self._places, 0
        path: tuple[str, ...] = ()
        rows: dict[int, FeatureArray] = {}
        for source, row in said.items():
            j = places.get(source)
            if j is not None:
                evidence_set |= 1 << j
                path += self._steps[j]
                rows[j] = row
        if self._is_linked:
            return self._reachable(rows)
        return Start(evidence_set, path, rows, {}) if evidence_set else None

    def going_on(self, start: Start, said: Said) -> Start | None:
        """The start of a request for which another stage is to run, with what exits continue from.

        An exit whose next one would have to run the network from the input is left out: it would take longer than was profiled.
        """
        if not self._is_linked:
            return start
        carries = {j: said.get(source) for j, source in self._kept_carries.items() if start.evidence_set >> j & 1}
        rows = dict(start.rows)
        # The last exit first: one that is left out leaves its predecessor without a next one.
        for j in reversed(range(len(self._before))):
            before = self._before[j]
            if before in rows and j not in rows and carries.get(before) is None:
                del rows[before]
        left = self._reachable(rows)
        if left is None:
            return None
        wanted = {before for j, before in enumerate(self._before) if before in left.rows and j not in left.rows}
        return Start(left.evidence_set, left.path, left.rows, {j: copied(carries[j]) for j in wanted})

    def ran(self, reached: Resumable, since: int, *, has_ended: bool) -> dict[str, Any]:
        """By source, what the stages said that have spoken since the set ``since``; carries once no stage can write into them."""
        fresh, state, sources = reached.evidence_set & ~since, reached.state, self._sources
        said: dict[str, Any] = {}
        for name in reached.path:
            j = self._by_name[name]
            if fresh >> j & 1:
                said[sources[j]] = self._row(state, j)
                if has_ended and j in self._kept_carries and can_be_held(carry := reached.carry_of(j)):
                    said[self._kept_carries[j]] = carry
        return said

    def ran_in_batch(self, features: FeatureArray, path: Sequence[int], since: int) -> dict[str, Any]:
        """The same of one row of a batch, shape (K, d), by the stages of its path."""
        return {self._sources[j]: features[j] for j in path if not since >> j & 1}

    def _reachable(self, rows: dict[int, FeatureArray]) -> Start | None:
        """Without exits whose predecessors have not spoken."""
        kept: dict[int, FeatureArray] = {}
        for j in sorted(rows):
            if self._before[j] < 0 or self._before[j] in kept:
                kept[j] = rows[j]
        evidence_set = sum(1 << j for j in kept)
        path = tuple([name for j in rows if j in kept for name in self._steps[j]])
        return Start(evidence_set, path, kept, {}) if evidence_set else None
