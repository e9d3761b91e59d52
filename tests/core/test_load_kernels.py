"""The compiled kernels of load against plain Python, and against looking at every level."""

import math
from itertools import chain

import numpy as np
import pytest

from cascade.core.load_kernels import best_plan, load_level, load_need, plan_in_time

N_LEVELS, N_SETS, N_BINS, K = 9, 8, 4, 3


def random_queue(rng, n):
    """A queue of n, and expected runs that never rise with the level, as those of a policy."""
    runs = -np.sort(-rng.random((N_LEVELS, N_SETS, N_BINS, K)), axis=0).astype(np.float32)
    runs[:, -1] = 0.0
    lines = np.stack([rng.integers(1, 9, K), rng.random(K), rng.random(K), rng.random(K), np.full(K, np.nan)])
    left_ms = np.sort(rng.uniform(0.2, 3.0 * n + 0.3, n))
    return runs, rng.integers(0, N_SETS, n), rng.integers(0, N_BINS, n), left_ms, lines.astype(float)


def plain_need(runs, sets, bins, left_ms, lines, rate, level):
    """Of arrivals, and of the first two, three, four, ... of the queue: the worst."""
    batch, per_row_ms, fixed_ms, each_ms, _ = lines
    needs = [rate * float(runs[level, 0, 0].astype(float) @ per_row_ms)]
    for n in range(2, len(sets) + 1):
        rows = sum(runs[level, sets[i], bins[i]].astype(float) for i in range(n))
        took_ms = sum(math.ceil(rows[j] / batch[j] - 1e-6) * fixed_ms[j] + rows[j] * each_ms[j] for j in range(K))
        needs.append(took_ms / left_ms[n - 1])
    return max(needs)


def test_the_need_is_that_of_the_worst_prefix_or_of_what_arrives():
    rng = np.random.default_rng(0)
    by_arrivals = 0
    for n in [0, 1, 2, *rng.integers(3, 20, 20).tolist()]:
        queue, rate = random_queue(rng, n), float(rng.choice([0.0, 0.5, 3.0]))
        for level in (0, 4, 8):
            expected = plain_need(*queue, rate, level)
            assert load_need(*queue, rate, level) == pytest.approx(expected, rel=1e-9)
            by_arrivals += expected > plain_need(*queue, 0.0, level)
    assert 5 < by_arrivals < 70


def test_the_level_is_the_first_at_which_the_need_is_met():
    rng, found = np.random.default_rng(1), []
    for n in rng.integers(0, 24, 150).tolist():
        queue, rate, highest = random_queue(rng, n), float(rng.uniform(0.0, 1.2)), int(rng.integers(0, N_LEVELS))
        needs = [plain_need(*queue, rate, level) for level in range(highest + 1)]
        level = next((level for level, need in enumerate(needs) if need <= 1.0), highest)
        is_between = level > 0 and needs[level] <= 1.0
        below = needs[level - 1] if is_between else needs[level]
        pressure = needs[-1] if level else needs[0]
        assert load_level(*queue, rate, highest) == pytest.approx((level, needs[level], below, pressure), rel=1e-9)
        found.append((level, is_between, level == highest))
    # So that every way out was taken, and levels at both ends and between them.
    assert {(is_between, is_highest) for _, is_between, is_highest in found} >= {
        (True, False),
        (False, True),
        (True, True),
    }
    assert {level for level, is_between, _ in found if is_between} >= {1, 2, 4, 6}
    assert any(level == 0 and not is_highest for level, _, is_highest in found)


def random_requests(rng, n):
    """Deadlines in order, as within a class, or in any order, as where classes follow each other."""
    deadlines_ms = rng.uniform(1.0, 25.0, n)
    if rng.random() < 0.5:
        deadlines_ms.sort()
    limit = int(rng.integers(1, 9))
    upper_ms = np.concatenate([[0.0], rng.uniform(0.5, 5.0) + rng.uniform(0.05, 1.0) * np.arange(1, limit + 1)])
    return deadlines_ms, rng.random(n) < 0.3, rng.uniform(0.0, 6.0, int(rng.integers(1, 4))), upper_ms


