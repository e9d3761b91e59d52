"""How accurate is a cascade at a given mean cost, beside what the same models reach by simpler means?

For each ladder half of the items fit and the other half serve, five times; every figure is measured on the half that serves.

best       the most accurate price of the path among those within the cost: the one column that is picked where it is measured
honest     the price that was most accurate within the cost on the half that fits
mixed      items sent at random to one of two neighbouring prices; pair and share picked on the half that fits
matched    as mixed, in expectation, with the share that spends exactly the cost on the half that serves; no label there is used
single     the best single model within the cost, picked on the half that fits
hull       the best random mixture of two single models, in expectation, picked likewise
grid       the best chain of plain confidence thresholds over all orders of the models, picked likewise
published  FrugalML as published, on its own splits, with straight lines between its points
floor      what a simple prototype reached, picked as in "best"
met        the columns that come within 0.4 points of the floor without exceeding the cost by more than 1 %

In brackets behind what was picked on one half stands the cost it had on the other, because the two differ.

A second table sets cascade beside published rules at equal cost on the half that serves. Cascade and pre-routing are paths of prices,
the others the concave hull of their settings on the half that fits; at each cost two neighbouring points are mixed, as in
"matched". The difference to the best peer is paired over the seeds, with its standard error; the halves of different seeds overlap, so
that it is a little too small.

hull             random mixtures of single models
max prob, margin, entropy   chains of thresholds over all orders of the models
agreement        ensembles that answer where they agree (ABC)
cascade routing  per step the set of models with the best estimated quality less price times cost
post-hoc         chains of thresholds on a learned gain of deferring
pre-routing      a classifier on the input chooses one model; only where the inputs are there
FrugalML         as published, on its own splits

Cascade routing and pre-routing read features of the input where it is there, before any model has run, and pay for that: on CIFAR-10
0.12 ms per image, the least that was measured for these features; on digits 1, which is the cost of the cheapest model, as they
are linear in 64 pixels and it is in 16. "features free" shows what they would reach if that cost nothing: for reference, and
never the best peer.

Commercial services and published scores come without inputs, the services without class scores too; two models leave nothing for
ensembles. What a set does not allow is left out of its table.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from baselines.chains import best_within, chains_of_models, run
from baselines.operating_points import Items
from baselines.single_models import best_mixture, best_single
from baselines.uncertainty import own_score
from harness.comparison import OURS as CASCADE
from harness.comparison import costs_between, items_of, matched, peers_at, points_of_path, split_of
from harness.datasets import Ladder, ladders
from harness.price_path import PricePath, most_accurate_within, neighbours_at, price_paths
from harness.report import arguments, data_folder, on_one_thread, print_table, write
from harness.standing import MAY_LOSE, MUST_LEAD, TOLD, standings, told, verdict
from harness.standing import show as show_standings

from cascade.calibration.fit import fit_policy
from cascade.core.service import ServiceTable

N_SEEDS = 5
TOLERANCE, COST_TOLERANCE = 0.004, 0.01
OURS = ("best", "honest", "mixed", "matched")
COLUMNS = (*OURS, "single", "hull", "grid")
WITH_COST = ("honest", "mixed", "grid")

# Cost: accuracy of the prototype, None where only the comparison is of interest.
POINTS: dict[str, dict[float, float | None]] = {
    "CIFAR-10 JPEG": {2.6: None, 4.1: 0.844, 5.4: 0.851, 6.5: 0.857, 7.5: None, 8.0: 0.860},
    "FrugalML RAF-DB": {2.0: None, 3.8: 0.717, 6.1: 0.762, 8.0: None, 10.2: 0.793, 12.0: None, 14.0: None},
    "FrugalML DIGIT": {12.8: 0.837, 25.0: None, 37.0: 0.928, 41.0: None},
    "FrugalML AudioMNIST": {3.1: 0.988, 10.0: 0.996, 25.0: None, 41.0: None},
    "FrugalML Yelp": {0.75: None, 1.5: 0.959, 1.9: 0.962, 2.5: None},
    "netcal CIFAR-10": {2.0: None, 4.0: None, 6.0: None, 8.0: None, 10.0: None},
    "digits": {1.0: None, 2.0: None, 4.0: None, 10.0: None},
}
# Mean of five seeds, half of the data to fit; from the README beside the data.
PUBLISHED = {
    "FrugalML RAF-DB": (
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0],
        [0.6023, 0.6795, 0.7123, 0.7323, 0.7440, 0.7610, 0.7676, 0.7763, 0.7771],
    )
}
PUBLISHED_FROM = 6.0
"""From this cost on the lead over the published curve is summed up."""

Measured = dict[str, tuple[float, float]]
"""Accuracy and mean cost on the half that serves, by column; NaN where nothing keeps the cost."""
NOTHING = (float("nan"), float("nan"))


def cascade_columns(train: PricePath, test: PricePath, limit: float, rng: np.random.Generator) -> Measured:
    """The ways to read a point off the path of prices."""
    row = dict.fromkeys(OURS, NOTHING)
    best = most_accurate_within(test.mean_cost, test.accuracy, limit)
    if best is not None:
        row["best"] = (test.accuracy[best], test.mean_cost[best])
    honest = most_accurate_within(train.mean_cost, train.accuracy, limit)
    if honest is not None:
        row["honest"] = (test.accuracy[honest], test.mean_cost[honest])
    pair = neighbours_at(train.mean_cost, train.accuracy, limit)
    if pair is not None:
        low, high, share = pair
        dearer = rng.random(test.correct.shape[1]) < share
        right = np.where(dearer, test.correct[high], test.correct[low])
        row["mixed"] = (right.mean(), np.where(dearer, test.cost[high], test.cost[low]).mean())
    pair = neighbours_at(test.mean_cost, train.accuracy, limit)
    if pair is not None:
        low, high, share = pair
        shares = np.array([1.0 - share, share])
        row["matched"] = (shares @ test.accuracy[[low, high]], shares @ test.mean_cost[[low, high]])
    return row


def peer_columns(seen: Items, served: Items, costs: np.ndarray, limits: Sequence[float]) -> list[Measured]:
    """Single models, their mixtures and chains of thresholds, at every cost."""
    accuracy, held_out = seen.correct.mean(axis=0), served.correct.mean(axis=0)
    chains, tried = (chains_of_models(items, own_score(items.confidence), costs) for items in (seen, served))
    rows: list[Measured] = []
    for limit, chain in zip(limits, best_within(chains, limits), strict=True):
        single, shares = best_single(accuracy, costs, limit), best_mixture(accuracy, costs, limit)
        if single is None or shares is None or chain is None:
            rows.append(dict.fromkeys(("single", "hull", "grid"), NOTHING))
            continue
        grid = run(tried[chain.number], chain.thresholds)
        mixture = (shares @ held_out, shares @ costs)
        rows.append({"single": (held_out[single], costs[single]), "hull": mixture, "grid": grid})
    return rows


@dataclass(frozen=True, slots=True)
class Found:
    """What one split gave: every column at every point, every method at every cost, and the seconds the fit took."""

    columns: list[Measured]
    equal_cost: dict[str, np.ndarray]
    fit_s: float


def one_split(ladder: Ladder, items: Items, limits: Sequence[float], costs: Sequence[float], seed: int) -> Found:
    """Everything for one split; the columns at the limits, the methods at the costs."""
    split = split_of(ladder, items, seed)
    began = time.perf_counter()
    policy = fit_policy(split.train, ServiceTable.from_costs(ladder.costs), seed=seed)
    fit_s = time.perf_counter() - began
    seen, held_out = price_paths(policy, split.train, split.test, ladder.costs)
    peers = peer_columns(split.seen, split.served, ladder.costs, limits)
    rngs = [np.random.default_rng([seed, i]) for i in range(len(limits))]
    ours = [cascade_columns(seen, held_out, limit, rng) for limit, rng in zip(limits, rngs, strict=True)]
    columns = [mine | theirs for mine, theirs in zip(ours, peers, strict=True)]
    equal = {CASCADE: matched(points_of_path(seen, held_out), costs)} | peers_at(split, ladder.costs, costs)
    if ladder.name in PUBLISHED:
        equal["FrugalML"] = np.interp(costs, *PUBLISHED[ladder.name])
    return Found(columns, equal, fit_s)


def measure(ladder: Ladder) -> dict[str, Any]:
    """The mean over the seeds of every column at every cost, ready for JSON."""
    limits = list(POINTS[ladder.name])
    items, costs = items_of(ladder), costs_between(ladder.costs, limits)
    splits = [one_split(ladder, items, limits, costs, seed) for seed in range(N_SEEDS)]
    equal = standings(costs, [found.equal_cost for found in splits])
    singles = zip(ladder.outcomes.stages, ladder.costs, ladder.outcomes.correct.mean(axis=0), strict=True)
    return {
        "n_items": ladder.outcomes.n_items,
        "unit": ladder.unit,
        "models": {s: {"cost": float(cost), "accuracy": round(float(a), 4)} for s, cost, a in singles},
        "fit_s": round(float(np.median([found.fit_s for found in splits])), 2),
        "points": [_point(ladder.name, limit, [f.columns[i] for f in splits]) for i, limit in enumerate(limits)],
        "equal_cost": equal,
        "verdict": verdict(equal),
    }


def _point(name: str, limit: float, rows: list[Measured]) -> dict[str, Any]:
    point: dict[str, Any] = {"cost": limit, "floor": POINTS[name][limit]}
    if name in PUBLISHED:
        point["published"] = round(float(np.interp(limit, *PUBLISHED[name])), 4)
    for column in COLUMNS:
        values = np.array([row[column] for row in rows], np.float64)
        accuracy, cost = values.mean(axis=0)
        # A mean over the seeds that keep the cost would be another quantity: one NaN makes the cell empty.
        point[column] = (
            None
            if np.isnan(accuracy)
            else {
                "accuracy": round(float(accuracy), 4),
                "sd": round(float(values[:, 0].std(ddof=1)), 4),
                "cost": round(float(cost), 3),
            }
        )
    point["met"] = None if point["floor"] is None else [column for column in OURS if _reaches(point, column)]
    return point


def _reaches(point: dict[str, Any], column: str) -> bool:
    cell = point[column]
    if cell is None:
        return False
    return cell["accuracy"] >= point["floor"] - TOLERANCE and cell["cost"] <= point["cost"] * (1.0 + COST_TOLERANCE)


def show(name: str, result: dict[str, Any]) -> None:
    """Print the table of one ladder."""
    models = ", ".join(f"{stage} {100 * m['accuracy']:.1f} at {m['cost']:g}" for stage, m in result["models"].items())
    print(f"\n{name}: {result['n_items']} items, fitted in {result['fit_s']:.1f} s. Costs: {result['unit']}\n{models}")
    header = ["cost"]
    for column in COLUMNS:
        header += [column, "(cost)"] if column in WITH_COST else [column]
    header += [*(["published"] if name in PUBLISHED else []), "floor", "met"]
    print_table(header, [_cells(point) for point in result["points"]])
    print()
    show_standings(result["equal_cost"])


def _cells(point: dict[str, Any]) -> list[str]:
    cells = [f"{point['cost']:g}"]
    for column in COLUMNS:
        cell = point[column]
        cells.append(f"{100 * cell['accuracy']:.1f}" if cell else "-")
        if column in WITH_COST:
            cells.append(f"({cell['cost']:.2f})" if cell else "-")
    if "published" in point:
        cells.append(f"{100 * point['published']:.1f}")
    floor = point["floor"]
    return [*cells, f"{100 * floor:.1f}", " ".join(point["met"]) or "NOT MET"] if floor else [*cells, "", ""]


def summary(results: dict[str, Any]) -> None:
    """Print how many floors each way of reading the path meets, and which it does not."""
    floors = [(name, point) for name, result in results.items() for point in result["points"] if point["floor"]]
    print()
    for column in OURS:
        missed = [f"{name} at {point['cost']:g}" for name, point in floors if column not in point["met"]]
        listed = f"; not met: {', '.join(missed)}" if missed else ""
        print(f"{column}: {len(floors) - len(missed)} of {len(floors)} floors met{listed}")
    print(f"\nat equal cost beside the best peer, points; met: never below {MAY_LOSE}, somewhere at least +{MUST_LEAD}")
    print_table(TOLD, [told(name, result["verdict"]) for name, result in results.items()])
    for name in PUBLISHED.keys() & results.keys():
        entries = [entry["accuracy"] for entry in results[name]["equal_cost"] if entry["cost"] >= PUBLISHED_FROM]
        lead = min(found[CASCADE] - found["FrugalML"] for found in entries)
        print(f"{name}: at least {lead:+.2f} points above the published curve from {PUBLISHED_FROM:g} on")


def main() -> None:
    options = arguments(__doc__)
    data = data_folder(options.data)
    print(f"held-out accuracy in %, mean of {N_SEEDS} seeds; --help says what the columns are")
    if data is None:
        print("the folder of the benchmark data is not here (--data, or the variable CASCADE_DATA): digits only")
    results = {}
    for ladder in ladders(data):
        results[ladder.name] = measure(ladder)
        show(ladder.name, results[ladder.name])
    summary(results)
    write("frontier", {"ladders": results}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
