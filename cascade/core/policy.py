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
from cascade.core.alignment import aligned
from cascade.core.evidence import EvidenceModel, last_stage_evidence
from cascade.core.induction import Decisions, StageTimes, Statistics, solve
from cascade.core.outcomes import InputSpec, Outcomes
from cascade.core.policy_json import policy_from_dict, policy_to_dict
from cascade.core.records import FloatArray
from cascade.core.replay import Replay
from cascade.core.service import ServiceTable
from cascade.core.table import DecisionTable, chain_table, decision_table
from cascade.core.wording import Thresholds, explain_chain, explain_plan, threshold_rows
from cascade.errors import ConfigurationError, CorruptPolicy, PolicyMismatch

N_PRICES = 33
REGIMES = (1, 8, 32)
"""Batch sizes for which decisions are solved."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a fresh request may expect: accuracy, service time in milliseconds, cost in the user's unit."""

    accuracy: float
    mean_ms: float
    mean_cost: float


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
        values = tuple(float(value) for value in thresholds)
        if len(values) != service.n_stages - 1:
            raise ConfigurationError(
                f"expected {service.n_stages - 1} thresholds, one for each of {service.n_stages} stages but the last, got {len(values)}"
            )
        if not all(0.0 <= value <= 1.0 for value in values):
            raise ConfigurationError(f"expected thresholds in [0, 1], got {list(values)}")
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

    def times(self, batch_size: int = 1) -> StageTimes:
        """Service times of the stages at one batch size."""
        table, stages = self.service, range(len(self.stages))
        atoms, weights = table.atoms(batch_size)
        return StageTimes(
            np.array([table.mean_at(j, batch_size) / batch_size for j in stages]),
            np.array([table.quantile_at(j, batch_size, self.level) for j in stages]),
            atoms,
            weights,
            np.asarray(table.costs),
            self.cost_weight,
        )

    def decisions(self, batch_size: int = 1) -> Decisions:
        """Decisions over the grid of prices, with what each price gives and takes.

        Raises
        ------
        ConfigurationError
            For a chain, which has thresholds and no prices.
        """
        if self.statistics is None:
            raise ConfigurationError(
                "a chain of thresholds has no prices: fit a policy with fit_policy, or leave price=None"
            )
        key = ("decisions", batch_size)
        if key not in self._solved:
            times = self.times(batch_size)
            self._solved[key] = solve(self.statistics, times, price_grid(times))
        solved: Decisions = self._solved[key]
        return solved

    def unloaded_price(self, budget_ms: float | None = None, batch_size: int = 1) -> float:
        """The largest price that gives up no more accuracy than ``drop`` within the budget.

        It is chosen so that the expected accuracy never falls as the budget grows.
        """
        key = ("unloaded", batch_size)
        if key not in self._solved:
            self._solved[key] = _unloaded_indices(audited(self.audit, self.decisions(batch_size).accuracy), self.drop)
        decisions = self.decisions(batch_size)
        return float(
            decisions.prices[self._solved[key][decisions.time_class(np.inf if budget_ms is None else budget_ms)]]
        )

    def table(self, budget_ms: float | None = None, price: float | None = None, batch_size: int = 1) -> DecisionTable:
        """The decisions for requests with this budget; ``price=None`` is the unloaded price.

        Parameters
        ----------
        budget_ms : float or None
            Selects the unloaded price only: the table holds decisions for every time left.
        price : float or None
            Accuracy per millisecond, >= 0.
        batch_size : int
            Batch size whose service times apply.
        """
        if self.statistics is None:
            if price is not None:
                raise ConfigurationError(
                    "a chain of thresholds has no prices: fit a policy with fit_policy, or leave price=None"
                )
            return self._remembered(
                ("chain", batch_size), lambda: chain_table(self.chain or (), self.times(batch_size))
            )
        times = self.times(batch_size)
        if price is None:
            price = self.unloaded_price(budget_ms, batch_size)
        elif not price >= 0.0:
            raise ConfigurationError(f"expected a price >= 0, in accuracy per millisecond, got {price}")
        # At a price of nothing the order of stages would be arbitrary; the least price settles it.
        least = max(float(price), float(price_grid(times)[0]))
        statistics = self.statistics
        return self._remembered(("table", batch_size, least), lambda: decision_table(statistics, times, least))

    def _remembered(self, key: tuple[Any, ...], made: Any) -> DecisionTable:
        if key not in self._solved:
            if len(self._solved) > 256:
                self._solved.clear()
            self._solved[key] = made()
        table: DecisionTable = self._solved[key]
        return table

    def expected(self, budget_ms: float | None = None, price: float | None = None, batch_size: int = 1) -> Expected:
        """Expected accuracy, time and cost of a fresh request, corrected by what held-out rows showed.

        Raises
        ------
        ConfigurationError
            For a chain, of which no accuracy is known: replay it over outcomes.
        """
        decisions = self.decisions(batch_size)
        wanted = self.unloaded_price(budget_ms, batch_size) if price is None else float(price)
        row = int(np.abs(decisions.prices - wanted).argmin())
        column = decisions.time_class(np.inf if budget_ms is None else budget_ms)
        return Expected(
            float(audited(self.audit, decisions.accuracy[row, column])),
            float(decisions.mean_ms[row, column]),
            float(decisions.mean_cost[row, column]),
        )

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
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CorruptPolicy(f"expected a policy saved as JSON at {path}: {error}") from error
        return cls.from_dict(data)


def check_same_stages(mine: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    """Raise unless two lists of stage names are the same.

    Raises
    ------
    PolicyMismatch
        With both lists.
    """
    if mine != theirs:
        raise PolicyMismatch(
            f"expected outcomes of the stages {mine}, got {theirs}: pass the same stages in the same order"
        )


def price_grid(times: StageTimes) -> FloatArray:
    """Prices from next to nothing to where only the cheapest stage is worth its time, shape (L,)."""
    longest, shortest = float(times.mean_ms.max()), float(times.mean_ms[times.mean_ms > 0].min(initial=np.inf))
    if not np.isfinite(shortest):
        longest = shortest = 1.0
    return np.geomspace(1e-5 / longest, 2.0 / shortest, N_PRICES)


def audited(audit: FloatArray, accuracy: FloatArray | float) -> FloatArray:
    """Accuracies the model expects, as held-out rows showed them; beyond the audited range the gap stays."""
    modelled, shown = audit
    expected = np.asarray(accuracy, np.float64)
    if modelled.shape[0] == 0:
        return expected
    nearest = np.clip(expected, modelled[0], modelled[-1])
    return np.asarray(np.clip(np.interp(nearest, modelled, shown) + expected - nearest, 0.0, 1.0))


def _unloaded_indices(accuracy: FloatArray, drop: float) -> list[int]:
    """Index of the unloaded price for every class of time left."""
    chosen, floor = [], 0.0
    for column in accuracy.T:
        wanted = max(float(column.max()) - drop, min(floor, float(column.max())))
        index = int(np.flatnonzero(column >= wanted - 1e-9).max())
        floor = max(floor, float(column[index]))
        chosen.append(index)
    return chosen
