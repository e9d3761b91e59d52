"""What an adapter provides, and what whoever runs stages may rely on.

Knows neither torch nor scikit-learn, so that the request path can be typed against it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from cascade.core.records import IntArray, StageLike


class RunFunction(Protocol):
    """A batch, and what its rows continue from, to scores and what the next exit continues from."""

    def __call__(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """Scores (n, c) or a `StageOutput` for the n rows of ``batch``, and their carry."""
        ...


class RunnableStage(StageLike, Protocol):
    """A stage as a lane needs it: where it runs, and on how many threads."""

    @property
    def device(self) -> str:
        """``"cpu"``, or the CUDA device that the model is on, such as ``"cuda:0"``."""
        ...

    def synchronise(self) -> None:
        """Return once the device has done all that this stage asked of it."""
        ...

    def threads(self) -> int:
        """Number of intra-op threads with which the stage would run in the calling thread."""
        ...

    def limit_threads(self, n: int) -> AbstractContextManager[None]:
        """Context in which the calling thread runs the stage on ``n`` intra-op threads."""
        ...


class Runner(Protocol):
    """One model behind one calling convention: what a `Stage` is made of.

    Adapters inherit from it; the methods with a body fit every model that carries nothing on and runs on the CPU.

    Attributes
    ----------
    scores : {"probs", "logits"}
        How the table of scores is to be read.
    classes : tuple or None
        The caller's labels, one per column of the scores.
    device : str
        Where the model runs.
    """

    scores: str
    classes: tuple[Hashable, ...] | None
    device: str

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """Scores (n, c) or a `StageOutput` for the n rows of ``batch``, and their carry."""
        ...

    def take(self, carry: Any, rows: IntArray) -> Any:  # noqa: ARG002 - an ordinary stage carries nothing
        """The given rows of a carry."""
        return None

    def join(self, carries: Sequence[Any]) -> Any:  # noqa: ARG002 - as above
        """Several carries, one after the other, as one."""
        return None

    def synchronise(self) -> None:
        """Return once the device has done all that was asked of it."""
        return

    def use_lane(self, lane: int) -> None:  # noqa: ARG002 - on the CPU a lane is a thread and nothing more
        """Let what the calling thread runs from now on be of this lane: on a device, on a stream of its own."""
        return

    def fingerprint(self) -> str:
        """Hash, in hexadecimal digits, of everything that the answers depend on."""
        ...

    def threads(self) -> int:
        """Number of intra-op threads with which the model would run in the calling thread."""
        ...

    def limit_threads(self, n: int) -> AbstractContextManager[None]:
        """Context in which the calling thread runs the model on ``n`` intra-op threads."""
        ...
