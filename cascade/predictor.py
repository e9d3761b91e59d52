"""The public `Predictor`: checks what it is given, wires the parts together and delegates; it decides nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from cascade.calibration.fit import fit_policy
from cascade.clock import Clock, MonotonicClock
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.records import Prediction
from cascade.core.rows import n_rows, take_rows
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.profiling.local import local_service
from cascade.profiling.profile import profile
from cascade.runtime.answers import BatchPrediction
from cascade.runtime.lane import LEAVE_THREADS, Lane
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.request import InputCheck, checked_terms, sample_inputs
from cascade.runtime.serving import Server
from cascade.runtime.wiring import bound_policy, check_stages_of, run_first_requests
from cascade.stages.base import RunnableStage
from cascade.telemetry.counters import Counters, Stats


class Predictor:
    """Answers requests with the most accurate path through the stages that fits the time left.

    Parameters
    ----------
    stages : sequence of Stage
        In the policy's order.
    policy : Policy
        Fitted on these stages.
    service : ServiceTable, optional
        Service times on this machine. By default the stages are profiled briefly; a table that was measured elsewhere
        is measured again, with a warning.
    preprocess : callable, optional
        Batch in, batch out; once per request, inside the budget.
    postprocess : callable, optional
        Label in, anything out; once per answer that has a label, inside the budget.
    infeasible : {"fastest", "raise", "prior"}
        When not even one stage fits: answer late from the fastest, raise `BudgetTooSmall`, or answer the class prior
        at once.
    abstain_below : float, optional
        Confidence under which the label is None.
    threads : int or "leave"
        Intra-op threads of every thread that calls, set at its first call; BLAS pools are shared by the process.
        ``"leave"`` touches nothing.
    check_finite : bool
        Refuse NaN and infinity in float inputs.
    sample : batch, optional
        Inputs to profile and warm up with, where they cannot be made up from shape and dtype.
    clock : Clock, optional

    Raises
    ------
    PolicyMismatch
        If the policy or the service table is of other stages.
    ConfigurationError
        If an argument cannot work.

    Notes
    -----
    Safe to call from many threads; the stages run for one caller at a time.
    """

    def __init__(
        self,
        stages: Sequence[RunnableStage],
        policy: Policy,
        service: ServiceTable | None = None,
        *,
        cache: None = None,
        preprocess: Callable[[Any], Any] | None = None,
        postprocess: Callable[[Any], Any] | None = None,
        infeasible: str = "fastest",
        abstain_below: float | None = None,
        threads: Any = 1,
        check_finite: bool = True,
        sample: Any = None,
        clock: Clock | None = None,
    ) -> None:
        if cache is not None:
            raise ConfigurationError(f"expected cache=None, got {cache!r}: this version has no result cache")
        check_stages_of(policy, stages)
        self._stages = tuple(stages)
        self._clock = clock or MonotonicClock()
        self._counters = Counters()
        self._lane = Lane(stages, self._clock, LEAVE_THREADS if threads == "leave" else int(threads), self._counters)
        self._inputs = InputCheck(policy.inputs, check_finite)
        self._server = Server(
            self._lane,
            self._clock,
            inputs=self._inputs,
            terms=checked_terms(infeasible, abstain_below),
            preprocess=preprocess,
            postprocess=postprocess,
        )
        self._sample = sample_inputs(policy.inputs) if sample is None else sample
        table = local_service(policy, stages, service, sample=self._sample, threads=threads, clock=self._clock)
        self._ready = ReadyPolicy(bound_policy(policy.retime(table), self._stages, self._sample), self._stages)
        if self._sample is not None:
            self.warm_up(self._sample)

    @classmethod
    def fit(
        cls,
        stages: Sequence[RunnableStage],
        X: Any,
        y: Any,
        *,
        seed: int = 0,
        max_accuracy_drop: float | None = None,
        service: ServiceTable | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        progress: bool = True,
        **keywords: Any,
    ) -> Self:
        """Record outcomes, profile the stages and fit a policy, all from one labelled sample.

        Parameters
        ----------
        stages : sequence of Stage
        X, y : n labelled inputs
            Not the data the stages were trained on.
        seed : int
        max_accuracy_drop : float, optional
            As in `fit_policy`.
        service : ServiceTable, optional
            By default the stages are profiled here.
        preprocess : callable, optional
            As in `Predictor`.
        progress : bool
            Show progress bars for long work.
        **keywords
            Further keywords of `Predictor`.
        """
        inputs = X if preprocess is None else preprocess(X)
        outcomes = Outcomes.record(stages, inputs, y, progress=progress)
        table = service or profile(stages, inputs, threads=keywords.get("threads", 1), progress=progress)
        policy = fit_policy(outcomes, table, max_accuracy_drop, seed)
        sample = keywords.pop("sample", None)
        return cls(
            stages, policy, table, preprocess=preprocess, sample=_few(inputs) if sample is None else sample, **keywords
        )

    @property
    def policy(self) -> Policy:
        """The policy in force, solved for this machine."""
        return self._ready.policy

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
        request = self._server.request(budget_ms, deadline_ms, infeasible, abstain_below)
        return self._server.one(self._ready, x, request)

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
        request = self._server.request(budget_ms, deadline_ms, infeasible, abstain_below)
        return self._server.many(self._ready, X, request)

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
        request = self._server.request(budget_ms, deadline_ms, infeasible, abstain_below)
        return self._server.improving(self._ready, x, request)

    def explain(self, budget_ms: float | None = None) -> str:
        """The plan for a fresh request in words: stages, thresholds, expected accuracy and time."""
        return self._ready.policy.explain(budget_ms)

    def stats(self) -> Stats:
        """What was answered so far, as a frozen snapshot."""
        return self._counters.snapshot()

    def swap_policy(self, policy: Policy) -> None:
        """Answer by another policy from the next request on; requests in flight finish under the old one.

        Raises
        ------
        PolicyMismatch
            If the policy is of other stages; the old one stays in force.
        """
        check_stages_of(policy, self._stages)
        timed = policy.retime(self._ready.policy.service)
        self._ready = ReadyPolicy(bound_policy(timed, self._stages, self._sample), self._stages)

    def warm_up(self, X: Any = None) -> None:
        """Run every path of the code once, so that the first request is as fast as the hundredth.

        Parameters
        ----------
        X : batch, optional
            Inputs as the stages get them, after preprocessing; by default the ones used for profiling.

        Raises
        ------
        ConfigurationError
            If there are no inputs to warm up with.
        """
        inputs = self._sample if X is None else X
        if inputs is None:
            raise ConfigurationError("expected sample inputs to warm up with, got none: pass a few rows")
        self._inputs.check(take_rows(inputs, np.arange(1)))
        self._inputs.warm_up()
        run_first_requests(self._ready, self._lane, self._clock, inputs, self._server.terms)

    def close(self) -> None:
        """Give thread counts back; the predictor is not to be used afterwards."""
        self._lane.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _few(inputs: Any) -> Any:
    return take_rows(inputs, np.arange(min(n_rows(inputs), 64)))
