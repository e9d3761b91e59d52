"""Many rows of one call with a result cache: rows that are known are not run, equal rows run once, and others' computations are waited for.

A call settles all that it leads before it waits for others, so that two calls can never wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from cascade.caching.entries import NOTHING
from cascade.caching.flight import Join
from cascade.caching.keys import Key
from cascade.caching.result_cache import ResultCache
from cascade.core.records import IntArray
from cascade.core.rows import n_rows, take_rows
from cascade.core.traces import stages_of, trace_of
from cascade.runtime.cache_use import CacheUse
from cascade.runtime.memory import Alike, Memory, Start
from cascade.runtime.row_states import KnownRows, Rows
from cascade.runtime.single import Request


class RowServer(Protocol):
    """Who runs rows, and says what is enough."""

    def enough(self, use: CacheUse, request: Request) -> Start | None:
        """What the answer rests on; None if a stage is to run."""
        ...

    def endings(self, evidence_set: int, confidences: Sequence[float], request: Request) -> list[bool | None]:
        """Of rows that begin with one set, whether each that stops there was planned to go on; None where it does."""
        ...

    def run_rows(self, inputs: Any, request: Request, known: KnownRows) -> Rows:
        """Run stages for raw rows of a call."""
        ...

    def has_waited(self, use: CacheUse, turn: Join, request: Request) -> bool:
        """Wait for somebody else; whether to ask again, rather than run the row alone."""
        ...


class CachedBatch:
    """The rows of one call, none of which equals another.

    Parameters
    ----------
    cache : ResultCache
    memory : Memory
        Of the policy in force.
    server : RowServer
    request : Request
    inputs : batch
        All rows of the call.
    places : ndarray of int
        Where among them the rows are that do not equal an earlier one.
    keys : sequence of Key or None
        By row of the call; None where it has no key.
    items : sequence
        The rows of the call, for their embeddings.
    """

    def __init__(
        self,
        cache: ResultCache,
        memory: Memory,
        server: RowServer,
        request: Request,
        *,
        inputs: Any,
        places: IntArray,
        keys: Sequence[Key | None],
        items: Sequence[Any],
    ) -> None:
        self._cache, self._memory, self._ready = cache, memory, memory.ready
        self._server, self._request, self._inputs, self._places = server, request, inputs, places
        keys, items = [keys[i] for i in places.tolist()], [items[i] for i in places.tolist()]
        self._rows = Rows.fresh(len(keys), self._ready.prior)
        self._alone = [i for i, key in enumerate(keys) if key is None]
        # Only what is not answered at once costs more than its share of a few arrays.
        entries = cache.find_all(keys)
        answered = np.zeros(len(keys), np.bool_)
        starts: dict[int, Start] = {}
        for alike in memory.alike(entries):
            self._note_alike(alike, answered, starts)
        self._uses = {
            i: CacheUse(cache, memory, key, items[i], entry=entries[i], start=starts.get(i))
            for i, (key, is_answered) in enumerate(zip(keys, answered.tolist(), strict=True))
            if key is not None and not is_answered
        }

    def _note_alike(self, alike: Alike, answered: Any, starts: dict[int, Start]) -> None:
        """Answer rows that begin with the same stages where that is enough; the others start from it."""
        endings = self._server.endings(alike.evidence_set, alike.confidence, self._request)
        stops = [i for i, is_degraded in enumerate(endings) if is_degraded is not None]
        at, rows, part = np.array(alike.places)[stops], self._rows, self._ready.pooled_part
        states = alike.states[stops]
        rows.label_index[at], rows.probs[at] = states[:, -1], states[:, part]
        rows.confidence[at] = np.array(alike.confidence)[stops]
        rows.degraded[at] = [endings[i] for i in stops]
        rows.last_stage[at], rows.trace[at] = alike.stages[-1], trace_of(alike.stages, len(self._ready.stages))
        rows.resumed[at] = answered[at] = True
        starts.update({alike.places[i]: alike.start(i) for i, ending in enumerate(endings) if ending is None})

    def rows(self) -> Rows:
        """All rows, once something is known about each."""
        todo, alone = [*self._uses], self._alone
        try:
            while todo or alone:
                leading, waiting = [], []
                for i in todo:
                    turn = self._turn(i)
                    if isinstance(turn, Join):
                        waiting.append((i, turn))
                    elif turn:
                        leading.append(i)
                self._run(sorted([*leading, *alone]))
                todo, alone = [], []
                for i, join in waiting:
                    (todo if self._server.has_waited(self._uses[i], join, self._request) else alone).append(i)
        finally:
            for use in self._uses.values():
                use.end()
        return self._rows

    def _turn(self, i: int) -> Join | bool:
        """Whom a row waits for; True if it is to be run, False if it is known."""
        use = self._uses[i]
        stopped = self._server.enough(use, self._request)
        if stopped is None:
            turn = self._cache.enter(use.key, runs_here=False)
            if isinstance(turn, Join):
                return turn
            use.lead = turn
            if not use.learn(turn.said) or (stopped := self._server.enough(use, self._request)) is None:
                return True
        self._note(i, stopped)
        use.answered()
        return False

    def _note(self, i: int, stopped: Start) -> None:
        """A row is answered from what is known."""
        rows, ready = self._rows, self._ready
        rows.label_index[i], rows.probs[i] = ready.pooled(stopped.state)
        rows.confidence[i] = stopped.confidence
        rows.degraded[i], rows.resumed[i] = stopped.is_degraded, True
        stages = tuple(stopped.rows)
        rows.last_stage[i], rows.trace[i] = stages[-1], trace_of(stages, len(ready.stages))

    def _run(self, places: list[int]) -> None:
        if not places:
            return
        starts: list[Start | None] = []
        for i in places:
            use = self._uses.get(i)
            if use is not None:
                # What exits continue from is kept for single requests only.
                use.go_on(NOTHING)
            starts.append(None if use is None else use.start)
        at, paths = np.array(places), dict[int, tuple[int, ...]]()

        def heard(rows: IntArray, features: Any, traces: IntArray) -> None:
            uses, ran = [], []
            for row, said, trace in zip(rows.tolist(), features, traces.tolist(), strict=True):
                use = self._uses.get(places[row])
                if use is None:
                    continue
                path = paths.get(trace)
                if path is None:
                    path = paths[trace] = stages_of(trace, len(self._ready.stages))
                uses.append(use)
                ran.append(self._memory.ran_in_batch(said, path, _set_of(starts[row])))
            kept = self._cache.keep_all([use.key for use in uses], ran)
            for use, each, is_kept in zip(uses, ran, kept, strict=True):
                use.end_with(each, is_kept=is_kept)

        is_all = len(places) == n_rows(self._inputs)
        inputs = self._inputs if is_all else take_rows(self._inputs, self._places[at])
        self._rows.put(at, self._server.run_rows(inputs, self._request, KnownRows(starts, heard)))


def items_of(inputs: Any) -> Sequence[Any] | None:
    """The rows of a batch as `predict` would get them; None for a kind of batch whose rows it would not."""
    if isinstance(inputs, (list, tuple)):
        return inputs
    if isinstance(inputs, np.ndarray) or hasattr(inputs, "unsqueeze"):
        return [inputs[i] for i in range(n_rows(inputs))]
    return None


def once(make: Callable[[], Any]) -> Callable[[], Any]:
    """The same, that makes it at the first call only."""
    made: list[Any] = []

    def get() -> Any:
        if not made:
            made.append(make())
        return made[0]

    return get


def _set_of(start: Start | None) -> int:
    return 0 if start is None else start.evidence_set
