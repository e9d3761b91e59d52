"""How long does it take to fit a policy, and to solve a fitted one for another machine?

Synthetic ladders of 10 classes, one thread, median of three after a call on little data. Bars: K = 4, n = 50,000 within 5 s;
K = 8, n = 10,000 within 20 s. On a busy machine the processor time says what the fit itself takes. The first call of a fresh
process is timed too, with an empty cache of compiled kernels and a filled one.

Beside it a million items of which only labels and confidences are known, fitted in a process of its own whose peak of memory is
taken: within 60 s and 4 GiB. And the grid of plain thresholds: K = 4, n = 50,000, 125,000 settings within 50 ms, equal to
walking the items through some of them.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.report import arguments, on_one_thread, print_table, write

from cascade.calibration.fit import fit_policy
from cascade.calibration.threshold_grid import ThresholdGrid, threshold_grid
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable

CASES = ((4, 50_000, 5.0), (8, 10_000, 20.0))
N_CLASSES = 10
N_REPEATS = 3
FIRST_CALL = "--first-call"
MILLION = "--million"
N_MANY = 1_000_000
MANY_BARS = (60.0, 4.0)
GRID_BAR_MS = 50.0
N_WALKED = 20


def synthetic(n_stages: int, n_items: int, seed: int = 0) -> Outcomes:
    """Models that grow better and share a difficulty of the items: about 70 to 90 % accurate, errors half in common."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, N_CLASSES, n_items)
    common = rng.standard_normal((n_items, N_CLASSES))
    logits = np.empty((n_items, n_stages, N_CLASSES))
    for j, signal in enumerate(np.linspace(2.6, 3.9, n_stages)):
        logits[:, j] = 0.7 * common + 0.7 * rng.standard_normal((n_items, N_CLASSES))
        logits[np.arange(n_items), j, labels] += signal
    probs = np.exp(1.5 * (logits - logits.max(axis=2, keepdims=True)))
    return Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels)


def costs_of(n_stages: int) -> ServiceTable:
    """Service times that span a factor of 30."""
    return ServiceTable.from_costs(np.geomspace(1.0, 30.0, n_stages))


