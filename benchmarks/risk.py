"""How often is a promise about risk broken, and what does keeping it cost?

One policy per set is fitted on some of the items; the others are a pool, whose risk at every price is the truth. 1,000 certification
samples of n items are drawn from the pool with replacement, so that the truth is known exactly, and every rule picks the last price it
trusts with the losses of the worst paths up to it (docs/risk-control.md), at delta = 0.1. lost is against the policy's
most accurate path, drop against the best single model.

cascade  `control_risk`: fixed sequence with exact binomial p-values, or betting where losses have signs
HB       the same sequence with Hoeffding-Bentkus p-values
CRC      conformal risk control, whose promise is about the expected risk only
naive    the last price whose mean loss on the sample looks right

broken   share of samples whose chosen price has a true risk above max_risk; the bar is 10 % plus three standard errors, 12.8 %
none     share of samples on which cascade proves nothing; price 0 then stands in
dearer   mean cost beyond that of the oracle, which knows the truth, in percent of the cost of price 0
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from baselines.risk_rules import conformal_risk_control, hoeffding_bentkus, hoeffding_bentkus_p_values, naive
from harness.datasets import Ladder, cifar10, digits, frugal, netcal
from harness.report import arguments, data_folder, on_one_thread, print_table, write

from cascade.calibration.bounds import betting_p_value, binomial_p_value
from cascade.calibration.certification import PricesToTest, Promise, Sample
from cascade.calibration.fit import fit_policy
from cascade.calibration.risk import control_risk
from cascade.core.guarantee import MOST_ACCURATE
from cascade.core.service import ServiceTable
from cascade.errors import NotCertifiable

N_TRIALS, N_CHECKED, DELTA = 1000, 10, 0.1
SIZES, LIMITS, RISKS = (200, 1000, 5000), (0.005, 0.01, 0.02, 0.05), ("lost", "drop")
N_FIT = 4000
RULES = ("cascade", "HB", "CRC", "naive")
BAR = DELTA + 3.0 * np.sqrt(DELTA * (1.0 - DELTA) / N_TRIALS)


def by_cascade(worst: np.ndarray, risk: str, limit: float, rng: np.random.Generator) -> int:
    """What `control_risk` does with the worst losses (n, L) of a sample."""
    n, last = len(worst), -1
    order = rng.permutation(n)
    for column in worst.T:
        if risk == "lost":
            p_value = float(binomial_p_value(int((column == 1).sum()), n, limit))
        else:
            p_value = betting_p_value(0.5 * (1.0 + column[order]), 0.5 * (1.0 + limit), DELTA)
        if p_value > DELTA:
            break
        last += 1
    return last


def chosen(worst: np.ndarray, risk: str, limit: float, rng: np.random.Generator) -> dict[str, int]:
    """The price that each rule picks on one sample."""
    scaled = worst.astype(np.float64) if risk == "lost" else 0.5 * (1.0 + worst)
    allowed = limit if risk == "lost" else 0.5 * (1.0 + limit)
    return {
        "cascade": by_cascade(worst, risk, limit, rng),
        "HB": hoeffding_bentkus(scaled, allowed, DELTA),
        "CRC": conformal_risk_control(scaled, allowed),
        "naive": naive(scaled, allowed),
    }


def one_cell(worst: np.ndarray, costs: np.ndarray, n: int, risk: str, limit: float) -> dict[str, Any]:
    """Broken promises and costs of every rule, over the samples of one size."""
    rng = np.random.default_rng(n)
    truth = worst.mean(axis=0)
    oracle = int(np.searchsorted(truth, limit + 1e-12, side="right")) - 1
    picks = {rule: np.empty(N_TRIALS, np.int64) for rule in RULES}
    for trial in range(N_TRIALS):
        for rule, pick in chosen(worst[rng.integers(0, len(worst), n)], risk, limit, rng).items():
            picks[rule][trial] = pick
    return {
        "broken": {rule: round(float((picks[rule] > oracle).mean()), 4) for rule in RULES},
        "none": round(float((picks["cascade"] < 0).mean()), 4),
        "dearer": {
            rule: round(float((costs[np.maximum(picks[rule], 0)].mean() - costs[max(oracle, 0)]) / costs[0]), 4)
            for rule in RULES
        },
    }


def check_agreement(policy: Any, pool: Any, worst: np.ndarray, promise: Promise, limit: float) -> int:
    """Samples on which `control_risk` itself picks another price than this script's short cut; 0 is right."""
    rng, apart = np.random.default_rng(1), 0
    for _ in range(N_CHECKED):
        rows = rng.integers(0, pool.n_items, 1000)
        short = by_cascade(worst[rows], promise.risk, limit, np.random.default_rng(0))
        named = None if promise.reference == MOST_ACCURATE else promise.reference
        try:
            found = (
                len(control_risk(policy, pool.take(rows), limit, DELTA, promise.risk, reference=named).guarantee.path)
                - 2
            )
        except NotCertifiable:
            found = -1
        apart += found != short and short < worst.shape[1] - 1
    return apart


