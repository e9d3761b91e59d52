"""Should the worth of going on depend on more than the confidence: on the class said, the margin and the entropy too?

The table that cascade fits reads one number of each set of models run. Beside it, on the same pooled evidence:

recalibrated     the same table, over a confidence that a logistic regression on log-odds, margin, entropy and class gives
where it pays    recalibrated for the sets of models where that lowers the held-out log-loss of being right by one standard error
bins, logistic   the same dynamic program, binned by a learned gain: how much more often all models together are right
bins, boosted    as before, the gain learned by boosted trees
myopic, logistic the learned gain of each next model less price times its cost decides, one step ahead; the best first model searched
myopic, boosted  as before, by boosted trees

Half of each set, at most 3000 items, fits and the other half serves, five times. Learned quantities are cross-fitted on evidence that is
held out itself. A point at a stated mean cost is read as in frontier.py ("matched"): two neighbouring prices mixed, picked on the half
that fits. The difference to the table is paired over the seeds, with its standard error, which is a little too small, because the halves
of different seeds overlap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from baselines.gain_model import (
    Learner,
    accuracy_of_bins,
    boosted_changes,
    gains_to,
    learned_confidence,
    logistic_changes,
    one_step_ahead,
    where_it_pays,
)
from baselines.operating_points import Items, OperatingPoints, joined
from harness.comparison import matched
from harness.datasets import Ladder, ladders
from harness.price_path import Pooled
from harness.report import arguments, data_folder, on_one_thread, print_table, write

from cascade.calibration import evidence as fitting
from cascade.calibration.transitions import count_statistics
from cascade.core.evidence import EvidenceModel, Form, features_of
from cascade.core.induction import Statistics
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.core.table import decision_table
from cascade.core.times import stage_times

N_SEEDS, N_FOLDS, MAX_FIT = 5, 5, 3000
N_PRICES, MAX_PRICES = 30, 60
TABLE = "table"
KINDS = {"all sets": (True, False), "class scores": (True,), "label and confidence only": (False,)}
COSTS = {
    "CIFAR-10 JPEG": (3.2, 4.1, 5.4, 6.8),
    "FrugalML RAF-DB": (2.0, 3.8, 6.1, 10.2),
    "FrugalML DIGIT": (5.0, 12.8, 25.0, 37.0),
    "FrugalML AudioMNIST": (1.2, 3.1, 10.0, 25.0),
    "FrugalML Yelp": (0.3, 0.9, 1.5, 1.9),
    "netcal CIFAR-10": (2.0, 4.0, 6.0, 8.0),
    "digits": (1.3, 2.0, 4.0, 10.0),
}

Told = tuple[np.ndarray, np.ndarray]
"""Something about the items that fit, held out, and about those that serve."""
Walked = tuple[np.ndarray, np.ndarray]
"""Right or wrong, and cost, of every item."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What every set of models says about the items that fit, held out, and about those that serve; sets stand for models."""

    outcomes: Outcomes
    items: tuple[Items, Items]
    costs: np.ndarray

    def pooled(self, coordinate: Told) -> list[Pooled]:
        """Both halves, decided by some number in the place of the confidence."""
        told = zip(coordinate, self.items, strict=True)
        return [Pooled(number.T, items.correct.T, self.costs) for number, items in told]


def fitted_evidence(train: Outcomes, test: Outcomes, costs: np.ndarray, seed: int) -> Evidence:
    """Pool every set as cascade does, and keep the held-out class probabilities, which it forgets."""
    kept: dict[Form, dict[int, np.ndarray]] = {"loglinear": {}, "stacked": {}}

    def remembering(kind: type, form: Form) -> type:
        class Remembering(kind):
            def fit(self, evidence_set):
                fitted = super().fit(evidence_set)
                kept[form][evidence_set] = fitted.probs
                return fitted

        return Remembering

    kinds: dict[str, Form] = {"LoglinearFitter": "loglinear", "StackedFitter": "stacked"}
    spies = {name: remembering(getattr(fitting, name), form) for name, form in kinds.items()}
    folds = fitting.assign_folds(train.labels, N_FOLDS, np.random.default_rng(seed))
    with patch.multiple(fitting, **spies):
        evidence, held_out = fitting.fit_evidence(train, folds)
    probs = kept[evidence.form]
    probs[0] = np.tile(evidence.prior(), (train.n_items, 1))
    trust = held_out.confidence
    for s in range(1, 1 << train.n_stages):
        # A set that does not pay for its own fit says what one of its parts says.
        parts = [s & ~(1 << j) for j in range(train.n_stages) if s >> j & 1 and s & ~(1 << j)]
        probs[s] = next((probs[p] for p in parts if np.array_equal(trust[:, s], trust[:, p])), probs[s])
    stacked = np.stack([probs[s] for s in range(1 << train.n_stages)], axis=1)
    c = len(train.classes)
    seen = Items(train.labels, stacked.argmax(axis=2), trust, stacked, None, c)
    assert np.array_equal(seen.correct[:, 1:], held_out.correct[:, 1:])
    return Evidence(train, (seen, _served(evidence, test, c)), costs)


