"""The public methods that answer requests and say what was answered; every one hands over to the `Server`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cascade.core.policy import Policy
from cascade.core.records import Prediction
from cascade.runtime.answers import BatchPrediction
from cascade.runtime.serving import Server
from cascade.telemetry.counters import Counters, Stats


class Answering:
    """What can be asked of a predictor; whoever inherits makes the server and its counters."""

    _server: Server
    _counters: Counters

    @property
    def policy(self) -> Policy:
        """The policy in force, solved for this machine."""
        return self._server.ready.policy

    def predict(
        self,
        x: Any,
        *,
        budget_ms: float | None = None,
        deadline_ms: float | None = None,
        infeasible: str | None = None,
        abstain_below: float | None = None,
    ) -> Prediction:
        """Answer one item on the calling thread.

        Parameters
        ----------
        x : item
        budget_ms : float, optional
            Time allowed from this call on, in milliseconds; None: no deadline.
        deadline_ms : float, optional
            Absolute deadline on the predictor's clock, instead of a budget.
        infeasible, abstain_below
            Override the predictor's own.

        Raises
        ------
        BudgetTooSmall
            If nothing fits and ``infeasible="raise"``.
        InputMismatch, NotFinite
            If the input cannot be used.
        StageError
            If every stage failed.
        """
        server = self._server
        return server.one(x, server.request(budget_ms, deadline_ms, infeasible, abstain_below))

    def predict_batch(
        self,
        X: Any,
        *,
        budget_ms: float | None = None,
        deadline_ms: float | None = None,
        infeasible: str | None = None,
        abstain_below: float | None = None,
    ) -> BatchPrediction:
        """Answer n rows in one call; only unsure rows reach the next stage.

        Parameters are those of `predict`; the budget is for the whole call.

        Raises
        ------
        EmptyBatch
            If there are no rows.
        """
        server = self._server
        return server.many(X, server.request(budget_ms, deadline_ms, infeasible, abstain_below))

    def refine(
        self,
        x: Any,
        *,
        budget_ms: float | None = None,
        deadline_ms: float | None = None,
        infeasible: str | None = None,
        abstain_below: float | None = None,
    ) -> Iterator[Prediction]:
        """A first answer from the fastest stage, then one after each further stage; the last has ``final=True``.

        Parameters and errors are those of `predict`. If the time runs out between two answers, the last evidence
        comes once more as the final answer.
        """
        server = self._server
        return server.improving(x, server.request(budget_ms, deadline_ms, infeasible, abstain_below))

    def explain(self, budget_ms: float | None = None) -> str:
        """The plan for a fresh request in words: stages, thresholds, expected accuracy and time."""
        return self.policy.explain(budget_ms)

    def stats(self) -> Stats:
        """What was answered so far, as a frozen snapshot."""
        return self._counters.snapshot()
