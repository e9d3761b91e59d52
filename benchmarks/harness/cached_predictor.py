"""A predictor with a result cache and the same without one: what hits, misses, joins and batches cost and save."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cascade.caching.result_cache import ResultCache
from cascade.calibration.fit import fit_policy
from cascade.clock import MonotonicClock
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeStage

NAMES, N_CLASSES, BUDGET_MS = ("small", "big"), 10, 1000.0
STAGE_MS, RUN_S = 1.0, 2.0
N_BATCH, N_ROUNDS = 10_000, 7


class Model:
    """Says the same about every input, after a while for each, one after the other; counts its runs, and those of one input at once."""

    def __init__(self, row: np.ndarray, duration_ms: float = 0.0) -> None:
        self._row, self._duration_ms = row, duration_ms
        self._lane, self._counting = threading.Lock(), threading.Lock()
        self.n_rows, self.most_at_once, self._running = 0, 0, dict[float, int]()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        if not self._duration_ms:
            return self._row if len(batch) == 1 else np.repeat(self._row, len(batch), axis=0)
        numbers = batch[:, 0].tolist()
        with self._counting:
            self.n_rows += len(numbers)
            for number in numbers:
                at_once = self._running[number] = self._running.get(number, 0) + 1
                self.most_at_once = max(self.most_at_once, at_once)
        with self._lane:
            MonotonicClock().wait(self._duration_ms * len(numbers))
        with self._counting:
            for number in numbers:
                self._running[number] -= 1
        return np.repeat(self._row, len(batch), axis=0)


def predictor_of(cache: ResultCache | None, duration_ms: float = 0.0) -> tuple[Predictor, Model]:
    """Two stages, of which the first is sure enough; and what it runs."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, N_CLASSES, 600)
    logits = rng.normal(size=(600, 2, N_CLASSES))
    logits[np.arange(600), :, labels] += [3.0, 5.0]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    service = ServiceTable.from_costs([max(duration_ms, 0.01), 10 * max(duration_ms, 0.01)], stages=NAMES)
    policy = fit_policy(Outcomes.from_probs(probs, labels, stages=NAMES), service, 0.05)
    sure = np.full((1, N_CLASSES), 0.001 / (N_CLASSES - 1), np.float32)
    sure[0, 3] = 0.999
    models = [Model(sure, duration_ms), Model(sure, 10 * duration_ms)]
    stages = [FakeStage(name, model, version=name) for name, model in zip(NAMES, models, strict=True)]
    return Predictor(stages, policy, service, cache=cache), models[0]


def fresh_rows(shape: tuple[int, ...], n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Inputs that nobody has seen, read once: what that costs is not the cache's."""
    rows = [*rng.random((n, *shape), dtype=np.float32)]
    for x in rows:
        x.sum()
    return rows


def us_per_call(call: Callable[..., Any], inputs: Sequence[np.ndarray]) -> float:
    began = time.perf_counter_ns()
    for x in inputs:
        call(x, budget_ms=BUDGET_MS)
    return (time.perf_counter_ns() - began) / len(inputs) / 1e3


def calls(shape: tuple[int, ...], n_blocks: int, rng: np.random.Generator) -> dict[str, list[float]]:
    """Microseconds per call of every arm, by block; the arms take turns."""
    n_calls = 300 if len(shape) == 1 else 20
    cache = ResultCache(1 << 30)
    tight = ResultCache(_bytes_of(shape) * n_calls // 2)
    (cached, _), (plain, _), (crowded, _) = predictor_of(cache), predictor_of(None), predictor_of(tight)
    one = fresh_rows(shape, 1, rng) * n_calls
    took: dict[str, list[float]] = {
        name: []
        for name in ("without", "hit, one input", "miss, with room", "hit, many inputs", "miss, an old entry goes")
    }
    for block in range(-3, n_blocks):
        rows = fresh_rows(shape, n_calls, rng)
        cached.predict(one[0])
        arms = [
            us_per_call(plain.predict, rows),
            us_per_call(cached.predict, one),
            us_per_call(cached.predict, rows),
            us_per_call(cached.predict, rows),
            us_per_call(crowded.predict, rows),
        ]
        if block >= 0:
            for name, us in zip(took, arms, strict=True):
                took[name].append(us)
        cache.clear()
    assert cache.stats().joins == tight.stats().hits == 0
    return took


def _bytes_of(shape: tuple[int, ...]) -> int:
    cache = ResultCache(1 << 30)
    predictor_of(cache)[0].predict(np.ones(shape, np.float32))
    return cache.stats().bytes


def batches(rng: np.random.Generator) -> dict[str, float]:
    """Milliseconds of one call of many distinct rows, the least of several rounds: without a cache, all new, all known."""
    cache = ResultCache(1 << 30)
    (cached, _), (plain, _) = predictor_of(cache), predictor_of(None)
    rows, took = rng.random((N_BATCH, 784), dtype=np.float32), dict[str, list[float]]()
    for _ in range(N_ROUNDS):
        cache.clear()
        for name, predictor in (("without", plain), ("all new", cached), ("all known", cached)):
            began = time.perf_counter_ns()
            predictor.predict_batch(rows)
            took.setdefault(name, []).append((time.perf_counter_ns() - began) / 1e6)
    return {name: round(min(times), 1) for name, times in took.items()}


def throughput(n_threads: int, cache: ResultCache | None) -> dict[str, Any]:
    """Requests per second; nine of ten ask for one of a hundred inputs, the tenth for a new one."""
    predictor, model = predictor_of(cache, STAGE_MS)
    known, n_done = [np.full(784, number, np.float32) for number in range(100)], [0] * n_threads
    for x in known:
        predictor.predict(x)
    runs_before, until = model.n_rows, time.perf_counter() + RUN_S

    def work(thread: int) -> None:
        own, new = np.random.default_rng(thread), 1000 * (thread + 1)
        while time.perf_counter() < until:
            if own.random() < 0.9:
                predictor.predict(known[own.integers(100)])
            else:
                new += 1
                predictor.predict(np.full(784, new, np.float32))
            n_done[thread] += 1

    run_threads(work, n_threads)
    predictor.close()
    return {
        "per_second": round(sum(n_done) / RUN_S, 1),
        "n_runs": model.n_rows - runs_before,
        "most_at_once": model.most_at_once,
    }


def runs_for_one_input(n_threads: int) -> int:
    """Computations that threads need which ask for one new input."""
    predictor, model = predictor_of(ResultCache(), STAGE_MS)
    x, start = np.ones(784, np.float32), threading.Event()

    def work(_: int) -> None:
        start.wait()
        predictor.predict(x)

    threading.Timer(0.5, start.set).start()
    run_threads(work, n_threads)
    predictor.close()
    return model.n_rows


def run_threads(work: Callable[[int], None], n: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
