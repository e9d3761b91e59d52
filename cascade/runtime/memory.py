"""What the stages said earlier about an input, as a place for a request to start from, and the way back into a cache.

Knows how evidence is encoded under one policy; no lock, no clock, no cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, Protocol

import numpy as np

from cascade.caching.entries import Entry, Said, can_be_held, copied, private
from cascade.core.outcomes import FeatureArray
from cascade.core.recording import predecessors
from cascade.core.records import FloatArray
from cascade.core.table import Lookup
from cascade.runtime.ready import ReadyPolicy

_MOST_STARTS, _START_BYTES = 1024, 1 << 20
"""Entries of which it is remembered how they are read, and what that may take."""


@dataclass(slots=True, eq=False)
class Start:
    """Evidence that a request begins with; where it is enough, read like a `Walk` that is over.

    Attributes
    ----------
    evidence_set : int
        Bit mask of the stages that have spoken.
    path : tuple of str
        Their names.
    rows : dict
        By stage, what it said.
    confidence : float
        Under the policy of the `Memory` that made it.
    state : ndarray
        The evidence, as the policy's reader keeps it; shared by all requests that begin so, who copy it.
    carries : dict
        By stage, what the exit after it continues from, for a batch of this one item.
    is_degraded : bool
        Whether a request that stops here was planned to go on.
    final_under : Lookup or None
        Decisions under which a request stops here, however much time it has; noted by who has looked.

    Notes
    -----
    Nobody changes anything else; freezing it would cost every request half a microsecond.
    """

    evidence_set: int
    path: tuple[str, ...]
    rows: dict[int, FeatureArray]
    confidence: float
    state: FloatArray
    carries: dict[int, Any]
    is_degraded: bool = False
    final_under: Lookup | None = None

    @property
    def is_resumed(self) -> bool:
        """True: it is from an earlier request."""
        return True

    @property
    def is_certified(self) -> bool:
        """False: what is proved is about paths from their beginning."""
        return False


@dataclass(slots=True, eq=False)
class Alike:
    """Rows of one call that begin with what the same stages have said, in the same order.

    Attributes
    ----------
    evidence_set : int
    path : tuple of str
    stages : tuple of int
        The path, by place.
    places : list of int
        Where they are among the rows of the call.
    said : list of dict
        By row and stage, what it said.
    confidence : list of float
    states : ndarray, shape (n, size)
        As `Start.state`.
    """

    evidence_set: int
    path: tuple[str, ...]
    stages: tuple[int, ...]
    places: list[int]
    said: list[dict[int, FeatureArray]]
    confidence: list[float]
    states: FloatArray

    def start(self, i: int) -> Start:
        """Where row i of these starts."""
        return Start(self.evidence_set, self.path, self.said[i], self.confidence[i], self.states[i].copy(), {})


class Resumable(Protocol):
    """One request, whichever way it is answered."""

    ready: ReadyPolicy
    evidence_set: int
    path: tuple[str, ...]
    state: FloatArray

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
            intern(f"{stage.fingerprint} {encoding}") for stage, encoding in zip(ready.stages, encodings, strict=True)
        ]
        self._places = {source: j for j, source in enumerate(self._sources)}
        self._by_name = {name: j for j, name in enumerate(ready.names)}
        self._row, self._steps = ready.reader.row, ready.steps
        # The order of a chain is a wish; what exits continue from is not.
        self._before = ready.requires if ready.policy.chain is None else predecessors(ready.stages)
        self._is_linked = any(before >= 0 for before in self._before)
        # What is on a device stays there no longer than its request.
        self._kept_carries = {
            j: intern(f"carry of {self._sources[j]}")
            for j, stage in enumerate(ready.stages)
            if j in self._before and stage.device == "cpu"
        }
        # By serial number, so that nothing is kept alive that the cache has dropped but the rows in here.
        self._starts: dict[int, Start | None] = {}
        self._most_starts = min(_MOST_STARTS, max(_START_BYTES // (2 * ready.new_state().nbytes), 1))

    def start_of(self, entry: Entry) -> Start | None:
        """As `start`, of what an entry says; read once for requests that come soon after one another."""
        try:
            return self._starts[entry.serial]
        except KeyError:
            pass
        if len(self._starts) >= self._most_starts:
            self._starts.clear()
        start = self._starts[entry.serial] = self.start(entry.said)
        return start

    def start(self, said: Said) -> Start | None:
        """Where a request about this input starts; None if nothing that was said is of use."""
        return self._start_from(self._rows(said), {})

    def alike(self, entries: Sequence[Entry | None]) -> list[Alike]:
        """As `start`, of many entries, by what has spoken; those of no use are left out."""
        by_path: dict[tuple[int, ...], tuple[list[int], list[dict[int, FeatureArray]]]] = {}
        for i, entry in enumerate(entries):
            if entry is not None and (rows := self._rows(entry.said)):
                places, said = by_path.setdefault(tuple(rows), ([], []))
                places.append(i)
                said.append(rows)
        return [self._alike(path, places, said) for path, (places, said) in by_path.items()]

    def _alike(self, path: tuple[int, ...], places: list[int], said: list[dict[int, FeatureArray]]) -> Alike:
        ready, evidence, evidence_set = self.ready, self.ready.policy.evidence, sum(1 << j for j in path)
        assert evidence is not None
        features = ready.reader.new_features(len(said))
        for j in path:
            features[:, j] = [rows[j] for rows in said]
        probs, confidence = evidence.pool(features, evidence_set)
        states = np.concatenate([features.reshape(len(said), -1), probs, probs.argmax(axis=1)[:, None]], axis=1)
        names = tuple([ready.names[j] for j in path])
        return Alike(evidence_set, names, path, places, said, confidence.tolist(), states)

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
        wanted = {before for j, before in enumerate(self._before) if before in left and j not in left}
        return self._start_from(left, {j: copied(carries[j]) for j in wanted})

    def ran(self, reached: Resumable, since: int, *, has_ended: bool) -> dict[str, Any]:
        """By source, what the stages said that have spoken since the set ``since``; carries once no stage can write into them.

        May be asked while the request goes on, on another thread: what a stage has said stands still once its set counts it.
        """
        fresh, state, sources = reached.evidence_set & ~since, reached.state, self._sources
        said: dict[str, Any] = {}
        for name in reached.path:
            j = self._by_name[name]
            if fresh >> j & 1:
                said[sources[j]] = self._row(state, j)
                if has_ended and j in self._kept_carries and can_be_held(carry := reached.carry_of(j)):
                    said[self._kept_carries[j]] = private(carry)
        return said

    def ran_in_batch(self, features: FeatureArray, path: Sequence[int], since: int) -> dict[str, Any]:
        """The same of one row of a batch, shape (K, d), by the stages of its path."""
        return {self._sources[j]: features[j].copy() for j in path if not since >> j & 1}

    def _rows(self, said: Said) -> dict[int, FeatureArray]:
        """What was said that is of use, by stage, in the order in which it was."""
        places = self._places
        rows = {places[source]: row for source, row in said.items() if source in places}
        return self._reachable(rows) if self._is_linked else rows

    def _start_from(self, rows: dict[int, FeatureArray], carries: dict[int, Any]) -> Start | None:
        if not rows:
            return None
        evidence_set = 0
        path: tuple[str, ...] = ()
        for j in rows:
            evidence_set |= 1 << j
            path += self._steps[j]
        state = self.ready.new_state()
        confidence = self.ready.reader.resume(state, rows, evidence_set)
        return Start(evidence_set, path, rows, confidence, state, carries)

    def _reachable(self, rows: dict[int, FeatureArray]) -> dict[int, FeatureArray]:
        """Without exits whose predecessors have not spoken; in the order in which they came."""
        kept: set[int] = set()
        for j in sorted(rows):
            if self._before[j] < 0 or self._before[j] in kept:
                kept.add(j)
        return {j: row for j, row in rows.items() if j in kept}