def seconds(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """How long a call took, how much of the processor it used, and what it gave."""
    began, used = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - began, time.process_time() - used, result


def measure(n_stages: int, n_items: int, bar_s: float) -> dict[str, Any]:
    """Fit and retime one ladder; warm-up excluded."""
    service = costs_of(n_stages)
    fit_policy(synthetic(n_stages, 1000, seed=1), service)
    outcomes = synthetic(n_stages, n_items)
    fits = [seconds(lambda: fit_policy(outcomes, service)) for _ in range(N_REPEATS)]
    policy = fits[-1][2]
    slower = [service.scaled(factor) for factor in (1.1, 1.2, 1.3)]
    retimed = [seconds(lambda table=table: policy.retime(table).table())[0] for table in slower]
    priced = [seconds(lambda table=table: policy.retime(table).table(price=1e-3))[0] for table in slower]
    return {
        "n_stages": n_stages,
        "n_items": n_items,
        "n_classes": N_CLASSES,
        "accuracy_of_stages": outcomes.correct.mean(axis=0).round(3).tolist(),
        "fit_s": [round(took, 3) for took, _, _ in fits],
        "median_fit_s": round(statistics.median(took for took, _, _ in fits), 3),
        "median_cpu_s": round(statistics.median(used for _, used, _ in fits), 3),
        "bar_s": bar_s,
        "retime_ms": round(1e3 * statistics.median(retimed), 1),
        "retime_at_price_ms": round(1e3 * statistics.median(priced), 1),
    }


def first_call_s(cache: str) -> float:
    """Seconds that the first fit of a fresh process takes on little data, imports excluded."""
    env = os.environ | {"NUMBA_CACHE_DIR": cache}
    done = subprocess.run([sys.executable, __file__, FIRST_CALL], env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)


def synthetic_answers(n_stages: int, n_items: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels said, confidences and truth of models that are 70 to 90 % accurate, and less so on hard items."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, N_CLASSES, n_items)
    hard = 0.5 * rng.random(n_items) - 0.25
    said, confidence = np.empty((n_items, n_stages), np.int64), np.empty((n_items, n_stages))
    for j, accuracy in enumerate(np.linspace(0.7, 0.9, n_stages)):
        chance = np.clip(accuracy - hard + 0.1 * rng.standard_normal(n_items), 0.02, 0.995)
        wrong = (labels + rng.integers(1, N_CLASSES, n_items)) % N_CLASSES
        said[:, j] = np.where(rng.random(n_items) < chance, labels, wrong)
        confidence[:, j] = np.clip(chance + 0.05 * rng.standard_normal(n_items), 0.0, 1.0)
    return said, confidence, labels


def million() -> dict[str, float]:
    """Time and peak memory of this process for a million answers of four stages; call it in a process of its own."""
    # Kernels are compiled by a fit of just enough rows to use all of them.
    fit_policy(Outcomes.from_predictions(*synthetic_answers(2, 60_000, seed=1)), costs_of(2))
    answers = synthetic_answers(4, N_MANY)
    before = peak_gib()
    encode_s, _, outcomes = seconds(lambda: Outcomes.from_predictions(*answers))
    fit_s, cpu_s, policy = seconds(lambda: fit_policy(outcomes, costs_of(4)))
    return {
        "encode_s": round(encode_s, 2),
        "fit_s": round(fit_s, 2),
        "cpu_s": round(cpu_s, 2),
        "data_gib": round(before, 2),
        "peak_gib": round(peak_gib(), 2),
        "expected_accuracy": round(policy.expected().accuracy, 4),
    }


def peak_gib() -> float:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def walked(outcomes: Outcomes, service: ServiceTable, thresholds: tuple[float, ...]) -> tuple[float, float]:
    """Accuracy and mean cost of one setting, stage after stage."""
    waiting, n_right, cost = np.arange(outcomes.n_items), 0, 0.0
    for j, threshold in enumerate((*thresholds, -np.inf)):
        cost += len(waiting) * service.costs[j]
        done = outcomes.confidence[waiting, j] >= threshold
        n_right += int(outcomes.correct[waiting[done], j].sum())
        waiting = waiting[~done]
    return n_right / outcomes.n_items, cost / outcomes.n_items


def measure_grid() -> dict[str, Any]:
    """The grid beside walking a few of its settings, which must come out equal to the last digit."""
    outcomes, service = synthetic(4, 50_000), costs_of(4)
    threshold_grid(outcomes, service)
    runs = [seconds(lambda: threshold_grid(outcomes, service)) for _ in range(15)]
    grid: ThresholdGrid = runs[-1][2]
    chosen = np.random.default_rng(0).integers(0, len(grid.accuracy), N_WALKED)
    walk_s, _, found = seconds(lambda: [walked(outcomes, service, grid.setting(int(i))) for i in chosen])
    return {
        "n_settings": len(grid.accuracy),
        "median_ms": round(1e3 * statistics.median(took for took, _, _ in runs), 1),
        "median_cpu_ms": round(1e3 * statistics.median(used for _, used, _ in runs), 1),
        "bar_ms": GRID_BAR_MS,
        "walked_all_s": round(walk_s / N_WALKED * len(grid.accuracy), 1),
        "n_walked": N_WALKED,
        "equal": found == [(float(grid.accuracy[i]), float(grid.mean_cost[i])) for i in chosen],
    }


def print_many(many: dict[str, Any], grid: dict[str, Any]) -> None:
    """The two cases that are no rows of the table, each with its bar."""
    met = "met" if many["fit_s"] <= MANY_BARS[0] and many["peak_gib"] <= MANY_BARS[1] else "NOT MET"
    print(
        f"K = 4, n = {N_MANY:,}, label and confidence only: read in {many['encode_s']:.1f} s, fitted in {many['fit_s']:.1f} s "
        f"({many['cpu_s']:.1f} s of the processor), peak {many['peak_gib']:.2f} GiB; bars {MANY_BARS[0]:g} s, {MANY_BARS[1]:g} GiB: {met}"
    )
    met = "met" if grid["median_ms"] <= GRID_BAR_MS and grid["equal"] else "NOT MET"
    print(
        f"grid of {grid['n_settings']:,} settings, K = 4, n = 50,000: {grid['median_ms']:.1f} ms ({grid['median_cpu_ms']:.1f} ms of "
        f"the processor), bar {GRID_BAR_MS:g} ms: {met}; {grid['n_walked']} settings walked: "
        f"{'equal' if grid['equal'] else 'DIFFERENT'}, all of them would take {grid['walked_all_s']:.0f} s"
    )


def main() -> None:
    options = arguments(__doc__)
    results = [measure(*case) for case in CASES]
    header = [
        "K",
        "n",
        "fit s (median)",
        "of it processor s",
        "bar s",
        "met",
        "retime + table ms",
        "the same at a given price ms",
    ]
    rows = [
        [
            str(r["n_stages"]),
            str(r["n_items"]),
            f"{r['median_fit_s']:.2f}",
            f"{r['median_cpu_s']:.2f}",
            f"{r['bar_s']:g}",
            "yes" if r["median_fit_s"] <= r["bar_s"] else "NO",
            f"{r['retime_ms']:.0f}",
            f"{r['retime_at_price_ms']:.1f}",
        ]
        for r in results
    ]
    print_table(header, rows)
    with tempfile.TemporaryDirectory() as cache:
        compiling, cached = first_call_s(cache), first_call_s(cache)
    print(f"first fit of a process (K = 4, n = 1000): {compiling:.2f} s compiling, {cached:.2f} s from cached kernels")
    first = {"compiling_s": round(compiling, 3), "cached_s": round(cached, 3)}
    done = subprocess.run([sys.executable, __file__, MILLION], capture_output=True, text=True, check=True)
    many, grid = json.loads(done.stdout), measure_grid()
    print_many(many, grid)
    write("fit_speed", {"cases": results, "first_call": first, "million": many, "grid": grid}, options.out)


if __name__ == "__main__":
    on_one_thread()
    if FIRST_CALL in sys.argv:
        small = synthetic(4, 1000, seed=1)
        print(seconds(lambda: fit_policy(small, costs_of(4)))[0])
    elif MILLION in sys.argv:
        print(json.dumps(million()))
    else:
        main()
