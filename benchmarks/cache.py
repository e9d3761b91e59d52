"""What do a hit and a miss of the result cache cost, and how much does it catch within its bytes?

The cache alone, without a predictor. Costs: blocks of calls of all arms in an order that rotates; a figure is the median over the
blocks of the mean within one, with a 95 % interval that holds for any distribution. "One input" is asked for again and
again; "many inputs" take turns, so that neither they nor the stored copies stay in the fast caches of the processor. `functools.lru_cache`
and cachetools get ready keys: they hash, compare and copy no input. A miss looks, leads, keeps what was said and lands; the stage takes
no time. Bars: a hit within 5 us for 784 float32 and 40 us for 3x224x224 float32, a miss within 8 us for 784 float32.

Hit ratios: 20,000 inputs of 784 float32; the least-recently-used rule is simulated with room for as many entries as the cache's bytes hold of
its own, and as they would hold of bare inputs and rows. Bar: within 2 % of the former on the Zipf stream.

Threads: 32 on a load of nine hits in ten, with a stage of 1 ms that runs for one at a time, beside the same without a cache (bar: five times the
throughput), and 1,000 that ask for one new input (bar: one computation). Age: an hour of virtual time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import cycle
from typing import Any

import cachetools
import numpy as np
from harness.cache_streams import STREAMS, lru_hits, static_hits, zipf
from harness.report import arguments, on_one_thread, print_table, write
from scipy.stats import binom

from cascade.caching.flight import Lead
from cascade.caching.result_cache import ResultCache
from cascade.clock import MonotonicClock, VirtualClock

HIT_BARS_US = {(784,): 5.0, (3, 224, 224): 40.0}
MISS_BAR_US, RATIO_BAR, SPEED_BAR = 8.0, 0.98, 5.0
SOURCE, ROW = "f" * 32, np.linspace(-1.0, 0.0, 10, dtype=np.float32)
N_BLOCKS, N_REQUESTS = 60, 200_000
N_THREADS, STAGE_MS, RUN_S = 32, 1.0, 2.0


def blocks_of(arms: dict[str, Callable[[], Any]], n_calls: int) -> dict[str, dict[str, Any]]:
    """Microseconds per call of every arm; an arm that returns a number says itself how many nanoseconds a block took."""
    took: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for b in range(-3, N_BLOCKS):
        for name in names[b % len(names) :] + names[: b % len(names)]:
            call, began = arms[name], time.perf_counter_ns()
            for _ in range(n_calls):
                call()
            if b >= 0:
                took[name].append((time.perf_counter_ns() - began) / n_calls / 1e3)
    k = max(int(binom.ppf(0.025, N_BLOCKS, 0.5)) - 1, 0)
    return {
        name: {
            "p50_us": round(float(np.median(times)), 3),
            "interval_us": [round(float(np.sort(times)[k]), 3), round(float(np.sort(times)[-1 - k]), 3)],
        }
        for name, times in took.items()
    }


def hit_of(cache: ResultCache, inputs: Iterator[np.ndarray]) -> Callable[[], Any]:
    """A hit, from the input to what was said."""
    key, look = cache.key, cache.look
    return lambda: look(key(next(inputs)))[SOURCE]


def miss_of(cache: ResultCache, inputs: Iterator[np.ndarray]) -> Callable[[], None]:
    """A miss, from the input to what is kept."""

    def miss() -> None:
        key = cache.key(next(inputs))
        if not cache.look(key):
            turn = cache.enter(key)
            assert isinstance(turn, Lead)
            cache.settle(turn, {SOURCE: ROW})

    return miss


def filled(inputs: list[np.ndarray], **settings: Any) -> ResultCache:
    cache = ResultCache(1 << 30, **settings)
    for x in inputs:
        cache.remember(cache.key(x), {SOURCE: ROW})
    return cache


def ready_keys(inputs: list[np.ndarray]) -> dict[str, Callable[[], Any]]:
    """Other caches, with keys that cost them nothing."""
    keys = cycle([x.tobytes()[:16] for x in inputs])
    by_function = lru_cache(len(inputs))(lambda _: ROW)
    by_age, lock = cachetools.TTLCache(len(inputs), 1e9), threading.Lock()
    for _ in inputs:
        key = next(keys)
        by_age[key] = by_function(key)

    def with_lock() -> Any:
        with lock:
            return by_age[next(keys)]

    return {
        "functools.lru_cache, ready keys": lambda: by_function(next(keys)),
        "cachetools TTL and lock, ready keys": with_lock,
    }


def costs(shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, Any]:
    n_many = min(int(256e6) // (4 * int(np.prod(shape))), 4000)
    many = [rng.random(shape, dtype=np.float32) for _ in range(n_many)]
    cache, aged = filled(many), filled(many, ttl_ms=1e9)
    one = many[:1]
    arms = {
        "key": lambda: cache.key(one[0]),
        "hit, one input": hit_of(cache, cycle(one)),
        "hit, one input, with a time to live": hit_of(aged, cycle(one)),
        "hit, many inputs": hit_of(cache, cycle(many)),
        **ready_keys(many),
    }
    results = blocks_of(arms, 1000 if shape == (784,) else 50)
    results |= miss_costs(shape, rng)
    return results


def miss_costs(shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, Any]:
    """Misses while there is room, and while every new entry takes the place of an old one."""
    n_calls = 500 if shape == (784,) else 20
    inputs = [rng.random(shape, dtype=np.float32) for _ in range(n_calls)]
    touched = cycle(inputs)
    roomy, tight = ResultCache(1 << 30), ResultCache(filled(inputs[: n_calls // 2]).stats().bytes)
    arms = {"miss, with room": miss_of(roomy, cycle(inputs)), "miss, an old entry goes": miss_of(tight, cycle(inputs))}
    took: dict[str, list[float]] = {name: [] for name in (*arms, "touch")}
    for b in range(-3, N_BLOCKS):
        roomy.clear()
        for name, call in {"touch": lambda: next(touched).sum(), **arms}.items():
            for x in inputs:
                # The stage would have read it: what reading it for the first time costs is not the cache's.
                x.sum()
            began = time.perf_counter_ns()
            for _ in range(n_calls):
                call()
            if b >= 0:
                took[name].append((time.perf_counter_ns() - began) / n_calls / 1e3)
    assert roomy.stats().hits == tight.stats().hits == 0
    k = max(int(binom.ppf(0.025, N_BLOCKS, 0.5)) - 1, 0)
    return {
        name: {
            "p50_us": round(float(np.median(took[name])), 3),
            "interval_us": [round(float(np.sort(took[name])[k]), 3), round(float(np.sort(took[name])[-1 - k]), 3)],
        }
        for name in arms
    }


def hit_ratios(rng: np.random.Generator) -> list[dict[str, Any]]:
    inputs = rng.random((20_000, 784), dtype=np.float32)
    entry_bytes = filled([*inputs[:1]]).stats().bytes
    bare_bytes = inputs[0].nbytes + ROW.nbytes
    rows = []
    for name, make in STREAMS.items():
        stream = make(N_REQUESTS, rng)
        for max_bytes in (4 << 20, 16 << 20):
            found = {}
            for admission in ("recency", "frequency"):
                cache = ResultCache(max_bytes, admission=admission)
                for number in stream.tolist():
                    key = cache.key(inputs[number])
                    if not cache.look(key):
                        cache.remember(key, {SOURCE: ROW})
                stats = cache.stats()
                assert stats.bytes <= max_bytes
                found[admission] = stats.hit_ratio
            capacity = max_bytes // entry_bytes
            rows.append(
                {
                    "stream": name,
                    "mib": max_bytes >> 20,
                    **{admission: round(ratio, 4) for admission, ratio in found.items()},
                    "lru_same_bytes": round(lru_hits(stream, capacity) / len(stream), 4),
                    "lru_bare_bytes": round(lru_hits(stream, max_bytes // bare_bytes) / len(stream), 4),
                    "best_known_beforehand": round(static_hits(stream, capacity) / len(stream), 4),
                }
            )
    return rows


class Stage:
    """A stage that takes a millisecond and runs for one at a time; counts its runs, and those of one input at once."""

    def __init__(self) -> None:
        self._lane, self._counting = threading.Lock(), threading.Lock()
        self.n_runs, self.most_at_once, self._running = 0, 0, dict[int, int]()

    def __call__(self, number: int) -> np.ndarray:
        with self._counting:
            self.n_runs += 1
            at_once = self._running[number] = self._running.get(number, 0) + 1
            self.most_at_once = max(self.most_at_once, at_once)
        with self._lane:
            MonotonicClock().wait(STAGE_MS)
        with self._counting:
            self._running[number] -= 1
        return ROW


def ask(cache: ResultCache | None, stage: Stage, x: np.ndarray, number: int) -> Any:
    """One request, as a predictor makes it."""
    if cache is None:
        return stage(number)
    key = cache.key(x)
    said = cache.look(key)
    while SOURCE not in said:
        turn = cache.enter(key)
        if isinstance(turn, Lead):
            with turn:
                said = turn.said
                if SOURCE not in said:
                    said = {SOURCE: stage(number)}
                    cache.settle(turn, said)
        elif turn.wait(MonotonicClock(), np.inf) and turn.has_landed:
            said = turn.said
    return said[SOURCE]


def throughput(cache: ResultCache | None, rng: np.random.Generator) -> dict[str, Any]:
    """Requests per second of 32 threads; nine of ten ask for one of a hundred inputs, the tenth for a new one."""
    known, stage, n_done = rng.random((100, 784), dtype=np.float32), Stage(), [0] * N_THREADS
    for number, x in enumerate(known):
        ask(cache, stage, x, number)
    runs_before, until = stage.n_runs, time.perf_counter() + RUN_S

    def work(thread: int) -> None:
        own = np.random.default_rng(thread)
        new = 1000 * (thread + 1)
        while time.perf_counter() < until:
            if own.random() < 0.9:
                number = int(own.integers(100))
                ask(cache, stage, known[number], number)
            else:
                new += 1
                ask(cache, stage, np.full(784, new, np.float32), new)
            n_done[thread] += 1

    run_threads(work, N_THREADS)
    return {
        "per_second": round(sum(n_done) / RUN_S, 1),
        "n_runs": stage.n_runs - runs_before,
        "most_at_once": stage.most_at_once,
    }


def one_new_key() -> int:
    """Computations that 1,000 threads need which ask for one new input."""
    cache, stage, start = ResultCache(), Stage(), threading.Event()
    x = np.ones(784, np.float32)

    def work(_: int) -> None:
        start.wait()
        ask(cache, stage, x, 0)

    threading.Timer(0.5, start.set).start()
    run_threads(work, 1000)
    return stage.n_runs


def run_threads(work: Callable[[int], None], n: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def an_hour(rng: np.random.Generator) -> dict[str, Any]:
    """A virtual hour of requests, a time to live of five minutes: entries served, and those served beyond it."""
    clock, ttl_ms = VirtualClock(), 300_000.0
    cache, n_hits, oldest_ms = ResultCache(4 << 20, ttl_ms, clock=clock), 0, 0.0
    for number in zipf(100_000, rng, 500).tolist():
        clock.wait(float(rng.exponential(36.0)))
        key = cache.key(number)
        said = cache.look(key)
        if said:
            n_hits += 1
            oldest_ms = max(oldest_ms, clock.now_ms() - said[SOURCE])
        else:
            cache.remember(key, {SOURCE: clock.now_ms()})
    return {"hours": round(clock.now_ms() / 3.6e6, 3), "hits": n_hits, "oldest_served_ms": oldest_ms, "ttl_ms": ttl_ms}


def met(is_met: bool) -> str:
    return "met" if is_met else "NOT MET"


def report_costs(results: dict[str, dict[str, Any]]) -> None:
    names = list(next(iter(results.values())))
    cell = "{p50_us:.2f} ({interval_us[0]:.2f} to {interval_us[1]:.2f})".format_map
    print_table(
        ["us per call, 95 % interval", *results],
        [[name, *(cell(of[name]) for of in results.values())] for name in names],
    )
    for (shape, bar), of in zip(HIT_BARS_US.items(), results.values(), strict=True):
        for which in ("one input", "many inputs"):
            took = of[f"hit, {which}"]["interval_us"][1]
            print(f"a hit for {'x'.join(map(str, shape))} float32, {which}: bar of {bar:g} us {met(took <= bar)}")
    for which in ("with room", "an old entry goes"):
        took = next(iter(results.values()))[f"miss, {which}"]["interval_us"][1]
        print(f"a miss for 784 float32, {which}: bar of {MISS_BAR_US:g} us {met(took <= MISS_BAR_US)}")


def main() -> None:
    options = arguments(__doc__)
    rng = np.random.default_rng(0)
    by_shape = {"x".join(map(str, shape)): costs(shape, rng) for shape in HIT_BARS_US}
    report_costs(by_shape)

    ratios = hit_ratios(rng)
    print()
    print_table(list(ratios[0]), [[str(value) for value in row.values()] for row in ratios])
    worst = min(row["recency"] / row["lru_same_bytes"] for row in ratios if row["stream"] == "Zipf(0.9)")
    print(
        f"of the hits of LRU at the same bytes, on the Zipf stream: {worst:.4f}, bar of {RATIO_BAR} {met(worst >= RATIO_BAR)}"
    )

    alone, cached = throughput(None, rng), throughput(ResultCache(), rng)
    speed = cached["per_second"] / alone["per_second"]
    print(
        f"\n{N_THREADS} threads, nine hits in ten, requests per second: {alone['per_second']:.0f} without, {cached['per_second']:.0f} with"
    )
    print(
        f"{speed:.1f} times, bar of {SPEED_BAR:g} {met(speed >= SPEED_BAR)}; most runs of one input at once: {cached['most_at_once']}"
    )
    n_runs = one_new_key()
    print(f"1,000 threads that ask for one new input: {n_runs} computation, bar of 1 {met(n_runs == 1)}")
    aged = an_hour(rng)
    is_young = aged["oldest_served_ms"] < aged["ttl_ms"]
    print(
        f"in {aged['hours']} hours, {aged['hits']} hits, the oldest {aged['oldest_served_ms'] / 1e3:.1f} s: time to live of {aged['ttl_ms'] / 1e3:g} s {met(is_young)}"
    )
    write(
        "cache",
        {
            "costs_us": by_shape,
            "hit_ratios": ratios,
            "throughput": {"without": alone, "with": cached},
            "runs_for_one_key": n_runs,
            "hour": aged,
        },
        options.out,
    )


if __name__ == "__main__":
    on_one_thread()
    main()
