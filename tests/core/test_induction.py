"""The dynamic program against a recursion written out in plain Python."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cascade.core import induction
from cascade.core.induction import STOP, StageTimes, Statistics, backward, solve, time_classes, time_edges
from cascade.core.table import STOP_BYTE, Lookup, decision_table


def small_lattice(seed, requires=(-1, -1, -1), n_bins=4):
    rng = np.random.default_rng(seed)
    k = len(requires)
    edges = np.sort(rng.random((1 << k, n_bins - 1)), axis=1)
    accuracy = np.sort(rng.random((1 << k, n_bins)), axis=1)
    moves = rng.random((1 << k, k, n_bins, n_bins)).astype(np.float32)
    statistics = Statistics(requires, edges, accuracy, moves / moves.sum(axis=3, keepdims=True))
    mean_ms = rng.uniform(1.0, 5.0, k)
    atoms = mean_ms[:, None] * np.array([0.8, 1.1, 1.6])
    times = StageTimes(mean_ms, mean_ms * 1.7, atoms, np.array([0.5, 0.4, 0.1]), rng.random(k), 0.01)
    return statistics, times


def oracle(statistics, times, price):
    edges = time_edges(statistics, times)

    @cache
    def value(s, b, r):
        best = float(statistics.accuracy[s, b]) if s else -np.inf
        for j in statistics.next_stages(s):
            if edges[r] + 1e-9 < times.upper_ms[j]:
                continue
            total = -price * times.mean_ms[j] - times.cost_weight * times.costs[j]
            for weight, atom in zip(times.weights, times.atoms_ms[j], strict=True):
                after = int(time_classes(edges, edges[r] - atom))
                row = statistics.transitions[s, j, b]
                total += weight * sum(float(p) * value(s | 1 << j, c, after) for c, p in enumerate(row))
            best = max(best, total)
        return best

    return edges, value


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("requires", [(-1, -1, -1), (-1, 0, -1)])
@pytest.mark.parametrize("price", [0.0, 0.02, 0.2])
def test_values_equal_the_plain_recursion(seed, requires, price, monkeypatch):
    monkeypatch.setattr(induction, "GAIN_BLUR", 0.0)
    statistics, times = small_lattice(seed, requires)
    edges, value = oracle(statistics, times, price)
    for s, stop, options in backward(statistics, times, np.array([price]), edges):
        best = np.max([np.broadcast_to(stop, (4, 1, len(edges))), *(worth for _, worth in options)], axis=0)
        wanted = [[value(s, b if s else 0, r) for r in range(len(edges))] for b in range(4)]
        assert best[:, 0] == pytest.approx(np.array(wanted), abs=1e-5)


def test_no_stage_is_chosen_that_does_not_fit():
    statistics, times = small_lattice(1)
    decisions = solve(statistics, times, np.array([0.01]))
    for r, left_ms in enumerate(decisions.time_edges_ms):
        chosen = np.unique(decisions.actions[:, :, r])
        assert all(times.upper_ms[j] <= left_ms + 1e-9 for j in chosen if j != STOP)


def test_an_exit_is_never_run_before_the_one_it_continues_from():
    statistics, times = small_lattice(2, requires=(-1, 0, 1))
    actions = solve(statistics, times, np.array([1e-4])).actions
    assert set(np.unique(actions[0])) <= {STOP, 0}
    assert set(np.unique(actions[1])) <= {STOP, 1}


def test_a_higher_price_never_buys_more_time():
    statistics, times = small_lattice(3)
    mean_ms = solve(statistics, times, np.geomspace(1e-4, 1.0, 30)).mean_ms
    assert np.all(np.diff(mean_ms, axis=0) <= 1e-4)


def test_looking_up_equals_the_table():
    statistics, times = small_lattice(4)
    table = decision_table(statistics, times, 0.02)
    lookup = Lookup(table)
    rng = np.random.default_rng(0)
    for _ in range(300):
        s, trust, left_ms = int(rng.integers(0, 8)), float(rng.random()), float(rng.uniform(-1.0, 20.0))
        found = lookup.action(s, trust, left_ms)
        assert (STOP if found == STOP_BYTE else found) == table.action(s, trust, left_ms)


def test_ties_go_to_the_cheaper_stage():
    statistics, times = small_lattice(5, requires=(-1, -1))
    statistics.accuracy[1:] = 0.7
    action = solve(statistics, times, np.array([0.0])).actions[0, 0, -1, 0]
    assert action == int(np.argmin(times.mean_ms))
