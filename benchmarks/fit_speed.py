"""How long does it take to fit a policy, and to solve a fitted one for another machine?

Synthetic ladders of 10 classes, one thread, median of three after a call on little data. Bars: K = 4, n = 50,000 within 5 s;
K = 8, n = 10,000 within 20 s. On a busy machine the processor time says what the fit itself takes. The first call of a fresh
process is timed too, with an empty cache of compiled kernels and a filled one.
"""

from __future__ import annotations

import os
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
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable

CASES = ((4, 50_000, 5.0), (8, 10_000, 20.0))
N_CLASSES = 10
N_REPEATS = 3
FIRST_CALL = "--first-call"


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
    write("fit_speed", {"cases": results, "first_call": first}, options.out)


if __name__ == "__main__":
    on_one_thread()
    if FIRST_CALL in sys.argv:
        small = synthetic(4, 1000, seed=1)
        print(seconds(lambda: fit_policy(small, costs_of(4)))[0])
    else:
        main()
