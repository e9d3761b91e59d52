"""What does telemetry cost a request, and how much memory do its histograms take?

Cost: one cascade of two perceptrons on scikit-learn's digits, one thread, answered by two predictors that differ in ``telemetry=``
alone. They take the same rows in blocks of 20 calls, in an order that alternates. A figure is the difference on one row, its median
over a block, and the median of that over the blocks, with a 95 % interval that holds for any distribution. "submit" is a round trip
through a lane that is idle. Bar: 2 us more for `predict`.

Adding: one duration counted in buckets, as telemetry does, beside adding it to the sketches themselves.

Memory: 10,000 histograms; the bytes are those of the allocator. Their buckets are there from the beginning: durations add nothing, which
is checked with 1,000 of many orders of magnitude. Bar: 5.5 KiB each.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ddsketch import LogCollapsingLowestDenseDDSketch
from harness.networks import digit_ladder
from harness.report import arguments, on_one_thread, print_table, write
from scipy.stats import binom

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.predictor import Predictor
from cascade.profiling.profile import profile
from cascade.stages.stage import Stage
from cascade.telemetry.durations import N_BUCKETS, RELATIVE_ACCURACY, Durations

COST_BAR_US, BYTES_BAR = 2.0, 5632.0
BUDGET_MS = 1000.0
BLOCK, N_BLOCKS, N_WARM_BLOCKS = 20, 400, 20
N_HISTOGRAMS, N_FILLED, N_DURATIONS = 10_000, 100, 1_000
WAYS: dict[str, Callable[[Predictor, Any], Any]] = {
    "predict": lambda predictor, x: predictor.predict(x, budget_ms=BUDGET_MS),
    "submit": lambda predictor, x: predictor.submit(x, budget_ms=BUDGET_MS).result(),
}


def difference_of(call: Callable[[Predictor, Any], Any], on: Predictor, off: Predictor, images: Any) -> dict[str, Any]:
    """Microseconds per call with telemetry, without, and the paired difference."""
    rows = np.arange(N_BLOCKS * BLOCK).reshape(N_BLOCKS, BLOCK) % len(images)
    took = {True: np.empty(rows.shape), False: np.empty(rows.shape)}
    for b in range(-N_WARM_BLOCKS, N_BLOCKS):
        for which in (True, False) if b % 2 else (False, True):
            predictor, times = on if which else off, []
            for i in rows[b].tolist():
                began = time.perf_counter_ns()
                call(predictor, images[i])
                times.append(time.perf_counter_ns() - began)
            took[which][b] = np.array(times) / 1e3
    medians = np.sort(np.median(took[True] - took[False], axis=1))
    k = max(int(binom.ppf(0.025, len(medians), 0.5)) - 1, 0)
    return {
        "on_us": round(float(np.median(took[True])), 2),
        "off_us": round(float(np.median(took[False])), 2),
        "difference_us": round(float(np.median(medians)), 2),
        "interval_us": [round(float(medians[k]), 2), round(float(medians[-1 - k]), 2)],
    }


def measure_cost() -> dict[str, Any]:
    """Every way through a predictor, with telemetry and without."""
    ladder = digit_ladder()
    stages = (Stage(ladder.small, name="small"), Stage(ladder.large, name="large"))
    service = profile(stages, ladder.fit_rows[0], progress=False)
    policy = fit_policy(Outcomes.record(stages, *ladder.fit_rows, progress=False), service)
    with Predictor(stages, policy, service) as on, Predictor(stages, policy, service, telemetry=False) as off:
        return {name: difference_of(call, on, off, ladder.served_rows[0]) for name, call in WAYS.items()}


def measure_adding() -> dict[str, float]:
    """Nanoseconds for one duration."""
    durations_ms = np.random.default_rng(0).lognormal(0.0, 1.0, 10_000).tolist()
    ways = {"buckets": Durations().note, "ddsketch": LogCollapsingLowestDenseDDSketch(RELATIVE_ACCURACY, N_BUCKETS).add}
    return {name: round(min(_lap_ns(add, durations_ms) for _ in range(9)), 1) for name, add in ways.items()}


def _lap_ns(add: Callable[[float], None], durations_ms: list[float]) -> float:
    began = time.perf_counter_ns()
    for duration_ms in durations_ms:
        add(duration_ms)
    return (time.perf_counter_ns() - began) / len(durations_ms)


def measure_memory() -> dict[str, float]:
    """Bytes that histograms take once they are full, in all and each."""
    durations_ms = np.random.default_rng(0).lognormal(0.0, 4.0, N_DURATIONS).tolist()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    histograms = [Durations() for _ in range(N_HISTOGRAMS)]
    empty, _ = tracemalloc.get_traced_memory()
    for histogram in histograms[:N_FILLED]:
        for duration_ms in durations_ms:
            histogram.note(duration_ms)
    full, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "bytes": empty - before,
        "bytes_each": round((empty - before) / N_HISTOGRAMS, 1),
        "bytes_each_more_when_full": round((full - empty) / N_FILLED, 1),
    }


def report(cost: dict[str, Any], adding: dict[str, float], memory: dict[str, float]) -> None:
    """Print the tables."""
    rows = []
    for name, found in cost.items():
        low, high = found["interval_us"]
        bar = f"{COST_BAR_US:g}" if name == "predict" else ""
        met = ("yes" if found["difference_us"] <= COST_BAR_US else "NO") if bar else ""
        times = [f"{found[key]:.2f}" for key in ("on_us", "off_us", "difference_us")]
        rows.append([name, *times, f"{low:.2f} to {high:.2f}", bar, met])
    print_table(["call", "on us", "off us", "difference us", "interval", "bar us", "met"], rows)
    print()
    print_table(["one duration added", "ns"], [[name, f"{ns:.0f}"] for name, ns in adding.items()])
    met = "yes" if memory["bytes_each"] <= BYTES_BAR else "NO"
    row = [
        f"{N_HISTOGRAMS:,}",
        f"{memory['bytes'] / 2**20:.1f}",
        f"{memory['bytes_each']:.0f}",
        f"{BYTES_BAR:.0f}",
        met,
    ]
    print()
    print_table(["histograms", "MiB", "bytes each", "bar", "met"], [row])


def main() -> None:
    options = arguments(__doc__)
    torch.set_num_threads(1)
    cost, adding, memory = measure_cost(), measure_adding(), measure_memory()
    report(cost, adding, memory)
    write("telemetry", {"cost": cost, "adding_ns": adding, "memory": memory}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
