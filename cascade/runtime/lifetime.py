"""The public methods about when a predictor takes requests, and how it ends."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NoReturn, Self

from cascade.errors import NotPicklable
from cascade.runtime.auditing import Auditor
from cascade.runtime.engine import Engine
from cascade.runtime.serving import Server


class Lifetime:
    """How a predictor ends; whoever inherits makes the engine and what goes with it."""

    _engine: Engine
    _server: Server
    _auditor: Auditor | None

    @property
    def ready(self) -> bool:
        """Whether requests are taken: not once it is closed, nor in a child process where its stages cannot run."""
        return self._engine.refusal is None

    def close(self, drain_ms: float | None = None) -> None:
        """Take no more requests, finish those in progress, end all threads and give thread counts back.

        Parameters
        ----------
        drain_ms : float, optional
            Milliseconds for finishing; None: as long as it takes. What is left then is answered from the evidence there is, or
            raises `PredictorClosed`.

        Notes
        -----
        Nothing is lost: every request has its answer or its error when this returns. A stage that runs ends first.
        """
        if self._auditor is not None:
            self._auditor.close()
        self._engine.close(drain_ms)
        self._server.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise NotPicklable(
            "a predictor holds models, threads and locks and cannot be pickled or copied: save its policy with "
            "predictor.policy.save(path), and in the other process make Predictor(stages, Policy.load(path))"
        )
