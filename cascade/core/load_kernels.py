"""The compiled kernels of load: the smallest price at which the work fits into the time, and whether a queue can be served.

Leaf functions on plain arrays, each with a plain twin in the tests; knows no value of the package.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cascade.core.compiled import compiled_brief


@compiled_brief
def load_need(runs: Any, sets: Any, bins: Any, left_ms: Any, lines: Any, rate: float, level: int) -> float:
    """Work at one price over what can be done: the worst of what arrives and of every prefix of what waits.

    Parameters
    ----------
    runs : ndarray of float32, shape (L, 2**K, B, K)
        Expected further runs of each stage.
    sets, bins : ndarray of int64, shape (n,)
        Where the waiting requests stand, in the order of service.
    left_ms : ndarray, shape (n,)
        Time to their deadlines that may be planned, above 0.
    lines : ndarray, shape (5, K)
        Of each stage: the batch that can be waited for, time per row in such a batch, fixed time of a run, time per row; the last row is overwritten.
    rate : float
        Arrivals per millisecond that may be planned.
    level : int
    """
    k = runs.shape[3]
    need = 0.0
    for j in range(k):
        need += runs[level, 0, 0, j] * lines[1, j]
    need *= rate
    # The expected runs so far of every stage, and the time that they take.
    for i in range(sets.shape[0]):
        took = 0.0
        for j in range(k):
            lines[4, j] = (lines[4, j] if i else 0.0) + runs[level, sets[i], bins[i], j]
            took += math.ceil(lines[4, j] / lines[0, j] - 1e-6) * lines[2, j] + lines[4, j] * lines[3, j]
        # What the first may run is bounded by its own deadline, of which the expected runs know nothing.
        if i:
            need = max(need, took / left_ms[i])
    return need


@compiled_brief
def load_level(
    runs: Any, sets: Any, bins: Any, left_ms: Any, lines: Any, rate: float, highest: int
) -> tuple[int, float, float, float]:
    """The smallest level at which the need is at most 1, the need there and one level below, and at the highest level.

    Parameters are those of `load_need`, with a fifth row of ``lines`` to work in; ``highest`` is the last level that may be
    taken, and is taken where even there the need is above 1. The need falls as the level rises.
    """
    low = 0
    below = load_need(runs, sets, bins, left_ms, lines, rate, 0)
    if below <= 1.0:
        return 0, below, below, below
    pressure = load_need(runs, sets, bins, left_ms, lines, rate, highest)
    if pressure > 1.0 or highest == 0:
        return highest, pressure, pressure, pressure
    high, here = highest, pressure
    # Always: the need at low is above 1, at high it is not.
    while high - low > 1:
        middle = (low + high) // 2
        need = load_need(runs, sets, bins, left_ms, lines, rate, middle)
        if need <= 1.0:
            high, here = middle, need
        else:
            low, below = middle, need
    return high, here, below, pressure


@compiled_brief
def _earliest_lane(free_ms: Any) -> int:
    """The lane that is free first."""
    lane = 0
    for other in range(1, free_ms.shape[0]):
        if free_ms[other] < free_ms[lane]:
            lane = other
    return lane


@compiled_brief
def _fill(deadlines_ms: Any, may_run: Any, i: int, start_ms: float, upper_ms: Any, members: Any) -> tuple[int, int]:
    """The largest batch from request i on that keeps the deadlines: its size, and the request after it."""
    limit, n = members.shape[0], deadlines_ms.shape[0]
    earliest, size, after = deadlines_ms[i], 1, i + 1
    members[0] = i
    while size < limit and after < n:
        if may_run[after]:
            earliest = min(earliest, deadlines_ms[after])
            if start_ms + upper_ms[size + 1] > earliest:
                break
            members[size] = after
            size += 1
        after += 1
    return size, after


@compiled_brief
def plan_in_time(
    deadlines_ms: Any, is_admitted: Any, free_ms: Any, upper_ms: Any, least: int, is_kept: Any
) -> tuple[int, float, int]:
    """Serve requests by one stage, in their order, in the largest batches that their deadlines allow, leaving out some.

    Those that may be left out are, if otherwise one that may not be would be late: the last ones before it.

    Parameters
    ----------
    deadlines_ms : ndarray, shape (n,)
    is_admitted : ndarray of bool, shape (n,)
        Those that may not be left out; cleared for those that will be late whatever is done.
    free_ms : ndarray, shape (n_lanes,)
        When each lane can start.
    upper_ms : ndarray, shape (limit + 1,)
        What a batch may take, by its size.
    least : int
        A request whose deadline forces a smaller batch, though more wait, is left out.
    is_kept : ndarray of bool, shape (n,)
        Filled in: who is served.

    Returns
    -------
    n_kept : int
    took_ms : float
        Time of the lanes, summed.
    n_first : int
        Size of the first batch.
    """
    n = deadlines_ms.shape[0]
    members, may_run = np.empty(upper_ms.shape[0] - 1, np.int64), np.ones(n, np.bool_)
    while True:
        free = free_ms.copy()
        is_kept[:] = False
        i, n_kept, took, n_first, late = 0, 0, 0.0, 0, -1
        while i < n:
            lane = _earliest_lane(free)
            fits = free[lane] + upper_ms[1] <= deadlines_ms[i]
            if may_run[i] and is_admitted[i] and not fits:
                late = i
                break
            size, after = 0, i + 1
            if may_run[i] and fits:
                size, after = _fill(deadlines_ms, may_run, i, free[lane], upper_ms, members)
            if not is_admitted[i] and size < min(least, n - i):
                i += 1
                continue
            for place in range(size):
                is_kept[members[place]] = True
            n_first = n_first or size
            n_kept += size
            took += upper_ms[size]
            free[lane] += upper_ms[size]
            i = after
        if late < 0:
            return n_kept, took, n_first
        victim = late - 1
        while victim >= 0 and (is_admitted[victim] or not is_kept[victim]):
            victim -= 1
        if victim < 0:
            # Nobody can be left out for its sake: it will be late, and is not held against the others.
            is_admitted[late] = False
        else:
            may_run[victim] = False


@compiled_brief
def best_plan(deadlines_ms: Any, is_admitted: Any, free_ms: Any, upper_ms: Any, worth: float, is_kept: Any) -> int:
    """The plan of `plan_in_time` that serves most, less ``worth`` for every millisecond of a lane; the size of its first batch.

    Parameters are those of `plan_in_time`; least batches of 1, 2, 4, ... are tried.
    """
    best, chosen, least = -np.inf, 1, 1
    while least < upper_ms.shape[0]:
        n_kept, took, _ = plan_in_time(deadlines_ms, is_admitted.copy(), free_ms, upper_ms, least, is_kept)
        if n_kept - worth * took > best + 1e-9:
            best, chosen = n_kept - worth * took, least
        least *= 2
    return plan_in_time(deadlines_ms, is_admitted.copy(), free_ms, upper_ms, chosen, is_kept)[2]


def compile_load_kernels() -> None:
    """Compile them, or load what was compiled before, so that no request waits for that."""
    none, one, free = np.zeros(0, np.int64), np.ones(2), np.zeros(1)
    load_level(np.zeros((1, 2, 1, 1), np.float32), none, none, np.zeros(0), np.ones((5, 1)), 0.0, 0)
    best_plan(one, np.zeros(2, np.bool_), free, one, 0.0, np.zeros(2, np.bool_))
    plan_in_time(one, np.zeros(2, np.bool_), free, one, 1, np.zeros(2, np.bool_))
