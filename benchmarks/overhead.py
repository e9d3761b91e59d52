"""What does `predict` cost beyond the models themselves, and beyond a cascade of two models written by hand?

Two perceptrons on scikit-learn's digits, 10 classes, one thread. Three arms take the same rows in blocks of 20 calls, in an
order that rotates: `predict` with a budget in which everything fits; a hand-written `if` in plain torch, whose threshold lets
the same share of rows go on; and `Stage.run` of the stages that `predict` ran for the row, one call after the other.
A figure is the difference on one row, its median over a block, and the median of that over the blocks, with a 95 % interval that
holds for any distribution. Rows for which `predict` and the `if` do not run the same models are left out of their difference.
The decision alone is `Lookup.action` at the confidences that occurred, with an empty loop taken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from harness.networks import DigitLadder, digit_ladder
from harness.report import arguments, on_one_thread, print_table, write
from scipy.stats import binom

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.table import Lookup
from cascade.predictor import Predictor
from cascade.profiling.profile import profile
from cascade.stages.stage import Stage

BAR_US, DECISION_BAR_US = 10.0, 1.0
BUDGET_MS = 1000.0
BLOCK, N_BLOCKS, N_WARM_BLOCKS = 20, 600, 30
ARMS = ("predict", "by hand", "stages alone")
DIFFERENCES = {"beyond the stages' own calls": "stages alone", "beyond the `if` by hand": "by hand"}


def by_hand(ladder: DigitLadder, threshold: float) -> Callable[[np.ndarray], tuple[int, float, int]]:
    """A cascade as one writes it without a library: label, confidence, number of models run."""
    small, large = ladder.small, ladder.large

    def answer(x: np.ndarray) -> tuple[int, float, int]:
        with torch.inference_mode():
            item = torch.from_numpy(x[None])
            confidence, label = torch.softmax(small(item), dim=1).max(dim=1)
            trust = confidence.item()
            if trust >= threshold:
                return int(label.item()), trust, 1
            confidence, label = torch.softmax(large(item), dim=1).max(dim=1)
            return int(label.item()), confidence.item(), 2

    return answer


def threshold_for(ladder: DigitLadder, n_deferred: int) -> float:
    """The confidence of the small model below which exactly this many served rows lie."""
    with torch.inference_mode():
        scores = ladder.small(torch.from_numpy(ladder.served_rows[0]))
        confidence = np.sort(torch.softmax(scores, dim=1).max(dim=1).values.numpy())
    return float(confidence[n_deferred])


def timed_blocks(arms: dict[str, Callable[[int], Any]], n_rows: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The row of every call, shape (blocks, calls), and microseconds of every arm in the same shape."""
    rows = np.arange(N_BLOCKS * BLOCK).reshape(N_BLOCKS, BLOCK) % n_rows
    took = {name: np.empty(rows.shape) for name in arms}
    names = list(arms)
    for b in range(-N_WARM_BLOCKS, N_BLOCKS):
        for name in names[b % len(names) :] + names[: b % len(names)]:
            call, times = arms[name], []
            for i in rows[b].tolist():
                began = time.perf_counter_ns()
                call(i)
                times.append(time.perf_counter_ns() - began)
            took[name][b] = np.array(times) / 1e3
    return rows, took


