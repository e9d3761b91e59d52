"""The public methods that answer requests; every one hands over to the `Server`."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from typing import Any

from cascade.core.policy import Policy
from cascade.core.records import Prediction
from cascade.runtime.answers import BatchPrediction
from cascade.runtime.engine import Engine
from cascade.runtime.request import priority_of
from cascade.runtime.serving import Server


class Answering:
    """What can be asked of a predictor; whoever inherits makes the server and its counters."""

    _server: Server
    _engine: Engine

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
        priority: str = "normal",
        strict: bool | None = None,
        infeasible: str | None = None,
        abstain_below: float | None = None,
        namespace: str | None = None,
    ) -> Prediction:
        """Answer one item: on the calling thread if a lane is idle, else in turn with others, in one batch with them.

        Parameters
        ----------
        x : item
        budget_ms : float, optional
            Time allowed from this call on, in milliseconds; None: no deadline.
        deadline_ms : float, optional
            Absolute deadline on the predictor's clock, instead of a budget.
        priority : {"interactive", "normal", "background"}
            The class that it waits in, if it has to.
        strict : bool, optional
            Answer by the deadline with the best evidence there is, even while a stage still runs.
        infeasible, abstain_below
            Override the predictor's own.
        namespace : str, optional
            Whose entries of the result cache may be used, instead of the cache's own; without a cache it says nothing.

        Raises
        ------
        BudgetTooSmall
            If nothing fits and ``infeasible="raise"``.
        Rejected, Expired, Shed
            If it has to wait, and there is no time for it.
        InputMismatch, NotFinite
            If the input cannot be used.
        StageError
            If every stage failed.
        PredictorClosed, ForkedPredictor
            If the predictor takes no requests.
        """
        server = self._server
        request = server.request(budget_ms, deadline_ms, infeasible, abstain_below, namespace)
        if priority != "normal":
            priority_of(priority)
            request.priority = priority
        if server.is_strict if strict is None else strict:
            return server.strict(x, request, priority)
        return server.one(x, request, priority)

    def submit(
        self,
        x: Any,
        *,
        budget_ms: float | None = None,
        deadline_ms: float | None = None,
        priority: str = "normal",
        strict: bool | None = None,
        infeasible: str | None = None,
        abstain_below: float | None = None,
        namespace: str | None = None,
    ) -> Future[Prediction]:
        """Queue one item, and return at once.

        Parameters are those of `predict`; ``x`` must not change until the future is done.

        Returns
        -------
        concurrent.futures.Future
            Of the `Prediction`, or of an error that `predict` would raise once the item is checked. Cancelling it takes the item
            out of the queue.

        Raises
        ------
        ConfigurationError, InputMismatch, NotFinite
            If an argument or the input cannot be used.
        PredictorClosed, ForkedPredictor
            If the predictor takes no requests.

        Notes
        -----
        Preprocessing runs on the calling thread, postprocessing on that of a lane.
        """
        server = self._server
        request = server.request(budget_ms, deadline_ms, infeasible, abstain_below, namespace)
        request.priority = priority
        return server.future(x, request, priority, is_strict=server.is_strict if strict is None else strict)

    def apredict(
        self,
        x: Any,
        *,
        budget_ms: float | None = None,
        deadline_ms: float | None = None,
        priority: str = "normal",
        strict: bool | None = None,
        infeasible: str | None = None,
        abstain_below: float | None = None,
        namespace: str | None = None,
    ) -> Coroutine[Any, Any, Prediction]:
        """Answer one item without blocking the event loop that awaits it; stages run on the lanes only.

        Parameters and errors are those of `predict`; the budget counts from the call. Cancelling the task takes the item out of
        the queue. Preprocessing runs on the event loop.
        """
        server = self._server
        request = server.request(budget_ms, deadline_ms, infeasible, abstain_below, namespace)
        request.priority = priority
        is_strict = server.is_strict if strict is None else strict
        return self._kept(server.on_loop(x, request, priority, is_strict=is_strict))

    async def _kept(self, answer: Coroutine[Any, Any, Prediction]) -> Prediction:
        """The answer; a method, so that the predictor is not collected while somebody waits for it."""
        return await answer

    def predict_batch(
        self,
        X: Any,
        *,
        budget_ms: float | None = None,
        deadline_ms: float | None = None,
        infeasible: str | None = None,
        abstain_below: float | None = None,
        namespace: str | None = None,
    ) -> BatchPrediction:
        """Answer n rows in one call; only unsure rows reach the next stage.

        Parameters are those of `predict`; the budget is for the whole call.

        Raises
        ------
        EmptyBatch
            If there are no rows.
        """
        server = self._server
        return server.many(X, server.request(budget_ms, deadline_ms, infeasible, abstain_below, namespace))

    def refine(
        self,
        x: Any,
        *,
        budget_ms: float | None = None,
        deadline_ms: float | None = None,
        infeasible: str | None = None,
        abstain_below: float | None = None,
        namespace: str | None = None,
    ) -> Iterator[Prediction]:
        """A first answer from the fastest stage, then one after each further stage; the last has ``final=True``.

        Parameters and errors are those of `predict`. If the time runs out between two answers, the last evidence
        comes once more as the final answer.
        """
        server = self._server
        return server.improving(x, server.request(budget_ms, deadline_ms, infeasible, abstain_below, namespace))

    def explain(self, budget_ms: float | None = None) -> str:
        """The plan for a fresh request in words: stages, thresholds, expected accuracy and time."""
        return self.policy.explain(budget_ms)
