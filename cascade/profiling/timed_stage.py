"""What profiling needs of a stage, and how many threads a stage may use meanwhile.

Knows the interface of a stage, none of its kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Literal, Protocol

from cascade.core.records import StageLike

Threads = int | Literal["leave"]


class TimedStage(StageLike, Protocol):
    """What profiling needs of a stage beyond running it."""

    @property
    def device(self) -> str:
        """Where the stage runs."""
        ...

    def synchronise(self) -> None:
        """Return once the device has finished what it was given."""
        ...

    def threads(self) -> int:
        """The number of threads one run would use if called from this thread."""
        ...

    def limit_threads(self, n_threads: int, /) -> AbstractContextManager[Any]:
        """Set that number within a ``with`` block, and restore it."""
        ...


@contextmanager
def limited_threads(stages: Sequence[TimedStage], threads: Threads) -> Iterator[None]:
    """Every stage limited to ``threads`` threads within the block; ``"leave"`` touches nothing."""
    with ExitStack() as stack:
        if threads != "leave":
            for stage in stages:
                stack.enter_context(stage.limit_threads(threads))
        yield
