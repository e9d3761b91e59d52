"""Answer many rows in one call: waves of rows, compaction after every stage, micro-batches that fit the time left.

A wave gets its share of the time left. Within it every fresh row runs its first stage, then only the unsure rows go
on, the least sure first, so that time that runs out is missing where it matters least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cascade.clock import Clock
from cascade.core.guarantee import capped_price
from cascade.core.induction import STOP
from cascade.core.records import FloatArray, IntArray
from cascade.core.rows import n_rows, take_rows
from cascade.core.table import DecisionTable
from cascade.errors import StageError
from cascade.runtime.lane import Lane
from cascade.runtime.memory import Start
from cascade.runtime.ready import INFINITE, ReadyPolicy, regime
from cascade.runtime.row_states import KnownRows, Rows
from cascade.runtime.single import Terms, too_small
from cascade.telemetry.requests import StageRun

WAVE_ROWS = 1024
_WAVE_BYTES = 16 << 20
_FILL = 0.9
"""Share of the time that is planned for; the rest is for what takes longer than its mean."""


@dataclass(slots=True, eq=False)
class _Wave:
    """Rows that go through the stages together; ``rows`` are their places in the call, all other indices count from 0."""

    rows: IntArray
    batch: Any
    stop_at_ms: float
    features: Any
    sets: IntArray
    carries: dict[int, tuple[IntArray, Any]] = field(default_factory=dict)
    failed: int = 0
    fault: StageError | None = None


class BatchRunner:
    """Runs one call of many rows; the lane is held by the caller.

    Parameters
    ----------
    ready : ReadyPolicy
    lane : Lane
    clock : Clock
    terms : Terms
    ran : callable, optional
        Told of every run that was good.
    """

    def __init__(
        self,
        ready: ReadyPolicy,
        lane: Lane,
        clock: Clock,
        terms: Terms,
        ran: Callable[[StageRun], None] | None = None,
    ) -> None:
        self._ready, self._lane, self._now, self._terms = ready, lane, clock.now_ms, terms
        self._ran = ran

    def run(self, inputs: Any, stop_at_ms: float, known: KnownRows | None = None) -> Rows:
        """Answer every row.

        Parameters
        ----------
        inputs : batch of n rows
        stop_at_ms : float
            Instant by which the last stage must end.
        known : KnownRows, optional

        Raises
        ------
        BudgetTooSmall
            If nothing fits for some row and the terms say so.
        StageError
            If every stage failed for some row.
        """
        n = n_rows(inputs)
        state = Rows.fresh(n, self._ready.prior)
        size = wave_rows(inputs)
        for start in range(0, n, size):
            rows = np.arange(start, min(start + size, n))
            left_ms = stop_at_ms - self._now()
            share_ms = left_ms if left_ms == INFINITE else left_ms * len(rows) / (n - start)
            features = self._ready.reader.new_features(len(rows))
            batch = inputs if len(rows) == n else take_rows(inputs, rows)
            wave = _Wave(rows, batch, self._now() + share_ms, features, np.zeros(len(rows), np.int64))
            if known is not None:
                self._begin_with(known.starts, wave, state)
            self._run_wave(wave, state)
            if known is not None:
                known.heard(rows, wave.features, state.trace[rows])
        return state

    def _begin_with(self, starts: Sequence[Start | None], wave: _Wave, state: Rows) -> None:
        """Take over what is known about rows of a wave."""
        for row, place in enumerate(wave.rows.tolist()):
            start = starts[place]
            if start is None:
                continue
            for j, said in start.rows.items():
                wave.features[row, j] = said
                self._note_stage(place, j, state)
            wave.sets[row] = start.evidence_set
            state.resumed[place] = True
        self._pool(wave, np.flatnonzero(wave.sets), state)

    def _run_wave(self, wave: _Wave, state: Rows) -> None:
        table = self._table(len(wave.rows), wave.stop_at_ms - self._now())
        s = -1
        # A stage more makes the number of a set larger: of those that are there, the smallest is complete.
        while (above := wave.sets[wave.sets > s]).size:
            s = int(above.min())
            rows = np.flatnonzero(wave.sets == s)
            trust = state.confidence[wave.rows[rows]]
            left_ms = np.full(len(rows), wave.stop_at_ms - self._now())
            actions = table.actions_of(s, trust, left_ms)
            if s == 0:
                actions = self._first_actions(actions, left_ms)
            for j in np.unique(actions[actions != STOP]):
                onward = rows[actions == j]
                onward = onward[np.argsort(state.confidence[wave.rows[onward]], kind="stable")] if s else onward
                self._run_group(wave, int(j), onward, state)
        self._run_leftovers(wave, state)

    def _first_actions(self, actions: IntArray, left_ms: FloatArray) -> IntArray:
        """Where nothing fits, what the terms say."""
        ready = self._ready
        if not (actions == STOP).any() or self._terms.infeasible == "prior":
            return actions
        if self._terms.infeasible == "raise":
            raise too_small(ready, float(left_ms.min()))
        return np.where(actions == STOP, ready.fastest, actions)

    def _run_group(self, wave: _Wave, j: int, rows: IntArray, state: Rows) -> None:
        """Rows that all run stage j next, in micro-batches, while there is time."""
        start = 0
        while start < len(rows):
            left_ms = wave.stop_at_ms - self._now()
            size = self._micro_batch(j, len(rows) - start, left_ms)
            part = rows[start : start + size]
            is_fresh = bool((wave.sets[rows[start:]] == 0).any())
            if size == 0 and not is_fresh:
                state.degraded[wave.rows[rows[start:]]] = True
                return
            if size == 0:
                part = self._out_of_time(rows[start:], left_ms)
                if not len(part):
                    state.degraded[wave.rows[rows[start:]]] = True
                    return
                j = self._ready.fastest
            if not self._run_part(wave, j, part, state):
                state.degraded[wave.rows[rows[start:]]] = True
                return
            start += len(part)

    def _out_of_time(self, rows: IntArray, left_ms: float) -> IntArray:
        """The fresh rows that are answered late nevertheless."""
        if self._terms.infeasible == "raise":
            raise too_small(self._ready, left_ms)
        return rows[:0] if self._terms.infeasible == "prior" else rows

    def _run_part(self, wave: _Wave, j: int, rows: IntArray, state: Rows) -> bool:
        """One micro-batch; False if the stage failed."""
        ready = self._ready
        if wave.failed >> j & 1 or self._lane.is_fenced(j):
            return False
        try:
            batch = wave.batch
            part = batch if len(rows) == n_rows(batch) and (np.diff(rows) == 1).all() else take_rows(batch, rows)
            carried, began_ms = self._carry_for(wave, ready.requires[j], rows), self._now()
            output, carry = self._lane.run(j, part, carried)
            if self._ran is not None:
                name, lane = self._lane.stages[j].name, self._lane.number
                self._ran(StageRun(name, lane, len(rows), began_ms, self._now()))
            wave.features[rows, j] = ready.reader.encode(j, output, len(rows))
        except StageError as fault:
            self._lane.reject(j)
            wave.failed |= 1 << j
            wave.fault = fault
            return False
        self._lane.accept(j)
        if carry is not None and j in ready.requires:
            self._keep_carry(wave, j, rows, carry)
        self._read(wave, j, rows, state)
        return True

    def _read(self, wave: _Wave, j: int, rows: IntArray, state: Rows) -> None:
        """Take note of what stage j said about these rows."""
        wave.sets[rows] |= 1 << j
        self._pool(wave, rows, state)
        self._note_stage(wave.rows[rows], j, state)

    def _note_stage(self, places: Any, j: int, state: Rows) -> None:
        state.last_stage[places] = j
        state.trace[places] = state.trace[places] * (len(self._ready.stages) + 1) + j + 1

    def _pool(self, wave: _Wave, rows: IntArray, state: Rows) -> None:
        """Pool the evidence of these rows, set by set."""
        evidence = self._ready.policy.evidence
        assert evidence is not None
        for s in np.unique(wave.sets[rows]):
            same = rows[wave.sets[rows] == s]
            probs, confidence = evidence.pool(wave.features[same], int(s))
            target = wave.rows[same]
            state.probs[target], state.confidence[target] = probs, confidence
            state.label_index[target] = probs.argmax(axis=1)

    def _run_leftovers(self, wave: _Wave, state: Rows) -> None:
        """Rows that a failed stage left without any answer."""
        while wave.failed and (wave.sets == 0).any():
            rows = np.flatnonzero(wave.sets == 0)
            usable = self._lane.usable(self._ready.by_preference, wave.failed)
            if not usable:
                why = wave.fault or "all of them failed repeatedly and are left alone for a while"
                raise StageError(f"no stage could answer {len(rows)} rows; the last to fail: {why}") from wave.fault
            left_ms = wave.stop_at_ms - self._now()
            fitting = [j for j in usable if self._micro_batch(j, len(rows), left_ms) >= len(rows)]
            j = fitting[0] if fitting else min(usable, key=lambda j: self._ready.upper_ms[j])
            state.degraded[wave.rows[rows]] = True
            self._run_part(wave, j, rows, state)

    def _carry_for(self, wave: _Wave, before: int, rows: IntArray) -> Any:
        if before < 0 or before not in wave.carries:
            return None
        held, carry = wave.carries[before]
        place = np.full(len(wave.rows), -1, np.int64)
        place[held] = np.arange(len(held))
        wanted = place[rows]
        return None if (wanted < 0).any() else self._ready.stages[before].take(carry, wanted)

    def _keep_carry(self, wave: _Wave, j: int, rows: IntArray, carry: Any) -> None:
        if j in wave.carries:
            held, earlier = wave.carries[j]
            wave.carries[j] = (np.concatenate([held, rows]), self._ready.stages[j].join([earlier, carry]))
        else:
            wave.carries[j] = (rows, carry)

    def _table(self, n: int, left_ms: float) -> DecisionTable:
        """The decisions at the smallest price at which the wave's rows fit into the time left, if the terms allow it."""
        policy, size = self._ready.policy, regime(n)
        if policy.statistics is None or left_ms == INFINITE:
            return policy.table(None, None, size)
        # A stage fits if the micro-batches fit in which it will be run, not only if the whole wave does.
        runs = [self._micro_batch(j, n, left_ms) for j in range(len(self._ready.stages))]
        size = regime(min(runs))
        decisions = policy.decisions(size)
        column = decisions.time_class(left_ms)
        unloaded = policy.unloaded_price(max(left_ms, 0.0), size)
        fits = (decisions.mean_ms[:, column] * n <= _FILL * left_ms) & (decisions.prices >= unloaded)
        row = int(np.argmax(fits)) if fits.any() else len(decisions.prices) - 1
        price = capped_price(policy.guarantee, float(decisions.prices[row]), self._terms.on_overload)
        return policy.table(None, price, size)

    def _micro_batch(self, j: int, n: int, left_ms: float) -> int:
        """Rows of stage j to run at once; 0 if not even one row fits into the time left."""
        policy = self._ready.policy
        table, sizes = policy.service, policy.service.batch_sizes
        best = _efficient_size(table.mean_ms[j], sizes)
        if left_ms == INFINITE:
            return min(n, best)
        size = min(n, best)
        # No single run may take more than a fifth of the time left, unless one row does.
        while size > 1 and table.quantile_at(j, size, policy.level) > 0.2 * left_ms:
            size = (size + 1) // 2
        return size if table.quantile_at(j, size, policy.level) <= left_ms else 0


def wave_rows(inputs: Any) -> int:
    """Rows per wave: bounded in number and in bytes."""
    n = n_rows(inputs)
    n_bytes = getattr(inputs, "nbytes", 0)
    return WAVE_ROWS if not n or not n_bytes else int(np.clip(_WAVE_BYTES * n // n_bytes, 32, WAVE_ROWS))


def _efficient_size(mean_ms: FloatArray, sizes: tuple[int, ...]) -> int:
    """The batch size of least time per row; the whole wave where larger batches still pay."""
    per_row = mean_ms / np.array(sizes)
    best = int(per_row.argmin())
    return WAVE_ROWS if best == len(sizes) - 1 else sizes[best]
