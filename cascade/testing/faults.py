"""Stages that fail, return NaN or dawdle on the calls one says, and are another stage otherwise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

import numpy as np

from cascade.clock import Clock
from cascade.core.records import IntArray, StageOutput
from cascade.stages.base import RunnableStage


class _FaultyStage:
    """A stage that is another one, but for what `run` does on some calls."""

    def __init__(self, stage: RunnableStage, on_calls: Collection[int] | None = None) -> None:
        self.name, self.scores, self.classes = stage.name, stage.scores, stage.classes
        self.requires, self.device, self.fingerprint = stage.requires, stage.device, stage.fingerprint
        self._stage = stage
        self._on_calls = on_calls
        self._calls = count(1)

    def _is_faulty(self) -> bool:
        call = next(self._calls)
        return self._on_calls is None or call in self._on_calls

    def take(self, carry: Any, rows: IntArray) -> Any:
        """As the stage inside."""
        return self._stage.take(carry, rows)

    def join(self, carries: Sequence[Any]) -> Any:
        """As the stage inside."""
        return self._stage.join(carries)

    def synchronise(self) -> None:
        """As the stage inside."""
        self._stage.synchronise()

    def threads(self) -> int:
        """As the stage inside."""
        return self._stage.threads()

    def limit_threads(self, n: int) -> AbstractContextManager[None]:
        """As the stage inside."""
        return self._stage.limit_threads(n)


class FailingStage(_FaultyStage):
    """A stage that raises on some calls.

    Parameters
    ----------
    stage : stage
        What it is otherwise.
    on_calls : collection of int, optional
        Which calls, counted from 1; None: all.
    error : Exception, optional
        What is raised. Default: a RuntimeError.
    """

    def __init__(
        self, stage: RunnableStage, on_calls: Collection[int] | None = None, *, error: Exception | None = None
    ) -> None:
        super().__init__(stage, on_calls)
        self._error = error or RuntimeError(f"injected fault of stage {stage.name!r}")

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """As the stage inside, or the error."""
        if self._is_faulty():
            # Raised once more, an error keeps the frames of every time before, and all that was in them.
            raise self._error.with_traceback(None)
        return self._stage.run(batch, carry)


class NanStage(_FaultyStage):
    """A stage that returns NaN on some calls: in all scores, or in all confidences of a `StageOutput`.

    Parameters
    ----------
    stage : stage
        What it is otherwise.
    on_calls : collection of int, optional
        Which calls, counted from 1; None: all.
    """

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """As the stage inside, or NaN of the same shape."""
        answer, carry_out = self._stage.run(batch, carry)
        if not self._is_faulty():
            return answer, carry_out
        if isinstance(answer, StageOutput):
            return StageOutput(answer.outputs, np.full(len(answer.outputs), np.nan)), carry_out
        return np.full_like(answer, np.nan), carry_out


class SlowStage(_FaultyStage):
    """A stage that takes longer on some calls.

    Parameters
    ----------
    stage : stage
        What it is otherwise.
    extra_ms : float
        Milliseconds more.
    clock : Clock
        On which they pass.
    on_calls : collection of int, optional
        Which calls, counted from 1; None: all.
    """

    def __init__(
        self, stage: RunnableStage, extra_ms: float, clock: Clock, on_calls: Collection[int] | None = None
    ) -> None:
        super().__init__(stage, on_calls)
        self._extra_ms = extra_ms
        self._clock = clock

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """As the stage inside, later."""
        if self._is_faulty():
            self._clock.wait(self._extra_ms)
        return self._stage.run(batch, carry)
