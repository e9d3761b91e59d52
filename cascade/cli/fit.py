"""``cascade fit``: a policy from saved model outputs, and what it would have done on rows kept back."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cascade.calibration.fit import fit_policy
from cascade.cli.text import path_mix, percent, short, text_table
from cascade.core.interval import wilson_interval
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, DataError

# Prices that change the mean cost by less than this share are left out.
_VISIBLE = 0.1


@dataclass(frozen=True, slots=True)
class Line:
    """One choice on the rows kept back: a policy at one price, or one stage alone.

    Attributes
    ----------
    choice : str
        The stage; or ``"unloaded"``, the price that a request without load and deadline pays; or ``"priced"``.
    price : float or None
        Accuracy per millisecond; None for a stage alone.
    accuracy, ci_low, ci_high : float
        Share of right answers and its 95 % Wilson interval.
    mean_cost, mean_ms : float
        Per item.
    path_shares : mapping from str to float
        Share of items per path, the most frequent first.
    """

    choice: str
    price: float | None
    accuracy: float
    ci_low: float
    ci_high: float
    mean_cost: float
    mean_ms: float
    path_shares: Mapping[str, float]


def run(options: Namespace) -> None:
    """Fit on a part of the rows, save the policy, report on the rest.

    Raises
    ------
    DataError
        If the file cannot be read, its arrays cannot be used, or are too few to keep some back.
    ConfigurationError
        If neither costs nor service times are given, or they do not fit the stages.
    """
    outcomes = Outcomes.load(options.data)
    service = _service(outcomes, options.costs, options.service)
    known, held_out = _split(outcomes, options.held_out, options.seed)
    policy = fit_policy(known, service, options.max_accuracy_drop, options.seed)
    policy.save(options.out)
    policies, singles = policy_lines(policy, held_out), single_lines(held_out, service)
    if options.json:
        sizes = {"n_fitted": known.n_items, "n_held_out": held_out.n_items}
        print(json.dumps({**sizes, "policies": _plain(policies), "singles": _plain(singles)}, indent=1))
        return
    print(f"fitted on {known.n_items} rows; everything below is on the {held_out.n_items} rows kept back")
    print("prices are in accuracy per millisecond, or per unit of cost where times were not measured\n")
    print(_table(policies, singles, measured=options.service is not None))
    print(f"\nsaved {options.out}; 'cascade explain --policy {options.out} --budget-ms ...' says what it does")


def policy_lines(policy: Policy, held_out: Outcomes) -> list[Line]:
    """The policy without a deadline: at the unloaded price, then at rising prices that change the mean cost visibly."""
    lines = [_replayed(policy, held_out, "unloaded", policy.unloaded_price())]
    for price in policy.decisions().prices.tolist():
        line = _replayed(policy, held_out, "priced", price)
        if len(lines) == 1 or abs(line.mean_cost - lines[-1].mean_cost) > _VISIBLE * lines[-1].mean_cost:
            lines.append(line)
    return lines


def single_lines(held_out: Outcomes, service: ServiceTable) -> list[Line]:
    """Each stage alone, for every item."""
    return [
        _line(
            choice=name,
            price=None,
            correct=held_out.correct[:, j],
            mean_cost=float(service.costs[j]),
            mean_ms=service.mean_at(j, 1),
            path_counts={(name,): held_out.n_items},
        )
        for j, name in enumerate(held_out.stages)
    ]


def _replayed(policy: Policy, held_out: Outcomes, choice: str, price: float) -> Line:
    done = policy.replay(held_out, price=price)
    return _line(
        choice=choice,
        price=price,
        correct=done.correct,
        mean_cost=done.mean_cost,
        mean_ms=done.mean_ms,
        path_counts=done.path_counts,
    )


def _line(
    *,
    choice: str,
    price: float | None,
    correct: NDArray[np.bool_],
    mean_cost: float,
    mean_ms: float,
    path_counts: Mapping[tuple[str, ...], int],
) -> Line:
    n, n_right = correct.size, int(correct.sum())
    low, high = wilson_interval(n_right, n)
    shares = {" > ".join(path): count / n for path, count in path_counts.items()}
    return Line(choice, price, n_right / n, low, high, mean_cost, mean_ms, shares)


def _service(outcomes: Outcomes, costs: Sequence[float] | None, path: Path | None) -> ServiceTable:
    if costs is None and path is None:
        raise ConfigurationError(
            "expected --costs A,B,... or --service JSON, got neither: a policy needs to know what stages take"
        )
    if costs is not None and len(costs) != outcomes.n_stages:
        raise ConfigurationError(
            f"expected {outcomes.n_stages} costs, one per stage {', '.join(outcomes.stages)}, got {len(costs)}"
        )
    if path is None:
        return ServiceTable.from_costs(costs or (), stages=outcomes.stages)
    service = ServiceTable.load(path)
    return service if costs is None else replace(service, costs=np.array(costs))


def _split(outcomes: Outcomes, share: float, seed: int) -> tuple[Outcomes, Outcomes]:
    n_held_out = round(share * outcomes.n_items)
    if not 0 < n_held_out < outcomes.n_items:
        raise DataError(
            f"expected enough rows to keep a share of {share} back, got {outcomes.n_items}: add labelled rows"
        )
    order = np.random.default_rng(seed).permutation(outcomes.n_items)
    return outcomes.take(order[n_held_out:]), outcomes.take(order[:n_held_out])


def _plain(lines: Sequence[Line]) -> list[dict[str, object]]:
    return [asdict(line) for line in lines]


def _table(policies: Sequence[Line], singles: Sequence[Line], *, measured: bool) -> str:
    """The lines as text; with times of their own only where these were measured, for else they are the costs again."""
    header = ["choice", "price", "accuracy", "95 % interval", "mean cost", *(["mean ms"] if measured else []), "paths"]
    rows = [_cells(line, measured=measured) for line in policies] + [[]]
    rows += [_cells(line, measured=measured) for line in singles]
    return text_table(header, rows, right=frozenset({1, 2, 4, len(header) - 2}))


def _cells(line: Line, *, measured: bool) -> list[str]:
    single = line.price is None
    return [
        f"only {line.choice}" if single else f"policy, {line.choice}",
        "" if line.price is None else f"{line.price:.2g}",
        percent(line.accuracy, 2),
        f"{percent(line.ci_low)} to {percent(line.ci_high)}",
        short(line.mean_cost),
        *([short(line.mean_ms)] if measured else []),
        "" if single else path_mix(line.path_shares),
    ]
