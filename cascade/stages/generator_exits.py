"""Exits of a network that is a generator: it yields the logits of each exit and is sent the rows to keep.

A generator cannot be forked. So a carry holds the generator and the input rows: whoever comes first goes on with the
generator, and whoever comes later, or brings rows of several generators, starts again from the input rows.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cascade.core.records import IntArray
from cascade.core.rows import n_rows
from cascade.errors import StageOutputError
from cascade.stages.exit import ExitRunner
from cascade.stages.outputs import check_table

Exits = Generator[Any, Tensor | None, None]


@dataclass(frozen=True, slots=True, eq=False)
class ExitCarry:
    """The rows of a network that stopped behind an exit.

    Attributes
    ----------
    suspended : list of one generator
        Shared by all carries taken from it; empty once one of them has gone on. ``pop`` is atomic, so that of two
        threads one gets it.
    held : ndarray of int64, shape (n,), or None
        This carry's rows among those that the generator holds; None: all of them, in order.
    inputs : Tensor of N >= n rows
        What the network started from; nobody else's memory.
    rows : ndarray of int64, shape (n,)
        This carry's rows among ``inputs``.
    """

    suspended: list[Exits]
    held: IntArray | None
    inputs: Tensor
    rows: IntArray


class GeneratorExits(ExitRunner):
    """Runs one exit of a network with ``forward_exits``."""

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """Logits (n, c) and a carry for the n rows of ``batch``; without a carry, from the input on.

        Raises
        ------
        InputMismatch
            If carry and batch differ in their number of rows.
        StageOutputError
            If the logits have another shape than (n, c), or the network yields too few of them.
        """
        placed = self._placed
        if placed.module.training:
            placed.evaluate()
        n = n_rows(batch)
        if carry is not None:
            self._check_carry(len(carry.rows), n)
        with placed.running():
            if carry is None:
                # The caller may write into the batch before the next exit starts again from it.
                logits, carry_out = self._start(placed.tensor(batch).clone())
            else:
                logits, carry_out = self._resume(carry)
            scores = placed.scores(logits)
        check_table(scores, n, self._name, self._n_classes)
        return scores, None if self._is_final else carry_out

    def take(self, carry: ExitCarry | None, rows: IntArray) -> ExitCarry | None:
        """The given rows of a carry, on the same generator."""
        if carry is None:
            return None
        held = rows if carry.held is None else carry.held[rows]
        return ExitCarry(carry.suspended, held, carry.inputs, carry.rows[rows])

    def join(self, carries: Sequence[ExitCarry | None]) -> ExitCarry | None:
        """The carries one after the other; None, which makes the next exit start from the input, if any is missing.

        Carries of one generator stay on it; those of several start again from their input rows.
        """
        present = [carry for carry in carries if carry is not None]
        if not present or len(present) < len(carries):
            return None
        if len(present) == 1:
            return present[0]
        first = present[0]
        if all(carry.suspended is first.suspended for carry in present):
            held = np.concatenate([_held(carry) for carry in present])
            return ExitCarry(first.suspended, held, first.inputs, np.concatenate([carry.rows for carry in present]))
        inputs = torch.cat([self._input_rows(carry) for carry in present])
        return ExitCarry([], None, inputs, np.arange(len(inputs)))

    def _start(self, x: Tensor) -> tuple[Any, ExitCarry]:
        """Every exit up to this one, for all rows of ``x``."""
        module: Any = self._placed.module
        exits: Exits = module.forward_exits(x)
        if not hasattr(exits, "send"):
            raise StageOutputError(
                f"stage {self._name!r}: expected forward_exits to be a generator that yields the logits of each exit, "
                f"but it returned a {type(exits).__name__}"
            )
        logits = self._advance(exits, None, start=True)
        for _ in range(self._exit_index):
            logits = self._advance(exits, None)
        return logits, ExitCarry([exits], None, x, np.arange(x.shape[0]))

    def _resume(self, carry: ExitCarry) -> tuple[Any, ExitCarry]:
        """Go on with the generator of a carry, or start again if somebody else has."""
        try:
            exits = carry.suspended.pop()
        except IndexError:
            return self._start(self._input_rows(carry))
        held = carry.held
        logits = self._advance(exits, None if held is None else self._placed.indices(held))
        return logits, ExitCarry([exits], None, carry.inputs, carry.rows)

    def _advance(self, exits: Exits, keep: Tensor | None, *, start: bool = False) -> Any:
        try:
            return next(exits) if start else exits.send(keep)
        except StopIteration as error:
            raise StageOutputError(
                f"stage {self._name!r}: expected forward_exits to yield logits at exit {self._exit_index}, "
                f"but it ended before; n_exits must be the number of its yields"
            ) from error

    def _input_rows(self, carry: ExitCarry) -> Tensor:
        return carry.inputs.index_select(0, self._placed.indices(carry.rows))


def _held(carry: ExitCarry) -> IntArray:
    return np.arange(len(carry.rows)) if carry.held is None else carry.held
