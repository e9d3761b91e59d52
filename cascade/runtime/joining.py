"""Inputs and carries of several requests as those of one batch, in memory that is used again.

Knows neither torch nor pandas: what rows are made of is recognised by what it can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cascade.core.rows import fill_rows, join_rows
from cascade.runtime.pending import Pending
from cascade.stages.base import RunnableStage


class InputBuffers:
    """Room for the joined inputs of each stage on one lane.

    Parameters
    ----------
    n_stages : int
    max_batch : int
        Rows of each buffer; larger batches get memory of their own.
    """

    def __init__(self, n_stages: int, max_batch: int) -> None:
        self._max_batch = max_batch
        self._buffers: list[Any] = [None] * n_stages

    def join(self, j: int, batches: Sequence[Any]) -> Any:
        """Batches of one row that are alike as one for stage j; it is overwritten by the next one."""
        first, n = batches[0], len(batches)
        if n == 1:
            return first
        if n > self._max_batch:
            return join_rows(batches)
        if type(first) is np.ndarray:
            buffer = self._buffer(j, first, np.empty)
            return np.concatenate(batches, out=buffer[:n])
        if hasattr(first, "new_empty"):
            buffer = self._buffer(j, first, first.new_empty)
            fill_rows(buffer, batches)
            return buffer[:n]
        return join_rows(batches)

    def give_away(self, j: int) -> None:
        """Stage j may have kept its batch, in a carry, say: write into it no more."""
        self._buffers[j] = None

    def _buffer(self, j: int, row: Any, empty: Any) -> Any:
        buffer, shape = self._buffers[j], (self._max_batch, *row.shape[1:])
        if (
            type(buffer) is not type(row)
            or buffer.shape != shape
            or buffer.dtype != row.dtype
            or _place(buffer) != _place(row)
        ):
            buffer = self._buffers[j] = empty(shape, dtype=row.dtype)
        return buffer


def alike(members: Sequence[Pending]) -> list[list[int]]:
    """Places of the requests whose inputs can be joined, group by group; nearly always a single one."""
    first = members[0].batch
    kind, shape, dtype, place = type(first), getattr(first, "shape", None), getattr(first, "dtype", None), _place(first)
    if all(
        type(batch := member.batch) is kind
        and getattr(batch, "shape", None) == shape
        and getattr(batch, "dtype", None) == dtype
        and _place(batch) == place
        for member in members
    ):
        return [[*range(len(members))]]
    groups: dict[Any, list[int]] = {}
    for i, member in enumerate(members):
        batch = member.batch
        shape = tuple(getattr(batch, "shape", ()))[1:]
        key = (type(batch), shape, str(getattr(batch, "dtype", "")), str(_place(batch)))
        groups.setdefault(key, []).append(i)
    return [*groups.values()]


def joined_carry(stage: RunnableStage, before: int, members: Sequence[Pending]) -> Any:
    """What a batch of these requests continues from after stage ``before``; None: from the input.

    ``stage`` is the stage before. Requests of one earlier batch that follow each other are taken together.
    """
    if before < 0:
        return None
    parts: list[tuple[Any, list[int]]] = []
    for member in members:
        held = None if member.carries is None else member.carries.get(before)
        if held is None:
            return None
        carry, row = held
        if parts and parts[-1][0] is carry:
            parts[-1][1].append(row)
        else:
            parts.append((carry, [row]))
    taken = [stage.take(carry, np.array(rows, np.int64)) for carry, rows in parts]
    return taken[0] if len(taken) == 1 else stage.join(taken)


def _place(batch: Any) -> Any:
    return None if type(batch) is np.ndarray else getattr(batch, "device", None)
