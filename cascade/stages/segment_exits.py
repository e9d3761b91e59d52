"""Exits of a network that is cut into segments: exit k continues from the features behind segment k - 1."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cascade.core.records import IntArray
from cascade.core.rows import n_rows
from cascade.errors import StageOutputError
from cascade.stages.exit import ExitRunner
from cascade.stages.outputs import check_table
from cascade.stages.placed_module import PlacedModule


class SegmentExit(ExitRunner):
    """Runs one exit; the carry is the tensor of features (n, ...) that its segment returned.

    Parameters
    ----------
    placed : PlacedModule
        The whole network on its device.
    exit_index : int
        k, from 0.
    segments, exits : sequence of torch.nn.Module
        Of one length; exit k maps what segment k returns to logits (n, c).
    name : str
    classes : tuple or None
    """

    def __init__(
        self,
        placed: PlacedModule,
        exit_index: int,
        *,
        segments: Sequence[nn.Module],
        exits: Sequence[nn.Module],
        name: str,
        classes: tuple[Hashable, ...] | None,
    ) -> None:
        super().__init__(placed, exit_index, n_exits=len(exits), name=name, classes=classes)
        self._all_segments = tuple(segments[: exit_index + 1])
        self._last_segment = self._all_segments[-1:]
        self._head = exits[exit_index]

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """Logits (n, c) and features for the n rows of ``batch``; without a carry, from the input on.

        Raises
        ------
        InputMismatch
            If carry and batch differ in their number of rows.
        StageOutputError
            If the logits have another shape than (n, c), or a segment returns no tensor.
        """
        placed = self._placed
        if placed.module.training:
            placed.evaluate()
        n = n_rows(batch)
        if carry is not None:
            self._check_carry(carry.shape[0], n)
        with placed.running():
            features = placed.tensor(batch) if carry is None else carry
            for segment in self._all_segments if carry is None else self._last_segment:
                features = segment(features)
            self._check_features(features)
            scores = placed.scores(self._head(features))
        check_table(scores, n, self._name, self._n_classes)
        return scores, None if self._is_final else features

    def take(self, carry: Tensor | None, rows: IntArray) -> Tensor | None:
        """The given rows of the features, on their device."""
        return None if carry is None else carry.index_select(0, self._placed.indices(rows))

    def join(self, carries: Sequence[Tensor | None]) -> Tensor | None:
        """The features one after the other; None, which makes the next exit start from the input, if any is missing."""
        present = [carry for carry in carries if carry is not None]
        return torch.cat(present) if present and len(present) == len(carries) else None

    def _check_features(self, features: Any) -> None:
        if not isinstance(features, Tensor):
            raise StageOutputError(
                f"stage {self._name!r}: expected segment {self._exit_index} to return a tensor of features, got a "
                f"{type(features).__name__}; for other features give the network a generator method forward_exits(x)"
            )
