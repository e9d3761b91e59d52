"""The fitted policy: statistics that know no machine, decisions solved for one table of service times.

Pure but for `Policy.save` and `Policy.load`. Decisions are solved again when they are first asked for.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade.core import replay as replaying
from cascade.core.alignment import aligned, check_same_stages, check_service
from cascade.core.chain import checked_thresholds
from cascade.core.equality import equal_by_value
from cascade.core.evidence import EvidenceModel, last_stage_evidence
from cascade.core.guarantee import Guarantee, capped_price
from cascade.core.induction import Decisions, Statistics
from cascade.core.inputs import InputSpec
from cascade.core.outcomes import Outcomes
from cascade.core.policy_json import policy_from_dict, policy_to_dict, read_policy
from cascade.core.policy_words import MAX_SHOWN, in_html, titled
from cascade.core.prices import Expected
from cascade.core.records import FloatArray
from cascade.core.replay import Replay
from cascade.core.row_marks import RowMarks
from cascade.core.service import ServiceTable
from cascade.core.solver import Solver
from cascade.core.table import DecisionTable
from cascade.core.times import StageTimes
from cascade.core.wording import Circumstances, Thresholds, explain_chain, explain_plan, threshold_rows
from cascade.errors import GuaranteeLostWarning, PolicyMismatch

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
    rows : RowMarks or None
        Marks of these items, to tell them from fresh ones.
    guarantee : Guarantee or None
        What `control_risk` proved.
    """

    stages: tuple[str, ...]
    classes: tuple[Hashable, ...]
    service: ServiceTable = field(repr=False)
    evidence: EvidenceModel | None = field(repr=False)
    statistics: Statistics | None = field(repr=False)
    requires: tuple[int, ...]
    chain: tuple[float, ...] | None = None
    level: float = 0.99
    cost_weight: float = 0.0
    drop: float = 0.0
    audit: FloatArray = field(default_factory=lambda: np.zeros((2, 0)), repr=False)
    fingerprints: tuple[str, ...] | None = None
    inputs: InputSpec | None = None
    n_items: int = 0
    rows: RowMarks | None = field(default=None, repr=False)
    guarantee: Guarantee | None = None
    _solved: dict[str, Solver] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_service(self.stages, self.service, self.level)

    def __eq__(self, other: object) -> bool:
        """Equality by value of everything that is saved."""
        if not isinstance(other, Policy):
            return NotImplemented
        saved = (part.name for part in fields(self) if part.init)
        return all(equal_by_value(getattr(self, name), getattr(other, name)) for name in saved)

    @classmethod
    def from_thresholds(
        cls, thresholds: Sequence[float], service: ServiceTable, *, stages: Sequence[str] | None = None
    ) -> Policy:
        """A chain set by hand: answer at the first stage whose confidence reaches its threshold, else run the next.

        Parameters
        ----------
        thresholds : sequence of K - 1 floats
            Each in [0, 1]; compared with the stage's own, uncalibrated confidence. Where a stage says only a label and
            a confidence, one below 1 / c counts as 1 / c, with c the number of classes.
        service : ServiceTable
            Of K stages.
        stages : sequence of str, optional
            Names; by default those of the service table, else ``stage0``, ``stage1``, ...

        Raises
        ------
        ConfigurationError
            If the number of thresholds is not K - 1, one lies outside [0, 1], or there are more than 15 stages.
        PolicyMismatch
            If the names are not those of the service table.

        Examples
        --------
        >>> service = ServiceTable.from_costs([1.0, 8.0])
        >>> Policy.from_thresholds([0.9], service).chain
        (0.9,)
        """
        values = checked_thresholds(thresholds, service.n_stages)
        names = tuple(stages or service.stages or (f"stage{j}" for j in range(service.n_stages)))
        return cls(names, (), service, None, None, (-1, *range(len(names) - 1)), chain=values)

    def retime(self, service: ServiceTable) -> Policy:
        """The same statistics, solved for other service times; a guarantee holds for the old ones only.

        Warns
        -----
        GuaranteeLostWarning
            If the policy was certified and the table is another one.

        Raises
        ------
        PolicyMismatch
            If the table is of other stages.
        ConfigurationError
            If the table knows no quantile as high as the policy's ``level``.
        """
        if self.guarantee is None or service == self.service:
            return replace(self, service=service)
        warnings.warn(
            "the policy was certified for other service times, so its guarantee is dropped: retime it first, then certify",
            GuaranteeLostWarning,
            stacklevel=2,
        )
        return replace(self, service=service, guarantee=None)

    def for_classes(self, classes: Sequence[Hashable]) -> Policy:
        """The same policy over these labels; only a chain, which is fitted to none, changes, else `PolicyMismatch`."""
        labels = tuple(classes)
        if self.classes == labels:
            return self
        if self.chain is None:
            raise PolicyMismatch(
                f"expected the classes this policy was fitted on, {self.classes}, got {labels}: fit a policy on these stages"
            )
        prior = np.full(len(labels), 1.0 / len(labels))
        return replace(self, classes=labels, evidence=last_stage_evidence(len(self.stages), prior))

    @property
    def _solver(self) -> Solver:
        # A memo: of two threads that come first at once, both get the solver that was kept.
        return self._solved.get("solver") or self._solved.setdefault("solver", Solver(self))

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
        """The largest price that gives up no more than ``drop`` within the budget, nor falls below a smaller budget."""
        return self._solver.unloaded_price(budget_ms, batch_size)

    def table(self, budget_ms: float | None = None, price: float | None = None, batch_size: int = 1) -> DecisionTable:
        """The decisions for requests with this budget; ``price=None`` is the unloaded price.

        The budget selects the unloaded price only: the table holds decisions for every time left.
        """
        return self._solver.table(budget_ms, price, batch_size)

    def expected(self, budget_ms: float | None = None, price: float | None = None, batch_size: int = 1) -> Expected:
        """Expected accuracy, time and cost of a fresh request, the accuracy corrected by what held-out rows showed.

        A price is taken to the nearest one that was solved. Where no stage fits the budget, this is what the fastest
        stage gives, late.

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
        """
        return threshold_rows(self.table(budget_ms, price), self.stages, self.times(), budget_ms)

    def explain(self, budget_ms: float | None = None, price: float | None = None) -> str:
        """The plan for a fresh request in words: stages, thresholds, expected accuracy and time, what is given up."""
        rows, times = self.thresholds(budget_ms, price), self.times()
        j = replaying.fastest_stage(times, self.requires)
        upper_ms = float(times.upper_ms[j])
        under = Circumstances(budget_ms, self.stages[j], upper_ms, self.level, self.n_items, self.cost_weight > 0.0)
        if self.statistics is None:
            return explain_chain(rows, under)
        return explain_plan(rows, under, self.expected(budget_ms, price), self.expected(budget_ms, price=0.0))

    def _repr_html_(self) -> str:
        title = titled(self.stages, self.n_items, self.chain, self.guarantee)
        plan = self.thresholds() if len(self.stages) <= MAX_SHOWN else None
        return in_html(title, self.stages, self.times(), plan, self.level)

    def replay(
        self,
        outcomes: Outcomes,
        budget_ms: float | None = None,
        price: float | None = None,
        *,
        on_overload: str = "degrade",
    ) -> Replay:
        """What this policy would have answered on recorded outcomes.

        Parameters
        ----------
        outcomes : Outcomes
        budget_ms : float or None
            Time allowed for each item; None: unlimited.
        price : float or None
            Accuracy per millisecond; None is the unloaded price.
        on_overload : {"degrade", "shed"}
            At a price above the certified one: follow it beyond the guarantee, or stay at the certified price.

        Raises
        ------
        PolicyMismatch
            If the outcomes are of other stages or classes.
        ConfigurationError
            If the budget or price is negative, or a price is given for a chain.
        """
        check_same_stages(self.stages, outcomes.stages)
        policy = self.for_classes(outcomes.classes) if self.chain is not None else self
        asked = price if price is None else capped_price(self.guarantee, price, on_overload)
        table = policy.table(budget_ms, asked)
        assert policy.evidence is not None
        known = replace(aligned(outcomes, policy.classes), requires=self.requires)
        share = float(self.guarantee is not None and self.guarantee.covers(budget_ms, asked or 0.0))
        return replaying.replay(known, policy.evidence, table, policy.times(), budget_ms, certified_share=share)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the solved decisions, ready for JSON."""
        return policy_to_dict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Policy:
        """The policy that `to_dict` described; `CorruptPolicy` if an entry is missing, damaged or of another version."""
        return cls(**policy_from_dict(data))

    def save(self, path: str | Path) -> None:
        """Write JSON; `ConfigurationError` if a label is not a string, number, boolean, None or a tuple of these."""
        Path(path).write_text(json.dumps(self.to_dict(), allow_nan=False), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """A policy from a file that `save` wrote; `CorruptPolicy`, naming the file, if it cannot be read as one."""
        return cls(**read_policy(path))
