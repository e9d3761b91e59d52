"""How long runs of a stage take: warm-up, repeats, and what disturbed them.

May know what a stage can do and what a clock is; not which library a model belongs to.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from cascade.clock import Clock
from cascade.core.records import FloatArray, IntArray
from cascade.core.rows import n_rows, take_rows
from cascade.errors import StageError
from cascade.profiling.timed_stage import TimedStage

# With fewer runs the 0.99 quantile is one of the three slowest, whose stability says nothing.
_N_TO_JUDGE = 300
_N_BETWEEN_JUDGEMENTS = 50
_STABLE_WITHIN = 0.05
# A cell that lacks its fewest repeats may overrun by this factor.
_OVERRUN = 4.0
# A stage of a millisecond or more hardly notices what the caches held before; slow company would use up the time.
_COMPANY_MS = 1.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much time one cell (a stage at a batch size) may cost.

    Attributes
    ----------
    cell_ms : float
        Time to spend on the repeats of one cell if the quantile does not settle earlier.
    min_repeats : int
        Fewest repeats, unless they would take more than four times ``cell_ms``.
    n_warm : int
        Runs before any is measured.
    warm_ms : float
        Time after which no further warm-up run is started; the first run is never skipped.
    """

    cell_ms: float
    min_repeats: int
    n_warm: int
    warm_ms: float


class Rows:
    """Batches whose rows are drawn from X in a shuffled order, again and again."""

    __slots__ = ("_X", "_next", "_order")

    def __init__(self, X: Any, seed: int) -> None:
        self._X = X
        self._order: IntArray = np.random.default_rng(seed).permutation(n_rows(X))
        self._next = 0

    def batch(self, batch_size: int) -> Any:
        """The next rows of X, as a batch of ``batch_size``; rows repeat where X has fewer."""
        places = np.arange(self._next, self._next + batch_size) % self._order.size
        self._next = (self._next + batch_size) % self._order.size
        return take_rows(self._X, self._order[places])


@dataclass(frozen=True, slots=True)
class Cell:
    """One stage at one batch size, ready to be run.

    Attributes
    ----------
    stage : TimedStage
    before : tuple of TimedStage
        The exits that ``stage`` continues from, in order; empty for an ordinary stage.
    batch_size : int
    company : TimedStage or None
        Another stage that answers one row before each run, untimed. In a cascade a stage finds the processor's caches
        full of its neighbours: run again and again by itself, a perceptron took 22 us instead of 42.
    """

    stage: TimedStage
    before: tuple[TimedStage, ...]
    batch_size: int
    company: TimedStage | None = None

    def run(self, rows: Rows, clock: Clock) -> float:
        """Milliseconds of one run on fresh rows; drawing them and the exits before are not timed.

        The carry is fresh each time, since some can be continued from only once.

        Raises
        ------
        StageError
            If a stage raises; the message names it and the batch size.
        """
        batch, carry, stage = rows.batch(self.batch_size), None, self.stage
        # not a context manager: contextlib takes a RuntimeError from StopIteration for its own and drops it
        try:
            if self.company is not None:
                stage = self.company
                stage.run(rows.batch(1))
                stage.synchronise()
            for stage in self.before:
                carry = stage.run(batch, carry)[1]
                stage.synchronise()
            stage = self.stage
            return _timed_run(stage, batch, carry, clock)
        except Exception as error:
            raise StageError(
                f"stage {stage.name!r} raised {type(error).__name__} when it was profiled at batch size "
                f"{self.batch_size}: {error}; run it on such a batch to see the cause"
            ) from error


def _timed_run(stage: TimedStage, batch: Any, carry: Any, clock: Clock) -> float:
    stage.synchronise()
    start_ms = clock.now_ms()
    stage.run(batch, carry)
    stage.synchronise()
    return clock.now_ms() - start_ms


def cells_of(stages: Sequence[TimedStage], batch_sizes: Sequence[int]) -> list[list[Cell]]:
    """The cells of each stage, one per batch size."""
    by_name = {stage.name: stage for stage in stages}
    return [[Cell(stage, _chain_before(stage, by_name), size) for size in batch_sizes] for stage in stages]


def _chain_before(stage: TimedStage, by_name: Mapping[str, TimedStage]) -> tuple[TimedStage, ...]:
    chain: list[TimedStage] = []
    while stage.requires is not None:
        stage = by_name[stage.requires]
        chain.append(stage)
    return tuple(reversed(chain))


def in_company(cells: Sequence[Sequence[Cell]], took_ms: Sequence[float]) -> list[list[Cell]]:
    """The cells of each stage, each in the company of the slowest other stage that its repeats can afford.

    ``took_ms`` is what one row took each stage. Company needs no exit before it, and takes no longer than the stage
    itself, or no longer than a millisecond.
    """
    found = []
    for j, per_stage in enumerate(cells):
        affordable_ms = max(took_ms[j], _COMPANY_MS)
        others = [i for i, each in enumerate(cells) if i != j and not each[0].before and took_ms[i] <= affordable_ms]
        slowest = max(others, key=lambda i: took_ms[i], default=None)
        company = None if slowest is None else cells[slowest][0].stage
        found.append([replace(cell, company=company) for cell in per_stage])
    return found


def warm_up(cell: Cell, rows: Rows, clock: Clock, effort: Effort) -> float:
    """Run a cell so that kernels are compiled, memory is allocated and caches are filled; milliseconds of the fastest run."""
    end_ms = clock.now_ms() + effort.warm_ms
    fastest_ms = inf
    for _ in range(effort.n_warm):
        fastest_ms = min(fastest_ms, cell.run(rows, clock))
        if clock.now_ms() >= end_ms:
            break
    return fastest_ms


def heat(cells: Sequence[Cell], rows: Rows, clock: Clock, duration_ms: float) -> None:
    """Keep the machine busy, cell after cell, until its clock speed is the one it can sustain."""
    end_ms = clock.now_ms() + duration_ms
    while clock.now_ms() < end_ms:
        for cell in cells:
            cell.run(rows, clock)


def repeat(cell: Cell, rows: Rows, clock: Clock, effort: Effort) -> FloatArray:
    """Service times in milliseconds of as many runs as the effort asks for: shape (n_repeats,)."""
    times_ms: list[float] = []
    start_ms = clock.now_ms()
    while True:
        times_ms.append(cell.run(rows, clock))
        if _is_enough(times_ms, clock.now_ms() - start_ms, effort):
            return np.asarray(times_ms)


def _is_enough(times_ms: Sequence[float], spent_ms: float, effort: Effort) -> bool:
    n_repeats = len(times_ms)
    if n_repeats < effort.min_repeats:
        return spent_ms >= _OVERRUN * effort.cell_ms
    if spent_ms >= effort.cell_ms:
        return True
    return n_repeats >= _N_TO_JUDGE and n_repeats % _N_BETWEEN_JUDGEMENTS == 0 and _is_stable(times_ms)


def _is_stable(times_ms: Sequence[float]) -> bool:
    """Whether the last third of the runs left the 0.99 quantile where it was."""
    first = np.quantile(times_ms[: 2 * len(times_ms) // 3], 0.99, method="higher")
    everything = np.quantile(times_ms, 0.99, method="higher")
    return bool(abs(everything - first) <= _STABLE_WITHIN * everything)


@contextmanager
def counted_collections() -> Iterator[list[int]]:
    """A list of one number: the garbage collections that began within the block."""
    count = [0]

    def note(phase: str, _info: dict[str, int]) -> None:
        count[0] += phase == "start"

    gc.callbacks.append(note)
    try:
        yield count
    finally:
        gc.callbacks.remove(note)
