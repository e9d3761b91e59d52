"""Streams of requests for a cache, and what other ways of keeping entries would have made of them."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

N_INPUTS = 20_000
EXPONENT = 0.9


def zipf(n: int, rng: np.random.Generator, n_inputs: int = N_INPUTS) -> np.ndarray:
    """Inputs by number; the one of rank r is asked for in proportion to r to the power of minus 0.9."""
    weights = np.arange(1, n_inputs + 1) ** -EXPONENT
    return rng.choice(n_inputs, n, p=weights / weights.sum())


def drifting(n: int, rng: np.random.Generator) -> np.ndarray:
    """As `zipf`, with ranks that move on by a twentieth of the inputs, fifteen times."""
    parts = np.array_split(zipf(n, rng), 15)
    return np.concatenate([(part + N_INPUTS // 20 * k) % N_INPUTS for k, part in enumerate(parts)])


def bursts(n: int, rng: np.random.Generator) -> np.ndarray:
    """Every input is asked for five times within some hundred requests, and then not for long."""
    numbers = np.repeat(np.arange(n // 5), 5) % N_INPUTS
    return numbers[np.argsort(np.arange(len(numbers)) + rng.exponential(800.0, len(numbers)))]


STREAMS = {"Zipf(0.9)": zipf, "Zipf(0.9), drifting": drifting, "bursts of five": bursts}


def lru_hits(stream: np.ndarray, capacity: int) -> int:
    """Hits of the least-recently-used rule with room for this many entries."""
    entries: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for number in stream.tolist():
        if number in entries:
            entries.move_to_end(number)
            hits += 1
        else:
            if len(entries) >= capacity:
                entries.popitem(last=False)
            entries[number] = None
    return hits


def static_hits(stream: np.ndarray, capacity: int) -> int:
    """Hits after the first request of each, where the inputs asked for the most often are known beforehand and kept."""
    counts = np.sort(np.bincount(stream))[::-1][:capacity]
    return int((counts[counts > 0] - 1).sum())
