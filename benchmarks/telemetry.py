"""What does telemetry cost a request, how much memory do its histograms take, and how long does a scrape of a busy predictor last?

Cost: one cascade of two perceptrons on scikit-learn's digits, one thread, answered by two predictors that differ in ``telemetry=``
alone. They take the same rows in blocks of 20 calls, in an order that alternates. A figure is the difference on one row, its median
over a block, and the median of that over the blocks, with a 95 % interval that holds for any distribution. "submit" is asked for many rows at
once, and a figure is the time until all are answered, by row: what it takes to wake a thread up for a single one, 30 to 100 us, depends on
which cores the threads happen to be on. Bar: 2 us more for `predict`.

Adding: one duration counted in buckets, as telemetry does, beside adding it to the sketches themselves.

Memory: 10,000 histograms; the bytes are those of the allocator. Their buckets are there from the beginning: durations add nothing, which
is checked with 1,000 of many orders of magnitude. Bar: 5.5 KiB each.

Listening: the same paired difference between a predictor that somebody listens to and one that nobody does: a listener that forgets what it
hears, and one that writes JSON lines.

Scrape: all of it, from the counters to the text, for a predictor of four stages on two lanes, whose answers took every path there is, in three
classes, and which has a cache; its stages ran in every class of batch sizes up to 32, the largest batch by default, or up to 1,024, the largest part
of a call of many rows. "Idle": nobody else wants the interpreter. "Busy": a
thread asks it for answers meanwhile, and each of the two waits up to 5 ms, the switch interval, for the other to let go of the interpreter. "CPU" is
what the scraping thread computed. Bar: 10 ms, busy.
"""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from ddsketch import LogCollapsingLowestDenseDDSketch
from harness.networks import digit_ladder
from harness.report import arguments, on_one_thread, print_table, write
from prometheus_client import CollectorRegistry, generate_latest
from scipy.stats import binom

from cascade.caching.result_cache import ResultCache
from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.records import Prediction, Status
from cascade.core.service import ServiceTable
from cascade.integrations.prometheus import PrometheusCollector
from cascade.predictor import Predictor
from cascade.profiling.profile import profile
from cascade.stages.stage import Stage
from cascade.telemetry.counters import Counters
from cascade.telemetry.durations import N_BUCKETS, RELATIVE_ACCURACY, Durations
from cascade.telemetry.json_lines import JsonLines
from cascade.telemetry.measures import Measures
from cascade.telemetry.requests import RequestRecord
from cascade.telemetry.stats import LoadNow, Stats

COST_BAR_US, BYTES_BAR, SCRAPE_BAR_MS = 2.0, 5632.0, 10.0
BUDGET_MS = 1000.0
BLOCK, N_BLOCKS, N_WARM_BLOCKS = 20, 400, 20
N_HISTOGRAMS, N_FILLED, N_DURATIONS = 10_000, 100, 1_000
SCRAPED = ("idle_p50_ms", "idle_max_ms", "idle_cpu_p50_ms", "busy_p50_ms", "busy_max_ms", "busy_cpu_p50_ms")
N_SCRAPES, STAGES = 100, ("tiny", "small", "medium", "large")
AT_ONCE = 10
"""Blocks of rows that are submitted at once."""


def one_by_one(predictor: Predictor, items: Any) -> list[float]:
    """Microseconds for each call of `predict`."""
    times = []
    for item in items:
        began = time.perf_counter_ns()
        predictor.predict(item, budget_ms=BUDGET_MS)
        times.append((time.perf_counter_ns() - began) / 1e3)
    return times


def at_once(predictor: Predictor, items: Any) -> list[float]:
    """Microseconds for each row of a crowd that is submitted."""
    began = time.perf_counter_ns()
    futures = [predictor.submit(item, budget_ms=BUDGET_MS) for _ in range(AT_ONCE) for item in items]
    for future in futures:
        future.result()
    return [(time.perf_counter_ns() - began) / (1e3 * len(futures))]


Way = Callable[[Predictor, Any], list[float]]
WAYS: dict[str, Way] = {"predict": one_by_one, "submit, many at once": at_once}


def difference_of(way: Way, on: Predictor, off: Predictor, images: Any) -> dict[str, Any]:
    """Microseconds per call with telemetry, without, and the paired difference."""
    rows = np.arange(N_BLOCKS * BLOCK).reshape(N_BLOCKS, BLOCK) % len(images)
    found: dict[bool, list[list[float]]] = {True: [], False: []}
    for b in range(-N_WARM_BLOCKS, N_BLOCKS):
        for which in (True, False) if b % 2 else (False, True):
            times = way(on if which else off, images[rows[b]])
            if b >= 0:
                found[which].append(times)
    took = {which: np.array(times) for which, times in found.items()}
    medians = np.sort(np.median(took[True] - took[False], axis=1))
    k = max(int(binom.ppf(0.025, len(medians), 0.5)) - 1, 0)
    return {
        "on_us": round(float(np.median(took[True])), 2),
        "off_us": round(float(np.median(took[False])), 2),
        "difference_us": round(float(np.median(medians)), 2),
        "interval_us": [round(float(medians[k]), 2), round(float(medians[-1 - k]), 2)],
    }


class Parts(NamedTuple):
    """What predictors are made of, and rows to answer."""

    stages: tuple[Stage, Stage]
    policy: Policy
    service: ServiceTable
    images: np.ndarray


def make_parts() -> Parts:
    """Two perceptrons on digits, and a policy for them."""
    ladder = digit_ladder()
    stages = (Stage(ladder.small, name="small"), Stage(ladder.large, name="large"))
    service = profile(stages, ladder.fit_rows[0], progress=False)
    policy = fit_policy(Outcomes.record(stages, *ladder.fit_rows, progress=False), service)
    return Parts(stages, policy, service, ladder.served_rows[0])


