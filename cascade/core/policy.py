"""The fitted policy: statistics that know no machine, decisions solved for one table of service times.

Pure but for `Policy.save` and `Policy.load`. Decisions are solved again when they are first asked for.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade.core import replay as replaying
from cascade.core.alignment import aligned, check_same_stages
from cascade.core.chain import checked_thresholds
from cascade.core.evidence import EvidenceModel, last_stage_evidence
from cascade.core.induction import Decisions, StageTimes, Statistics
from cascade.core.inputs import InputSpec
from cascade.core.outcomes import Outcomes
from cascade.core.policy_json import policy_from_dict, policy_to_dict, read_json
from cascade.core.prices import Expected
from cascade.core.records import FloatArray
from cascade.core.replay import Replay
from cascade.core.service import ServiceTable
from cascade.core.solver import Solver
from cascade.core.table import DecisionTable
from cascade.core.wording import Thresholds, explain_chain, explain_plan, threshold_rows
from cascade.errors import ConfigurationError, PolicyMismatch

REGIMES = (1, 8, 32)
"""Batch sizes for which decisions are solved."""


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A fitted decision rule over K stages: made by `fit_policy`, `Policy.from_thresholds` or `Policy.load`.

    Attributes
    ----------
    stages : tuple of str
    classes : tuple of hashable
        The caller's labels; empty for a chain that has not met any outcomes yet.
    service : ServiceTable
        The table that the decisions are solved for.
    evidence : EvidenceModel or None
        Calibrators and pooling; None for a chain.
    statistics : Statistics or None
        None for a chain.
    chain : tuple of float, or None
        Thresholds set by hand, one for each stage but the last.
    level : float
        Quantile of the service time that must fit into the time left.
    cost_weight : float
        Accuracy worth one unit of cost.
    drop : float
        Accuracy that the unloaded price may give up.
    audit : ndarray, shape (2, m)
        Accuracy the model expects (row 0) and accuracy held-out rows showed (row 1), ascending.
    requires : tuple of int
        Stage that must run before each stage, -1 for none.
    fingerprints : tuple of str, or None
        Versions of the stages that were fitted; None for saved arrays.
    inputs : InputSpec or None
        Shape and dtype of the inputs that were fitted.
    n_items : int
        Number of labelled items that were used.
    """

    stages: tuple[str, ...]
    classes: tuple[Hashable, ...]
    service: ServiceTable
    evidence: EvidenceModel | None
    statistics: Statistics | None
    requires: tuple[int, ...]
    chain: tuple[float, ...] | None = None
    level: float = 0.99
    cost_weight: float = 0.0
    drop: float = 0.0
    audit: FloatArray = field(default_factory=lambda: np.zeros((2, 0)))
    fingerprints: tuple[str, ...] | None = None
    inputs: InputSpec | None = None
    n_items: int = 0
    _solved: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.service.n_stages != len(self.stages):
            raise PolicyMismatch(
                f"expected service times of {len(self.stages)} stages {self.stages}, got {self.service.n_stages}: profile these stages"
            )
        if self.service.stages is not None and self.service.stages != self.stages:
            raise PolicyMismatch(
                f"expected service times of the stages {self.stages}, got those of {self.service.stages}: profile the stages of this policy"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # equal by value of arrays, so not hashable

    @classmethod
    def from_thresholds(
        cls, thresholds: Sequence[float], service: ServiceTable, *, stages: Sequence[str] | None = None
    ) -> Policy:
        """A chain set by hand: answer at the first stage whose confidence reaches its threshold, else run the next.

        Parameters
        ----------
        thresholds : sequence of K - 1 floats
            Each in [0, 1]; compared with the stage's own, uncalibrated confidence.
        service : ServiceTable
            Of K stages.
        stages : sequence of str, optional
            Names; by default those of the service table, else ``stage0``, ``stage1``, ...

        Raises
        ------
        ConfigurationError
            If the number of thresholds is not K - 1 or one lies outside [0, 1].

        Examples
        --------
        >>> service = ServiceTable.from_costs([1.0, 8.0])
        >>> Policy.from_thresholds([0.9], service).chain
        (0.9,)
        """
        values = checked_thresholds(thresholds, service.n_stages)
        names = tuple(stages or service.stages or (f"stage{j}" for j in range(service.n_stages)))
        requires = (-1, *range(len(names) - 1))
        return cls(names, (), service, None, None, requires, chain=values)

    def retime(self, service: ServiceTable) -> Policy:
        """The same statistics, solved for other service times.

        Raises
        ------
        PolicyMismatch
            If the table is of other stages.
        """
        return replace(self, service=service, _solved={})

    def for_classes(self, classes: Sequence[Hashable]) -> Policy:
        """The same policy over these labels; only a chain, which is fitted to none, changes.

        Raises
        ------
        PolicyMismatch
            If the policy was fitted on other labels.
        """
        labels = tuple(classes)
        if self.classes == labels:
            return self
        if self.chain is None:
            raise PolicyMismatch(
                f"expected the classes this policy was fitted on, {self.classes}, got {labels}: fit a policy on these stages"
            )
        prior = np.full(len(labels), 1.0 / len(labels))
        return replace(self, classes=labels, evidence=last_stage_evidence(len(self.stages), prior), _solved={})

    @property
    def _solver(self) -> Solver:
        solver: Solver | None = self._solved.get("solver")
        if solver is None:
            solver = Solver(
                self.statistics,
                self.chain,
                self.service,
                level=self.level,
                cost_weight=self.cost_weight,
                drop=self.drop,
                audit=self.audit,
            )
            self._solved["solver"] = solver
        return solver

    def times(self, batch_size: int = 1) -> StageTimes:
        """Service times of the stages at one batch size."""
        return self._solver.times(batch_size)

    def decisions(self, batch_size: int = 1) -> Decisions:
        """Decisions over the grid of prices, with what each price gives and takes.

        Raises
        ------
        ConfigurationError
            For a chain, which has thresholds and no prices.
        """
        return self._solver.decisions(batch_size)

    def unloaded_price(self, budget_ms: float | None = None, batch_size: int = 1) -> float:
        """The largest price that gives up no more accuracy than ``drop`` within the budget.

        It is chosen so that the expected accuracy never falls as the budget grows.
        """
        return self._solver.unloaded_price(budget_ms, batch_size)

    def table(self, budget_ms: float | None = None, price: float | None = None, batch_size: int = 1) -> DecisionTable:
        """The decisions for requests with this budget; ``price=None`` is the unloaded price.

        The budget selects the unloaded price only: the table holds decisions for every time left.
        """
        return self._solver.table(budget_ms, price, batch_size)

    def expected(self, budget_ms: float | None = None, price: float | None = None, batch_size: int = 1) -> Expected:
        """Expected accuracy, time and cost of a fresh request, corrected by what held-out rows showed.

        Raises
        ------
        ConfigurationError
            For a chain, of which no accuracy is known: replay it over outcomes.
        """
        return self._solver.expected(budget_ms, price, batch_size)

    def thresholds(self, budget_ms: float | None = None, price: float | None = None) -> Thresholds:
        """The decisions at the moment of the call in readable form: one row per set of stages run.

        Parameters
        ----------
        budget_ms : float or None
            Time allowed for a fresh request; each row assumes that its stages took their mean time.
        price : float or None
            Accuracy per millisecond; None is the unloaded price.
        """
        return threshold_rows(self.table(budget_ms, price), self.stages, self.times(), budget_ms)

    def explain(self, budget_ms: float | None = None, price: float | None = None) -> str:
        """The plan for a fresh request in words: stages, thresholds, expected accuracy and time, what is given up."""
        rows = self.thresholds(budget_ms, price)
        if self.statistics is None:
            return explain_chain(rows, budget_ms)
        best = self.expected(budget_ms, price=0.0)
        return explain_plan(rows, budget_ms, self.expected(budget_ms, price), best, self.n_items)

    def replay(self, outcomes: Outcomes, budget_ms: float | None = None, price: float | None = None) -> Replay:
        """What this policy would have answered on recorded outcomes.

        Parameters
        ----------
        outcomes : Outcomes
            Of the same stages.
        budget_ms : float or None
            Time allowed for each item; None: unlimited.
        price : float or None
            Accuracy per millisecond; None is the unloaded price.

        Raises
        ------
        PolicyMismatch
            If the outcomes are of other stages or classes.
        ConfigurationError
            If the budget or price is negative, or a price is given for a chain.
        """
        if budget_ms is not None and not budget_ms >= 0.0:
            raise ConfigurationError(f"expected budget_ms >= 0 or None, got {budget_ms}")
        check_same_stages(self.stages, outcomes.stages)
        policy = self.for_classes(outcomes.classes) if self.chain is not None else self
        assert policy.evidence is not None
        return replaying.replay(
            aligned(outcomes, policy.classes),
            policy.evidence,
            policy.table(budget_ms, price),
            policy.times(),
            budget_ms,
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the solved decisions, ready for JSON."""
        return policy_to_dict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Policy:
        """The policy that `to_dict` described.

        Raises
        ------
        CorruptPolicy
            If an entry is missing, damaged or of another format version.
        """
        return cls(**policy_from_dict(data))

    def save(self, path: str | Path) -> None:
        """Write the policy as JSON."""
        Path(path).write_text(json.dumps(self.to_dict()), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """A policy from a file that `save` wrote; decisions are solved again.

        Raises
        ------
        CorruptPolicy
            If the file cannot be read as a policy.
        """
        return cls.from_dict(read_json(path))
