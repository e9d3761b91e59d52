"""The public `Predictor`: checks what it is given, wires the parts together and delegates; it decides nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self
from weakref import finalize

import numpy as np

from cascade.caching.result_cache import ResultCache
from cascade.calibration.fit import fit_policy
from cascade.clock import Clock, MonotonicClock
from cascade.core.certificate import Certificate
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.rows import n_rows, take_rows
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.profiling.local import certified_service, local_service
from cascade.profiling.profile import profile
from cascade.runtime.answering import Answering
from cascade.runtime.auditing import AuditSettings, auditor_of
from cascade.runtime.feedback import Feedback
from cascade.runtime.guard import Strictness
from cascade.runtime.lifetime import Lifetime
from cascade.runtime.observing import Observing
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.request import InputCheck, checked_terms, sample_inputs
from cascade.runtime.servers import checked_cache, server_for
from cascade.runtime.serving import Server
from cascade.runtime.starting import LaneSettings, engine_for
from cascade.runtime.warming import run_first_requests
from cascade.runtime.watch import drift_watcher_of
from cascade.runtime.wiring import bound_policy, followed_policy, terms_under
from cascade.stages.base import RunnableStage
from cascade.stages.fingerprint import preparation_version
from cascade.telemetry.health import HealthWatch
from cascade.telemetry.listening import Listeners


class Predictor(Answering, Observing, Feedback, Lifetime):
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
    cache : ResultCache, optional
        Answers requests from what the stages said about equal inputs; may be shared with other predictors.
    preprocess : callable, optional
        Batch in, batch out; once per request, inside the budget.
    preprocess_version : str, optional
        Names what `preprocess` does, for the cache; by default a hash of its code and of what it closes over.
    postprocess : callable, optional
        Label in, anything out; once per answer that has a label, inside the budget.
    infeasible : {"fastest", "raise", "prior"}
        When not even one stage fits: answer late from the fastest, raise `BudgetTooSmall`, or answer the class prior
        at once.
    abstain_below : float, optional
        Confidence under which the label is None; by default what the policy was certified with, if it was.
    certificate : Certificate, optional
        Of this policy; its certified policy is followed. Without ``service=`` that is done under the service times that were
        certified, if they hold here; under any others the guarantee is void.
    on_overload : {"degrade", "shed"}
        At a load price above the certified one: follow it beyond the guarantee, or keep to the guarantee and give up
        requests that no path within it fits.
    threads : int or "leave"
        Intra-op threads of every thread that calls, set at its first call; BLAS pools are shared by the process.
        ``"leave"`` touches nothing.
    check_finite : bool
        Refuse NaN and infinity in float inputs.
    sample : batch, optional
        Inputs to profile and warm up with, where they cannot be made up from shape and dtype.
    clock : Clock, optional
    audit_fraction : float
        Share of requests, in [0, 1], drawn at random, for which every stage runs once the answer is out; for `feedback`.
    audit_capacity : int
        Most requests kept that wait for their audit, that wait for a label, and that have one; older ones are forgotten.
    audit_seed : int or numpy.random.Generator
        Draws the requests.
    audit_in_background : bool
        Run audits on a thread of their own while no request wants the stages; a request waits for one running stage at most.
        Otherwise they wait for `run_audits`.
    drift_window : int
        Answers that `drift` compares with as many earlier ones; 0 keeps none.
    lanes : int
        Threads that run stages for requests that queue, all at once: stages must allow that. On a CUDA device each has a stream.
    max_batch : int
        Most requests that run together.
    max_waiting : int
        Most requests that wait; more are `Rejected`.
    headroom : float
        Share of the lanes' time, in (0, 1], that is planned under load; the rest is for what takes longer than its mean.
    machine_share : float
        Share of this machine, in (0, 1], that is this process's: ``1 / N`` for N worker processes that serve at once. Where a
        lane then has less than a core, or shares a device, ``headroom`` is cut by as much.
    strict, strict_miss_rate
        Whether single requests are answered by their deadline even while a stage still runs, and the share, in (0, 1), of these
        that may be late nevertheless.
    telemetry : bool
        Whether `stats` tells how long answers and stages took, and how batches came about.

    Raises
    ------
    PolicyMismatch
        If the policy or the service table is of other stages, or the certificate of another policy.
    ConfigurationError
        If an argument cannot work.

    Warns
    -----
    GuaranteeLostWarning
        If a certified policy is retimed, or answers are withheld otherwise than was certified.

    Notes
    -----
    Safe to call from many threads. Threads of its own start with the first request that has to queue. After a fork the child
    starts afresh, without the requests that were in progress.
    """

    def __init__(
        self,
        stages: Sequence[RunnableStage],
        policy: Policy,
        service: ServiceTable | None = None,
        *,
        certificate: Certificate | None = None,
        on_overload: str = "degrade",
        cache: ResultCache | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        postprocess: Callable[[Any], Any] | None = None,
        infeasible: str = "fastest",
        abstain_below: float | None = None,
        threads: Any = 1,
        check_finite: bool = True,
        sample: Any = None,
        clock: Clock | None = None,
        audit_fraction: float = 0.0,
        audit_capacity: int = 1000,
        audit_seed: int | np.random.Generator = 0,
        audit_in_background: bool = True,
        drift_window: int = 0,
        lanes: int = 1,
        max_batch: int = 32,
        max_waiting: int = 1024,
        headroom: float = 0.8,
        machine_share: float = 1.0,
        strict: bool = False,
        strict_miss_rate: float = 0.001,
        preprocess_version: str | None = None,
        telemetry: bool = True,
    ) -> None:
        followed, self._cache = followed_policy(policy, certificate, stages), checked_cache(cache)
        checked_terms(infeasible, abstain_below, on_overload)
        settings = LaneSettings(lanes, max_batch, max_waiting, headroom, machine_share, on_overload, telemetry)
        self._stages, self._threads, self._asked = tuple(stages), threads, (infeasible, abstain_below, on_overload)
        self._clock, self._counters, self._listeners = clock or MonotonicClock(), settings.new_counters(), Listeners()
        self._inputs = InputCheck(policy.inputs, check_finite)
        self._sample = sample_inputs(policy.inputs) if sample is None else sample
        timed = self._timed_here(followed, service)
        self._engine = engine_for(stages, timed, settings, threads=threads, clock=self._clock)
        audits = AuditSettings(audit_fraction, audit_capacity, audit_seed, audit_in_background)
        self._auditor = auditor_of(self._engine, self._counters, audits)
        self._engine.renewals += [part.renew for part in (self._counters, self._auditor) if part is not None]
        self._drift = drift_watcher_of(self._counters, tuple(stage.name for stage in stages), drift_window)
        self._health, around = HealthWatch(self._clock.now_ms()), (preprocess, postprocess, preprocess_version)
        self._server = self._first_server(timed, around, Strictness(strict, strict_miss_rate))
        finalize(self, self._engine.retire).atexit = False
        if self._sample is not None:
            self.warm_up()

    def _first_server(self, policy: Policy, around: tuple[Any, Any, Any], strictness: Strictness) -> Server:
        server = server_for(
            ReadyPolicy(policy, self._stages),
            self._engine,
            self._cache,
            preparation_version(around[0], around[2], self._inputs.version),
            counters=self._counters,
            inputs=self._inputs,
            terms=terms_under(policy, *self._asked),
            preprocess=around[0],
            postprocess=around[1],
            watchers=tuple(watcher for watcher in (self._auditor, self._drift) if watcher is not None),
            listeners=self._listeners,
            strictness=strictness,
        )
        self._engine.renewals += [self._listeners.renew, self._health.renew]
        self._engine.follow(server)
        return server

    def _timed_here(self, policy: Policy, service: ServiceTable | None) -> Policy:
        given = service or certified_service(policy, self._stages, self._threads)
        table = local_service(
            policy, self._stages, given, sample=self._sample, threads=self._threads, clock=self._clock
        )
        return bound_policy(policy.retime(table), self._stages, self._sample)

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
        policy = fit_policy(outcomes, table, max_accuracy_drop, seed, progress=progress)
        if keywords.get("sample") is None:
            keywords["sample"] = take_rows(inputs, np.arange(min(n_rows(inputs), 64)))
        return cls(stages, policy, table, preprocess=preprocess, **keywords)

    def swap_policy(self, policy: Policy, certificate: Certificate | None = None) -> None:
        """Answer by another policy from the next request on; requests in flight finish under the old one.

        A certified policy keeps the service times it was certified under if they hold here; any other is solved for those
        in force.

        Raises
        ------
        PolicyMismatch
            If the policy is of other stages, or the certificate of another policy; the old one stays in force.

        Warns
        -----
        GuaranteeLostWarning
            As for `Predictor`.
        """
        followed = followed_policy(policy, certificate, self._stages)
        table = certified_service(followed, self._stages, self._threads) or self.policy.service
        # No stage is run for it: a lane may be busy with it, and it may fail.
        timed = bound_policy(followed.retime(table), self._stages, self._sample, self.policy.classes)
        terms = terms_under(timed, *self._asked)
        server = self._server.under(ReadyPolicy(timed, self._stages), terms)
        self._engine.follow(server)
        self._server = server
        self._health.follow(self._clock.now_ms())
        if self._drift is not None:
            self._drift.restart()

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
        run_first_requests(self._server.ready, self._engine, self._clock, inputs, self._server.terms)
