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
from cascade.core.rows import n_rows
from cascade.runtime.cache_use import CacheUse
from cascade.runtime.memory import Memory, Start
from cascade.runtime.row_states import KnownRows, Rows, stages_of


class RowSource(Protocol):
    """Who runs rows, and says what is enough."""

    def enough(self, use: CacheUse) -> Start | None:
        """What the answer rests on; None if a stage is to run."""
        ...

    def run(self, places: IntArray, known: KnownRows) -> Rows:
        """Run stages for some rows of the call."""
        ...

    def patient(self, use: CacheUse, turn: Join) -> bool:
        """Wait for somebody else; whether to ask again, rather than run the row alone."""
        ...


class CachedBatch:
    """The rows of one call, none of which equals another.

    Parameters
    ----------
    cache : ResultCache
    memory : Memory
        Of the policy in force.
    source : RowSource
    keys : sequence of Key or None
        By row; None where it has no key.
    items : sequence
        The rows, for their embeddings.
    """

    def __init__(
        self,
        cache: ResultCache,
        memory: Memory,
        source: RowSource,
        keys: Sequence[Key | None],
        items: Sequence[Any],
    ) -> None:
        self._cache, self._memory, self._source, self._ready = cache, memory, source, memory.ready
        entries = cache.find_all(keys)
        self._uses = [
            None if key is None else CacheUse(cache, memory, key, x, entry=entry, start=start)
            for key, x, entry, start in zip(keys, items, entries, memory.starts(entries), strict=True)
        ]
        self._rows = Rows.fresh(len(keys), self._ready.prior)

    def rows(self) -> Rows:
        """All rows, once something is known about each."""
        todo = list(range(len(self._uses)))
        alone = [i for i in todo if self._uses[i] is None]
        todo = [i for i in todo if self._uses[i] is not None]
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
                    (todo if self._source.patient(self._use(i), join) else alone).append(i)
        finally:
            for use in self._uses:
                if use is not None:
                    use.end()
        return self._rows

    def _use(self, i: int) -> CacheUse:
        use = self._uses[i]
        assert use is not None
        return use

    def _turn(self, i: int) -> Join | bool:
        """Whom a row waits for; True if it is to be run, False if it is known."""
        use = self._use(i)
        stopped = self._source.enough(use)
        if stopped is None:
            turn = self._cache.enter(use.key, runs_here=False)
            if isinstance(turn, Join):
                return turn
            use.lead = turn
            if not use.learn(turn.said) or (stopped := self._source.enough(use)) is None:
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
        for j in stopped.rows:
            rows.last_stage[i] = j
            rows.trace[i] = rows.trace[i] * (len(ready.names) + 1) + j + 1

    def _run(self, places: list[int]) -> None:
        if not places:
            return
        starts: list[Start | None] = []
        for i in places:
            use = self._uses[i]
            if use is not None:
                # What exits continue from is kept for single requests only.
                use.go_on(NOTHING)
            starts.append(None if use is None else use.start)
        at = np.array(places)

        paths: dict[int, tuple[int, ...]] = {}

        def heard(rows: IntArray, features: Any, traces: IntArray) -> None:
            ended = []
            for row, said, trace in zip(rows.tolist(), features, traces.tolist(), strict=True):
                use = self._uses[places[row]]
                if use is None:
                    continue
                path = paths.get(trace)
                if path is None:
                    path = paths[trace] = stages_of(trace, len(self._ready.stages))
                ended.append((use, self._memory.ran_in_batch(said, path, _set_of(starts[row]))))
            kept = self._cache.keep_all([(use.key, ran) for use, ran in ended])
            for (use, ran), is_kept in zip(ended, kept, strict=True):
                use.end_with(ran, is_kept=is_kept)

        self._rows.put(at, self._source.run(at, KnownRows(starts, heard)))


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