def _served(evidence: EvidenceModel, test: Outcomes, n_classes: int) -> Items:
    features = features_of(test, evidence.form)
    said = [evidence.pool(features, s) for s in range(1 << test.n_stages)]
    probs, trust = np.stack([p for p, _ in said], axis=1), np.stack([t for _, t in said], axis=1)
    return Items(test.labels, probs.argmax(axis=2), trust, probs, None, n_classes)


def path(
    at: Callable[[float], tuple[Walked, Walked]], costs: np.ndarray, max_prices: int = MAX_PRICES
) -> OperatingPoints:
    """A rule at ascending prices, the widest gaps in mean cost halved until there are enough prices."""
    steps = np.diff(np.sort(costs))
    prices = list(np.geomspace(1e-4 / costs.max(), 3.0 / steps[steps > 0].min(), N_PRICES))
    points = [_point(*at(price)) for price in prices]
    while len(prices) < max_prices:
        gaps = np.abs(np.diff([point[0] for point in points])) * (np.divide(prices[1:], prices[:-1]) > 1.002)
        i = int(gaps.argmax())
        if gaps[i] < 0.005 * costs.max():
            break
        prices.insert(i + 1, float(np.sqrt(prices[i] * prices[i + 1])))
        points.insert(i + 1, _point(*at(prices[i + 1])))
    return OperatingPoints(*np.array(points).T)


def _point(seen: Walked, served: Walked) -> tuple[float, ...]:
    return float(seen[1].mean()), float(seen[0].mean()), float(served[1].mean()), float(served[0].mean())


def by_table(found: Evidence, statistics: Statistics, coordinate: Told) -> OperatingPoints:
    """The dynamic program over bins of some coordinate, without a deadline."""
    times = stage_times(ServiceTable.from_costs(found.costs), 1, 0.99, 0.0)
    halves = found.pooled(coordinate)

    def at(price: float) -> tuple[Walked, Walked]:
        table = decision_table(statistics, times, price)
        return halves[0].under(table), halves[1].under(table)

    return path(at, found.costs)


def statistics_of(found: Evidence, coordinate: np.ndarray) -> Statistics:
    """What cascade counts, over some confidence of the items that fit (n, 2**K)."""
    right = found.items[0].correct
    return count_statistics(coordinate, right, found.outcomes.requires, float(right[:, 0].mean()))


def by_gain(found: Evidence, learner: Learner) -> dict[str, OperatingPoints]:
    """One learner's gains, as the coordinate of the bins and one step ahead."""
    full = (1 << len(found.costs)) - 1
    gains: dict[int, Told] = {}
    coordinate = tuple(items.confidence.copy() for items in found.items)
    for s in range(1, full):
        after = [s | 1 << j for j in range(len(found.costs)) if not s >> j & 1]
        larger, n_next = list(dict.fromkeys([*after, full])), len(after)
        both = gains_to(*found.items, s, larger, learner)
        gains[s] = both[0][:, :n_next], both[1][:, :n_next]
        for column, gain in zip(coordinate, both, strict=True):
            # The higher, the better it is to stop, as for a confidence.
            column[:, s] = 0.5 - 0.5 * np.clip(gain[:, larger.index(full)], -1.0, 1.0)
    first, second = coordinate
    counted = statistics_of(found, first)
    accuracy = accuracy_of_bins(found.items[0], counted.edges, first)
    # Of the full set the coordinate is the confidence, and of the empty one there is nothing to bin.
    accuracy[[0, full]] = counted.accuracy[[0, full]]
    statistics = replace(counted, accuracy=accuracy)
    return {"bins": by_table(found, statistics, (first, second)), "myopic": myopic(found, gains)}


def myopic(found: Evidence, gains: dict[int, Told]) -> OperatingPoints:
    """One step ahead, joined over all first models: the first step cannot be weighed without those after it."""

    def of_first(first: int) -> OperatingPoints:
        def at(price: float) -> tuple[Walked, Walked]:
            seen, served = (
                one_step_ahead(items, {s: gain[half] for s, gain in gains.items()}, found.costs, first, price)
                for half, items in enumerate(found.items)
            )
            return seen, served

        return path(at, found.costs, N_PRICES)

    return joined(*map(of_first, range(len(found.costs))))


def one_split(ladder: Ladder, seed: int) -> dict[str, np.ndarray]:
    """Accuracy of every rule at every cost of one ladder."""
    order = np.random.default_rng(seed).permutation(ladder.outcomes.n_items)
    half = len(order) // 2
    train, test = ladder.outcomes.take(order[: min(half, MAX_FIT)]), ladder.outcomes.take(order[half:])
    found = fitted_evidence(train, test, ladder.costs, seed)
    seen, served = found.items
    trust = learned_confidence(seen, served)
    confidences = {TABLE: (seen.confidence, served.confidence), "recalibrated": trust}
    confidences["where it pays"] = where_it_pays(seen, served, trust)
    points = {name: by_table(found, statistics_of(found, told[0]), told) for name, told in confidences.items()}
    learners: dict[str, Learner] = {"logistic": logistic_changes, "boosted": boosted_changes}
    by_learner = {name: by_gain(found, learner) for name, learner in learners.items()}
    points |= {f"{how}, {name}": by_learner[name][how] for how in ("bins", "myopic") for name in learners}
    return {name: matched(each, COSTS[ladder.name]) for name, each in points.items()}