def measure_cost(parts: Parts) -> dict[str, Any]:
    """Every way through a predictor, with telemetry and without."""
    with Predictor(*parts[:3]) as on, Predictor(*parts[:3], telemetry=False) as off:
        return {name: difference_of(way, on, off, parts.images) for name, way in WAYS.items()}


class Forgetful:
    """A listener that does nothing."""

    def began(self) -> None:
        pass

    def ended(self, record: RequestRecord, began: None) -> None:
        pass


def measure_listening(parts: Parts, folder: Path) -> dict[str, Any]:
    """What a listener costs, beside none."""
    found, images = {}, parts.images
    lines = JsonLines(folder / "requests.jsonl")
    for name, listener in {"nothing": Forgetful(), "JSON lines": lines}.items():
        with Predictor(*parts[:3]) as heard, Predictor(*parts[:3]) as alone, heard.listen(listener):
            found[name] = difference_of(one_by_one, heard, alone, images)
    lines.close()
    return found


class ManyPaths:
    """What a scrape reads of a predictor: everything that four stages can have done."""

    def __init__(self, largest: int) -> None:
        self.ready, self._cache = True, ResultCache()
        self.lanes = [Counters(Measures()) for _ in range(2)]
        self._load = LoadNow(40, 0.01, dict.fromkeys(STAGES, (1.0, 1.2)), 0.3)
        paths = [path for n in range(len(STAGES) + 1) for path in permutations(STAGES, n)]
        for lane, (i, path) in product(self.lanes, enumerate(paths)):
            answer = Prediction(0, None, 0.9, path, Status.ANSWERED, 5.0, 0.1 * i, 0.05 * i, True)
            lane.count_answer(answer, ("interactive", "normal", "background")[i % 3])
        for lane, stage, size in product(self.lanes, STAGES, range(1, largest + 1)):
            lane.count_service(stage, size, 0.2 * size)
        for lane, stage, size, reason in product(
            self.lanes, STAGES, range(1, 33), ("limit", "deadline", "nobody else")
        ):
            lane.count_run(stage, size, reason)

    def stats(self) -> Stats:
        return Counters.total(self.lanes).snapshot(self._load, self._cache.stats())


def measure_scrape(parts: Parts, largest: int) -> dict[str, Any]:
    """Milliseconds of one scrape, alone and beside a thread that asks a predictor for answers."""
    registry = CollectorRegistry()
    registry.register(PrometheusCollector(ManyPaths(largest)))
    generate_latest(registry)
    idle_ms, is_over = _scrapes_ms(registry), threading.Event()
    with Predictor(*parts[:3]) as predictor:

        def ask() -> None:
            while not is_over.is_set():
                predictor.predict(parts.images[0], budget_ms=BUDGET_MS)

        thread = threading.Thread(target=ask)
        thread.start()
        busy_ms = _scrapes_ms(registry)
        is_over.set()
        thread.join()
    text = generate_latest(registry)
    found = {"lines": text.count(b"\n"), "bytes": len(text)}
    for name, (took, computed) in {"idle": idle_ms, "busy": busy_ms}.items():
        found |= {f"{name}_p50_ms": round(float(np.median(took)), 2), f"{name}_max_ms": round(float(np.max(took)), 2)}
        found[f"{name}_cpu_p50_ms"] = round(float(np.median(computed)), 2)
    return found


def _scrapes_ms(registry: CollectorRegistry) -> tuple[list[float], list[float]]:
    """What scrapes took, and what they computed meanwhile."""
    took, computed = [], []
    for _ in range(N_SCRAPES):
        began, computed_before = time.perf_counter(), time.thread_time()
        generate_latest(registry)
        took.append((time.perf_counter() - began) * 1e3)
        computed.append((time.thread_time() - computed_before) * 1e3)
    return took, computed


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


def report(found: dict[str, Any]) -> None:
    """Print the tables."""
    cost, adding, memory, scrape = found["cost"], found["adding_ns"], found["memory"], found["scrape"]
    rows = []
    arms = {**cost, **{f"predict, heard by {name}": row for name, row in found["listening"].items()}}
    for name, arm in arms.items():
        low, high = arm["interval_us"]
        bar = f"{COST_BAR_US:g}" if name == "predict" else ""
        met = ("yes" if arm["difference_us"] <= COST_BAR_US else "NO") if bar else ""
        times = [f"{arm[key]:.2f}" for key in ("on_us", "off_us", "difference_us")]
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
    rows = []
    for name, case in scrape.items():
        met = "yes" if case["busy_p50_ms"] <= SCRAPE_BAR_MS else "NO"
        times = [f"{case[key]:.1f}" for key in SCRAPED]
        rows.append([name, f"{case['lines']:,}", *times, f"{SCRAPE_BAR_MS:g}", met])
    print()
    header = [
        "scrape",
        "lines",
        "idle p50 ms",
        "max",
        "cpu p50",
        "busy p50 ms",
        "max",
        "cpu p50",
        "bar",
        "met",
    ]
    print_table(header, rows)


def main() -> None:
    options = arguments(__doc__)
    torch.set_num_threads(1)
    parts = make_parts()
    with TemporaryDirectory() as folder:
        listening = measure_listening(parts, Path(folder))
    found = {
        "cost": measure_cost(parts),
        "listening": listening,
        "adding_ns": measure_adding(),
        "memory": measure_memory(),
        "scrape": {f"batches up to {largest}": measure_scrape(parts, largest) for largest in (32, 1024)},
    }
    report(found)
    write("telemetry", found, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
