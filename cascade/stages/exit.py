"""What the exits of a network have in common, whichever way the network is written."""

from __future__ import annotations

from collections.abc import Hashable

from cascade.errors import InputMismatch
from cascade.stages.fingerprint import digest
from cascade.stages.placed_module import PlacedModule
from cascade.stages.torch import ModuleRunner


class ExitRunner(ModuleRunner):
    """One exit of a network.

    Parameters
    ----------
    placed : PlacedModule
        The whole network on its device.
    exit_index : int
        k, from 0.
    n_exits : int
    name : str
    classes : tuple or None
    """

    def __init__(
        self,
        placed: PlacedModule,
        exit_index: int,
        *,
        n_exits: int,
        name: str,
        classes: tuple[Hashable, ...] | None,
    ) -> None:
        super().__init__(placed, name=name, scores="logits", classes=classes)
        self._exit_index = exit_index
        self._is_final = exit_index + 1 == n_exits

    def fingerprint(self) -> str:
        """Hash of the network and the position of the exit."""
        return digest(self._placed.fingerprint, f"exit {self._exit_index}")

    def _check_carry(self, n_carried: int, n: int) -> None:
        if n_carried != n:
            raise InputMismatch(
                f"stage {self._name!r}: expected a carry of the batch's {n} rows, got {n_carried}; "
                f"take the same rows of both"
            )