def filled(queue, deadlines_ms, is_admitted, free_ms, upper_ms, least):
    """One batch after the other until the queue is empty or a request is late that was admitted: batches, and who is late."""
    free_ms, queue, batches = list(free_ms), list(queue), []
    while queue:
        lane, head = free_ms.index(min(free_ms)), queue[0]

        def in_time(batch, start_ms=free_ms[lane]):
            return start_ms + upper_ms[len(batch)] <= min(deadlines_ms[i] for i in batch)

        most = min(len(upper_ms) - 1, len(queue))
        size = next((size for size in range(1, most + 1) if not in_time(queue[:size])), most + 1) - 1
        if not size and is_admitted[head]:
            return batches, head
        if not is_admitted[head] and size < min(least, len(deadlines_ms) - head):
            queue.pop(0)
            continue
        batches.append(queue[:size])
        free_ms[lane] += upper_ms[size]
        queue = queue[size:]
    return batches, None


def plain_plan(deadlines_ms, is_admitted, free_ms, upper_ms, least):
    """Batches as lists of requests; whoever was admitted and is late lets the last of the others before it be left out."""
    queue, is_admitted = list(range(len(deadlines_ms))), is_admitted.tolist()
    while True:
        batches, late = filled(queue, deadlines_ms, is_admitted, free_ms, upper_ms, least)
        if late is None:
            return batches
        others = [i for i in chain(*batches) if i < late and not is_admitted[i]]
        if others:
            queue.remove(max(others))
        else:
            is_admitted[late] = False


def test_the_plan_is_that_of_filling_one_batch_after_the_other():
    rng, n_left_out = np.random.default_rng(2), 0
    for n in [0, 1, *rng.integers(2, 25, 200).tolist()]:
        deadlines_ms, is_admitted, free_ms, upper_ms = random_requests(rng, n)
        for least in (1, 2, 4):
            batches = plain_plan(deadlines_ms, is_admitted, free_ms, upper_ms, least)
            served, before, is_kept = sorted(chain(*batches)), free_ms.tolist(), np.empty(n, bool)
            planned = plan_in_time(deadlines_ms, is_admitted.copy(), free_ms, upper_ms, least, is_kept)
            took_ms = sum(upper_ms[len(batch)] for batch in batches)
            assert planned == (len(served), pytest.approx(took_ms), len(batches[0]) if batches else 0)
            assert np.flatnonzero(is_kept).tolist() == served
            assert free_ms.tolist() == before
            n_left_out += n - len(served)
    assert n_left_out > 500


def test_within_a_class_whoever_was_admitted_is_served_if_that_is_possible_without_the_others():
    rng, n_possible = np.random.default_rng(3), 0
    for n in rng.integers(1, 30, 600).tolist():
        deadlines_ms, is_admitted, free_ms, upper_ms = random_requests(rng, n)
        deadlines_ms.sort()
        admitted = np.flatnonzero(is_admitted)
        alone, late = filled(admitted.tolist(), deadlines_ms, is_admitted, free_ms, upper_ms, 1)
        if late is not None:
            continue
        is_kept = np.empty(n, bool)
        for least in (1, 4):
            plan_in_time(deadlines_ms, is_admitted.copy(), free_ms, upper_ms, least, is_kept)
            assert is_kept[admitted].all()
        n_possible += len(alone) > 1
    assert n_possible > 100


def test_the_best_plan_serves_most_for_what_its_time_is_worth():
    rng, chosen = np.random.default_rng(4), set()
    for n in [0, 1, *rng.integers(2, 25, 200).tolist()]:
        deadlines_ms, is_admitted, free_ms, upper_ms = random_requests(rng, n)
        worth, plans = float(rng.choice([0.0, 0.2, 0.8])), []
        for least in [1 << k for k in range(4) if 1 << k < len(upper_ms)]:
            batches = plain_plan(deadlines_ms, is_admitted, free_ms, upper_ms, least)
            value = sum(len(batch) - worth * upper_ms[len(batch)] for batch in batches)
            plans.append((value, -least, batches))
        best = max(value for value, _, _ in plans)
        _, least, batches = max((plan for plan in plans if plan[0] > best - 1e-9), key=lambda plan: plan[1])
        before, is_kept = free_ms.copy(), np.zeros(n, bool)
        n_first = best_plan(deadlines_ms, is_admitted, free_ms, upper_ms, worth, is_kept)
        assert n_first == (len(batches[0]) if batches else 0)
        assert np.flatnonzero(is_kept).tolist() == sorted(chain(*batches))
        assert free_ms.tolist() == before.tolist()
        chosen.add(-least)
    assert chosen == {1, 2, 4, 8}
