"""A torch module as a stage: eval mode, inference mode, its device, arrays or tensors in, arrays out."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager
from typing import Any

from cascade.stages.backends import limit_torch_threads, torch_threads
from cascade.stages.base import Runner
from cascade.stages.outputs import check_table
from cascade.stages.placed_module import PlacedModule


class ModuleRunner(Runner):
    """What all stages over a torch module share.

    Parameters
    ----------
    placed : PlacedModule
        The module on its device.
    name : str
        The stage's name, for messages.
    scores : {"probs", "logits"}
    classes : tuple or None
    """

    def __init__(self, placed: PlacedModule, *, name: str, scores: str, classes: tuple[Hashable, ...] | None) -> None:
        self.scores = scores
        self.classes = classes
        self.device = placed.device
        self._placed = placed
        self._name = name
        self._n_classes = None if classes is None else len(classes)

    def synchronise(self) -> None:
        """Return once the device has done all that was asked of it."""
        self._placed.synchronise()

    def use_lane(self, lane: int) -> None:
        """Let what the calling thread runs from now on be of this lane: on a device, on a stream of its own."""
        self._placed.use_lane(lane)

    def fingerprint(self) -> str:
        """Hash of the module's class, structure, parameters and buffers."""
        return self._placed.fingerprint

    def threads(self) -> int:
        """Number of intra-op threads that torch uses in the calling thread."""
        return torch_threads()

    def limit_threads(self, n: int) -> AbstractContextManager[None]:
        """Context in which torch uses ``n`` intra-op threads in the calling thread."""
        return limit_torch_threads(n)


class TorchRunner(ModuleRunner):
    """Runs a module that maps a batch to logits (n, c)."""

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:  # noqa: ARG002 - there is nothing to continue from
        """Scores (n, c) for the n rows of ``batch``; carries nothing on."""
        placed = self._placed
        module = placed.module
        if module.training:
            placed.evaluate()
        with placed.running():
            x = placed.tensor(batch)
            scores = placed.scores(module(x))
        check_table(scores, x.shape[0], self._name, self._n_classes)
        return scores, None
