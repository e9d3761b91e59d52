"""A policy with what has been proved about it.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from cascade.core.guarantee import Guarantee
from cascade.core.html import paragraph, table
from cascade.core.policy import Policy


@dataclass(frozen=True, slots=True)
class Certificate:
    """What `control_risk` found: the policy, capped at the highest price that keeps the promise.

    Attributes
    ----------
    policy : Policy
        The certified one; it carries the guarantee with it, to JSON and back.
    """

    policy: Policy

    @property
    def guarantee(self) -> Guarantee:
        """The promise, with all its terms."""
        assert self.policy.guarantee is not None
        return self.policy.guarantee

    @property
    def price(self) -> float:
        """Highest load price, in accuracy per millisecond, at which the promise holds."""
        return self.guarantee.price

    @property
    def risk(self) -> str:
        """What is bounded: "error", "lost", "drop" or "selective"."""
        return self.guarantee.risk

    @property
    def reference(self) -> str | None:
        """What the answers are compared with; None where they are compared with the truth alone."""
        return self.guarantee.reference

    @property
    def max_risk(self) -> float:
        """The bound on the risk."""
        return self.guarantee.max_risk

    @property
    def delta(self) -> float:
        """Probability, over the draw of the sample, that the promise does not hold."""
        return self.guarantee.delta

    @property
    def bound(self) -> str:
        """How it was proved."""
        return self.guarantee.bound

    @property
    def n(self) -> int:
        """Items that proved it."""
        return self.guarantee.n

    @property
    def min_budget_ms(self) -> float:
        """The promise holds for this budget and every longer one."""
        return self.guarantee.min_budget_ms

    @property
    def abstain_below(self) -> float | None:
        """Confidence under which there is no label; of risk "selective" only."""
        return self.guarantee.abstain_below

    @property
    def n_uses(self) -> int:
        """How often these very data certified a policy in this process, this time included."""
        return self.guarantee.n_uses

    def explain(self) -> str:
        """The promise in words, with what it does not cover."""
        return self.guarantee.explain()

    def __str__(self) -> str:
        return self.explain()

    def _repr_html_(self) -> str:
        terms = [
            ("risk", self.risk if self.reference is None else f"{self.risk}, against {self.reference}"),
            ("at most", self.max_risk),
            ("with probability", 1.0 - self.delta),
            ("for budgets from, ms", self.min_budget_ms),
            ("at prices per ms up to", self.price),
            ("proved on, items", self.n),
            ("bound", self.bound),
        ]
        return table([], terms, caption="Certificate") + paragraph(self.explain())
