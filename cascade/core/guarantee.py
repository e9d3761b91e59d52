"""What has been proved about a policy, and where it holds.

Pure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from cascade.errors import ConfigurationError

RISKS = ("error", "lost", "drop", "selective")
OVERLOAD = ("degrade", "shed")
MOST_ACCURATE = "most accurate path"
_IN_WORDS = {
    "error": "the share of wrong answers",
    "lost": "the share of items that the reference gets right and the answer gets wrong",
    "drop": "what is lost in accuracy against the reference",
    "selective": "the share of wrong answers among those not abstained from",
}


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A promise about a policy that `control_risk` proved on fresh data.

    Attributes
    ----------
    price : float
        Highest load price, in accuracy per millisecond, at which the promise holds.
    risk : {"error", "lost", "drop", "selective"}
    reference : str or None
        What "lost" and "drop" compare with: a stage, or ``"most accurate path"``.
    max_risk, delta : float
        P(risk <= max_risk) >= 1 - delta, over the draw of the certification sample.
    bound : str
        How it was proved.
    n : int
        Items that proved it.
    n_groups : int or None
        Groups of items, where items belong together; the risk then counts every group the same.
    min_budget_ms : float
        The promise holds for this budget and every longer one.
    abstain_below : float or None
        Confidence under which there is no label; of risk "selective" only.
    path : tuple of float
        The prices, or thresholds of abstention, that were tested, in their order; fixed before any of these data were seen.
    shown : float
        Risk of the worst paths on the certification sample, at ``price``.
    n_uses : int
        How often these very data certified a policy in this process, this time included. The promise is about one use.
    """

    price: float
    risk: str
    reference: str | None
    max_risk: float
    delta: float
    bound: str
    n: int
    n_groups: int | None
    min_budget_ms: float
    abstain_below: float | None
    path: tuple[float, ...]
    shown: float
    n_uses: int

    def covers(self, budget_ms: float | None, price: float) -> bool:
        """Whether a request with this budget, at this load price, is within the promise."""
        allowed_ms = inf if budget_ms is None else budget_ms
        return allowed_ms >= self.min_budget_ms * (1.0 - 1e-12) and price <= self.price

    def explain(self) -> str:
        """The promise in words, with what it does not cover."""
        against = f" ({self.reference})" if self.reference else ""
        items = f"{self.n} items" if self.n_groups is None else f"{self.n} items in {self.n_groups} groups"
        under = f", with no label below confidence {self.abstain_below:.3g}" if self.abstain_below is not None else ""
        promise = (
            f"With probability {1.0 - self.delta:.4g} over the draw of {items}, {_IN_WORDS[self.risk]}{against} is at most "
            f"{self.max_risk:.4g}{under}."
        )
        reach = (
            f"It holds for every budget from {self.min_budget_ms:.4g} ms, at every load price up to {self.price:.4g} per ms, "
            f"whatever the router chooses there; {self.bound}, {len(self.path)} steps tested in a fixed order, worst paths "
            f"{self.shown:.4g} on the sample."
        )
        limits = (
            "Not covered: requests of another kind than the sample (shift), stages that take longer than their upper quantile, "
            "stages that fail, other service times than the policy was solved for, calls of many rows with a deadline."
        )
        again = (
            f"\nThese data certified {self.n_uses} policies: each promise is weaker for it." if self.n_uses > 1 else ""
        )
        return f"{promise}\n{reach}\n{limits}{again}"

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self) | {"path": list(self.path)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Guarantee:
        """The guarantee that `to_dict` described."""
        return cls(**{**data, "path": tuple(float(price) for price in data["path"])})


def check_overload(on_overload: str) -> None:
    """Raise `ConfigurationError` unless this is a way out of overload."""
    if on_overload not in OVERLOAD:
        raise ConfigurationError(f"expected on_overload to be one of {OVERLOAD}, got {on_overload!r}")


def capped_price(guarantee: Guarantee | None, price: float, on_overload: str) -> float:
    """The price that a policy is followed at: under ``"shed"`` never above the certified one.

    Raises
    ------
    ConfigurationError
        If ``on_overload`` is neither.
    """
    check_overload(on_overload)
    return price if guarantee is None or on_overload == "degrade" else min(price, guarantee.price)