def one_ladder(ladder: Ladder) -> dict[str, Any]:
    """All cells of one set."""
    order = np.random.default_rng(0).permutation(ladder.outcomes.n_items)
    n_fit = min(N_FIT, len(order) // 2)
    policy = fit_policy(ladder.outcomes.take(order[:n_fit]), ServiceTable.from_costs(ladder.costs))
    pool = ladder.outcomes.take(order[n_fit:])
    path = PricesToTest.of(policy, float(policy.times().upper_ms.sum()))
    costs = np.array([policy.replay(pool, price=price).mean_cost for price in path.prices])
    cells, apart = [], 0
    for risk in RISKS:
        # Against the most accurate path a drop is a loss of 0 or 1 in the worst case; against a stage it has a sign.
        reference = MOST_ACCURATE if risk == "lost" else policy.stages[int(pool.correct.mean(axis=0).argmax())]
        promise = Promise(risk, 0.1, DELTA, reference, 0.0, None)
        sample = Sample(policy, pool, promise, None, np.random.default_rng(0))
        worst = sample.worst(path.reach, None)
        apart += check_agreement(policy, pool, worst, promise, 0.02)
        cells += [
            {"risk": risk, "n": n, "max_risk": limit, **one_cell(worst, costs, n, risk, limit)}
            for n in SIZES
            for limit in LIMITS
        ]
    return {"name": ladder.name, "n_fit": n_fit, "n_pool": pool.n_items, "apart": apart, "cells": cells}


def report(found: dict[str, Any]) -> None:
    """Print one set."""
    print(f"\n{found['name']}: policy fitted on {found['n_fit']} items, truth of {found['n_pool']} items")
    rows = []
    for cell in found["cells"]:
        met = "yes" if cell["broken"]["cascade"] <= BAR else "NO"
        broken = [f"{100 * cell['broken'][rule]:.1f}" for rule in RULES]
        dearer = [f"{100 * cell['dearer'][rule]:.1f}" for rule in RULES]
        rows.append(
            [
                cell["risk"],
                str(cell["n"]),
                f"{100 * cell['max_risk']:g}",
                *broken,
                met,
                f"{100 * cell['none']:.0f}",
                *dearer,
            ]
        )
    head = ["risk", "n", "max %", *(f"broken {r}" for r in RULES), "met", "none", *(f"dearer {r}" for r in RULES)]
    print_table(head, rows)
    print(f"samples on which control_risk and this script differ: {found['apart']} of {N_CHECKED * len(RISKS)}")


def mapie_difference() -> float | None:
    """Largest difference between p-values here and in MAPIE; None where MAPIE is not installed."""
    try:
        from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
    except ImportError:
        return None
    means = np.array([0.0, 0.004, 0.01, 0.02, 0.049])
    theirs = compute_hoeffding_bentkus_p_value(means, 1000, 0.05)[:, 0]
    binary = compute_hoeffding_bentkus_p_value(means, 1000, 0.05, binary=True)[:, 0]
    exact = binomial_p_value((1000 * means).round().astype(int), np.full(5, 1000), 0.05)
    hoeffding = np.minimum(hoeffding_bentkus_p_values(means, 1000, 0.05), 1.0)
    # MAPIE takes the smaller of Hoeffding's and the binomial one for 0/1 losses.
    return float(max(np.abs(theirs - hoeffding).max(), np.abs(binary - np.minimum(exact, binary)).max()))


def main() -> None:
    options = arguments(__doc__)
    data, began = data_folder(options.data), time.perf_counter()
    ladders = [digits()] if data is None else [cifar10(data), netcal(data), frugal(data, "yelp", "FrugalML Yelp")]
    found = []
    for ladder in ladders:
        found.append(one_ladder(ladder))
        report(found[-1])
    broken = [cell["broken"] for each in found for cell in each["cells"]]
    worst = {rule: max(cell[rule] for cell in broken) for rule in RULES}
    print("\nmost often broken, over all cells: " + ", ".join(f"{rule} {100 * worst[rule]:.1f} %" for rule in RULES))
    print(f"bar {100 * BAR:.1f} %: {'met in every cell' if worst['cascade'] <= BAR else 'NOT met'}")
    apart = mapie_difference()
    print(
        "MAPIE is not installed: no cross-check"
        if apart is None
        else f"p-values here and in MAPIE differ by {apart:.1e}"
    )
    print(f"{time.perf_counter() - began:.0f} s")
    write(
        "risk",
        {"delta": DELTA, "n_trials": N_TRIALS, "bar": BAR, "mapie_difference": apart, "sets": found},
        options.out,
    )


if __name__ == "__main__":
    on_one_thread()
    main()