def median_of_blocks(difference: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    """Median over blocks of the median within a block, among the calls that count; both of shape (blocks, calls)."""
    with_calls = counts.any(axis=1)
    medians = np.sort(np.nanmedian(np.where(counts, difference, np.nan)[with_calls], axis=1))
    k = max(int(binom.ppf(0.025, len(medians), 0.5)) - 1, 0)
    return {
        "p50_us": round(float(np.median(medians)), 2),
        "interval_us": [round(float(medians[k]), 2), round(float(medians[-1 - k]), 2)],
        "n_calls": int(counts.sum()),
    }


def measure_calls(ladder: DigitLadder, predictor: Predictor, stages: tuple[Stage, ...]) -> dict[str, Any]:
    """The three arms over the served rows, and their differences by the number of models that ran."""
    images = ladder.served_rows[0]
    place = {stage.name: stage for stage in stages}
    paths = [predictor.predict(x, budget_ms=BUDGET_MS).path for x in images]
    first = [path[0] for path in paths]
    if set(first) != {stages[0].name}:
        raise SystemExit(f"expected every path to begin with {stages[0].name!r}, got {set(first)}")
    lengths = np.array([len(path) for path in paths])
    threshold = threshold_for(ladder, int((lengths == 2).sum()))
    hand = by_hand(ladder, threshold)
    lengths_by_hand = np.array([hand(x)[2] for x in images])
    calls = [[place[name].run for name in path] for path in paths]

    def stages_alone(i: int) -> None:
        batch = images[i][None]
        for run in calls[i]:
            run(batch)

    arms: dict[str, Callable[[int], Any]] = {
        "predict": lambda i: predictor.predict(images[i], budget_ms=BUDGET_MS),
        "by hand": lambda i: hand(images[i]),
        "stages alone": stages_alone,
    }
    rows, took = timed_blocks(arms, len(images))
    same = {"stages alone": np.ones(len(images), bool), "by hand": lengths == lengths_by_hand}
    differences = {
        name: {
            which: median_of_blocks(took["predict"] - took[other], (same[other] & chosen)[rows])
            for which, chosen in (("all rows", lengths > 0), ("one model", lengths == 1), ("two models", lengths == 2))
        }
        for name, other in DIFFERENCES.items()
    }
    return {
        "n_rows": len(images),
        "deferred": {"predict": int((lengths == 2).sum()), "by hand": int((lengths_by_hand == 2).sum())},
        "same_models": int((lengths == lengths_by_hand).sum()),
        "threshold_by_hand": round(threshold, 4),
        "p50_us": {name: round(float(np.median(times)), 2) for name, times in took.items()},
        "p99_us": {name: round(float(np.quantile(times, 0.99)), 2) for name, times in took.items()},
        "difference": differences,
    }


def measure_decision(policy: Policy, confidences: list[float]) -> dict[str, Any]:
    """Microseconds of one decision after the first stage, over the confidences that occurred."""
    lookup = Lookup(policy.table(BUDGET_MS))
    action, took = lookup.action, []
    for _ in range(200):
        began = time.perf_counter_ns()
        for confidence in confidences:
            action(1, confidence, BUDGET_MS)
        middle = time.perf_counter_ns()
        for _confidence in confidences:
            pass
        took.append((2 * middle - began - time.perf_counter_ns()) / len(confidences) / 1e3)
    low, median, high = np.quantile(took, (0.05, 0.5, 0.95))
    return {"p50_us": round(float(median), 3), "range_us": [round(float(low), 3), round(float(high), 3)]}


def report(calls: dict[str, Any], decision: dict[str, Any]) -> None:
    """Print the tables."""
    print_table(
        ["call", "p50 us", "p99 us"],
        [[name, f"{calls['p50_us'][name]:.1f}", f"{calls['p99_us'][name]:.1f}"] for name in ARMS],
    )
    print(
        f"\nto the second model: {calls['deferred']['predict']} of {calls['n_rows']} rows by predict, "
        f"{calls['deferred']['by hand']} by hand; the same models for {calls['same_models']}\n"
    )
    rows = []
    for name, by_rows in calls["difference"].items():
        for which, found in by_rows.items():
            low, high = found["interval_us"]
            met = ("yes" if found["p50_us"] <= BAR_US else "NO") if which == "all rows" else ""
            rows.append(
                [f"predict {name}, {which}", f"{found['p50_us']:.1f}", f"{low:.1f} to {high:.1f}", f"{BAR_US:g}", met]
            )
    met = "yes" if decision["p50_us"] <= DECISION_BAR_US else "NO"
    low, high = decision["range_us"]
    rows.append(
        ["decision alone", f"{decision['p50_us']:.2f}", f"{low:.2f} to {high:.2f}", f"{DECISION_BAR_US:g}", met]
    )
    print_table(["", "p50 us", "interval", "bar us", "met"], rows)


def main() -> None:
    options = arguments(__doc__)
    torch.set_num_threads(1)
    ladder = digit_ladder()
    stages = (Stage(ladder.small, name="small"), Stage(ladder.large, name="large"))
    outcomes = Outcomes.record(stages, *ladder.fit_rows, progress=False)
    service = profile(stages, ladder.fit_rows[0], progress=False)
    policy = fit_policy(outcomes, service)
    predictor = Predictor(stages, policy, service)
    calls = measure_calls(ladder, predictor, stages)
    confidences = [predictor.predict(x, budget_ms=BUDGET_MS).confidence for x in ladder.served_rows[0]]
    decision = measure_decision(predictor.policy, confidences)
    report(calls, decision)
    accuracy = outcomes.correct.mean(axis=0).round(3).tolist()
    write("overhead", {"accuracy_of_stages": accuracy, "calls": calls, "decision": decision}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