def compared(by_seed: Sequence[np.ndarray], table: Sequence[np.ndarray]) -> list[list[float]]:
    """Mean paired difference in points and its standard error, last of all for the mean over the costs."""
    paired = 100.0 * (np.stack(by_seed) - np.stack(table))
    paired = np.column_stack([paired, paired.mean(axis=1)])
    error = paired.std(axis=0, ddof=1) / np.sqrt(len(paired))
    return [paired.mean(axis=0).round(3).tolist(), error.round(3).tolist()]


def measure(ladder: Ladder) -> dict[str, Any]:
    """All rules on one ladder, ready for JSON."""
    seeds = [one_split(ladder, seed) for seed in range(N_SEEDS)]
    by_rule = {name: [found[name] for found in seeds] for name in seeds[0]}
    accuracy = {name: (100.0 * np.mean(found, axis=0)).round(2).tolist() for name, found in by_rule.items()}
    less = {name: compared(found, by_rule[TABLE]) for name, found in by_rule.items() if name != TABLE}
    scores = ladder.outcomes.log_probs is not None
    return {"scores": scores, "costs": COSTS[ladder.name], "accuracy": accuracy, "less_table": less}


def show(name: str, result: dict[str, Any]) -> None:
    """Print one ladder: accuracy of every rule at every cost, and behind it the paired difference to the table."""
    print(f"\n{name}, {result['seconds']:.0f} s")
    rows = []
    for rule, accuracy in result["accuracy"].items():
        means, errors = result["less_table"].get(rule, ([None] * (len(accuracy) + 1),) * 2)
        signed = [None if mean is None else f"{mean:+.2f} ± {e:.2f}" for mean, e in zip(means, errors, strict=True)]
        cells = [f"{a:.2f}" if s is None else f"{a:.2f} ({s})" for a, s in zip(accuracy, signed[:-1], strict=True)]
        rows.append([rule, *cells, signed[-1] or ""])
    print_table(["rule", *(f"at {cost:g}" for cost in result["costs"]), "mean of costs"], rows)


def conclude(results: dict[str, Any]) -> dict[str, Any]:
    """Print and return, over all sets and by what the models say, whether any rule beats the table."""
    print(
        "\nless the table, mean over costs, in points; a rule wins if it is ahead on the mean of the sets of a kind, and"
    )
    print("behind on none of them, by more than two standard errors")
    kinds = {name: {n: r for n, r in results.items() if r["scores"] in wanted} for name, wanted in KINDS.items()}
    return {kind: _conclude_on(kind, group) for kind, group in kinds.items() if group}


def _conclude_on(kind: str, results: dict[str, Any]) -> dict[str, Any]:
    rows, verdict, names = [], {}, list(results)
    for rule in results[names[0]]["less_table"]:
        means, errors = np.array([[both[-1] for both in found["less_table"][rule]] for found in results.values()]).T
        ahead, behind = int((means > 2.0 * errors).sum()), int((means < -2.0 * errors).sum())
        overall, error = float(means.mean()), float(np.sqrt((errors**2).sum()) / len(errors))
        wins = overall > 2.0 * error and not behind
        ends = [f"{means[i]:+.2f} {names[i]}" for i in (int(means.argmax()), int(means.argmin()))]
        rows.append([rule, f"{overall:+.2f} ± {error:.2f}", str(ahead), str(behind), *ends, "wins" * wins])
        verdict[rule] = {
            "mean": round(overall, 3),
            "error": round(error, 3),
            "ahead": ahead,
            "behind": behind,
            "wins": wins,
        }
    print(f"\n{kind}")
    print_table(["rule", "mean of sets", "ahead", "behind", "best set", "worst set", ""], rows)
    winners = [rule for rule, found in verdict.items() if found["wins"]]
    print(f"{kind}: " + (f"the table is beaten by {'; '.join(winners)}" if winners else "no rule beats the table"))
    return verdict


def main() -> None:
    options = arguments(__doc__)
    data, began = data_folder(options.data), time.perf_counter()
    print(
        f"held-out accuracy in % at equal mean cost, mean of {N_SEEDS} seeds (difference to the table ± standard error)"
    )
    results = {}
    for ladder in ladders(data):
        started = time.perf_counter()
        results[ladder.name] = measure(ladder) | {"seconds": round(time.perf_counter() - started)}
        show(ladder.name, results[ladder.name])
    verdict = conclude(results)
    print(f"{time.perf_counter() - began:.0f} s")
    write("values", {"n_seeds": N_SEEDS, "max_fit": MAX_FIT, "sets": results, "verdict": verdict}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
