"""The dynamic program against what it stands for: every policy tried out, and the recursion in plain Python."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest

from cascade.core.induction import MAX_TIME_CLASSES, STOP, Statistics, backward, gain_blur, solve, time_edges
from cascade.core.times import StageTimes, time_classes


def small_lattice(seed, requires=(-1, -1, -1), n_bins=4, spread=(0.8, 1.1, 1.6)):
    rng = np.random.default_rng(seed)
    k = len(requires)
    edges = np.sort(rng.random((1 << k, n_bins - 1)), axis=1)
    accuracy = np.sort(rng.random((1 << k, n_bins)), axis=1)
    moves = rng.random((1 << k, k, n_bins, n_bins)).astype(np.float32)
    statistics = Statistics(requires, edges, accuracy, moves / moves.sum(axis=3, keepdims=True))
    mean_ms = rng.uniform(1.0, 5.0, k)
    atoms = mean_ms[:, None] * np.array(spread)
    times = StageTimes(mean_ms, mean_ms * 1.7, atoms, np.array([0.5, 0.4, 0.1]), rng.random(k), 0.01)
    return statistics, times


def sharp_lattice(accuracy_of, mean_ms, requires=None, n_bins=4):
    """Stages that send every item to the middle of the bins, where a set of stages is as accurate as it is told to be."""
    k = len(mean_ms)
    requires = (-1,) * k if requires is None else requires
    accuracy = np.array([[accuracy_of(s)] * n_bins for s in range(1 << k)])
    transitions = np.full((1 << k, k, n_bins, n_bins), 1.0 / n_bins, np.float32)
    edges = np.tile(np.linspace(0.2, 0.8, n_bins - 1), (1 << k, 1))
    mean_ms = np.array(mean_ms, float)
    times = StageTimes(mean_ms, mean_ms, np.repeat(mean_ms[:, None], 3, axis=1), np.array([0.5, 0.4, 0.1]), np.zeros(k))
    return Statistics(requires, edges, accuracy, transitions), times


def recursion(statistics, times, price):
    """The recursion of the module, over the same classes of time left, one cell at a time."""
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


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("requires", [(-1, -1), (-1, -1, -1), (-1, 0, -1), (-1, 0, 1)])
@pytest.mark.parametrize("price", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("n_bins", [3, 4])
def test_gains_equal_the_plain_recursion(seed, requires, price, n_bins):
    statistics, times = small_lattice(seed, requires, n_bins)
    edges, value = recursion(statistics, times, price)
    for s, options in backward(statistics, times, np.array([price]), edges, blur=0.0):
        best = np.zeros((n_bins, len(edges))) if s else np.full((n_bins, len(edges)), -np.inf)
        for option in options:
            best[:, option.first_class :] = np.maximum(best[:, option.first_class :], option.gain[:, :, 0])
        stopping = statistics.accuracy[s] if s else np.zeros(n_bins)
        wanted = [[value(s, b if s else 0, r) - stopping[b] for r in range(len(edges))] for b in range(n_bins)]
        assert best == pytest.approx(np.array(wanted), abs=1e-7)


def outlooks_of_every_policy(statistics, times, allowed_ms):
    """Accuracy, time and cost of every deterministic policy over two stages, with the true time left, not its class."""
    for first in (j for j in (0, 1) if times.upper_ms[j] <= allowed_ms + 1e-9):
        second, after = 1 - first, 1 << first
        cells = list(product(range(3), range(statistics.accuracy.shape[1])))
        fits = [times.upper_ms[second] <= allowed_ms - times.atoms_ms[first, atom] + 1e-9 for atom, _ in cells]
        for choice in product(*[(False, True) if fit else (False,) for fit in fits]):
            accuracy, mean_ms, cost = 0.0, times.mean_ms[first], times.costs[first]
            for (atom, b), goes_on in zip(cells, choice, strict=True):
                mass = times.weights[atom] * statistics.transitions[0, first, 0, b]
                if goes_on:
                    accuracy += mass * (statistics.transitions[after, second, b] @ statistics.accuracy[3])
                    mean_ms, cost = mean_ms + mass * times.mean_ms[second], cost + mass * times.costs[second]
                else:
                    accuracy += mass * statistics.accuracy[after, b]
            yield accuracy, mean_ms, cost


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("price", [0.001, 0.05])
def test_no_policy_of_two_stages_is_better_than_the_solved_one(seed, price):
    statistics, times = small_lattice(seed, (-1, -1), n_bins=3)
    solved = solve(statistics, times, np.array([price]), blur=0.0)
    for r, allowed_ms in enumerate(solved.time_edges_ms):
        tried = np.array(list(outlooks_of_every_policy(statistics, times, allowed_ms)))
        if not len(tried):
            continue
        worth = tried[:, 0] - price * tried[:, 1] - times.cost_weight * tried[:, 2]
        found = np.array([solved.accuracy[0, r], solved.mean_ms[0, r], solved.mean_cost[0, r]])
        assert found == pytest.approx(tried[worth.argmax()], abs=1e-6)


def test_without_a_deadline_only_the_one_class_gives_the_same():
    statistics, times = small_lattice(7)
    prices = np.geomspace(1e-4, 1.0, 7)
    everything, unlimited = (
        solve(statistics, times, prices),
        solve(statistics, times, prices, edges_ms=np.array([np.inf])),
    )
    assert np.array_equal(unlimited.actions[:, :, 0], everything.actions[:, :, -1])
    assert unlimited.accuracy[:, 0] == pytest.approx(everything.accuracy[:, -1], abs=1e-12)


def test_parts_of_the_prices_are_solved_as_all_together(monkeypatch):
    statistics, times = small_lattice(8)
    prices = np.geomspace(1e-4, 1.0, 9)
    together = solve(statistics, times, prices)
    monkeypatch.setattr("cascade.core.induction._MAX_CELLS", 1)
    apart = solve(statistics, times, prices)
    assert np.array_equal(apart.actions, together.actions)
    assert apart.mean_ms == pytest.approx(together.mean_ms, abs=1e-12)


def test_no_stage_is_chosen_that_does_not_fit():
    statistics, times = small_lattice(1)
    decisions = solve(statistics, times, np.array([0.01]))
    for r, left_ms in enumerate(decisions.time_edges_ms):
        chosen = np.unique(decisions.actions[:, :, r])
        assert all(times.upper_ms[j] <= left_ms + 1e-9 for j in chosen if j != STOP)


def test_a_stage_that_has_run_is_not_run_again():
    statistics, times = small_lattice(1)
    actions = solve(statistics, times, np.array([1e-4, 0.01])).actions
    for s in range(8):
        assert not any(s >> j & 1 for j in np.unique(actions[s]) if j != STOP)


def test_an_exit_is_never_run_before_the_one_it_continues_from():
    statistics, times = small_lattice(2, requires=(-1, 0, 1))
    actions = solve(statistics, times, np.array([1e-4])).actions
    assert set(np.unique(actions[0])) <= {STOP, 0}
    assert set(np.unique(actions[1])) <= {STOP, 1}


def test_a_stage_that_adds_little_is_skipped():
    statistics, times = sharp_lattice(lambda s: 0.95 if s >> 2 & 1 else 0.6 + 0.01 * (s >> 1 & 1), [1.0, 2.0, 4.0])
    actions = solve(statistics, times, np.array([0.01])).actions[:, 0, -1]
    assert actions[0, 0] == 2
    assert set(actions[1]) == {2}
    assert set(actions[4]) == {STOP}


def test_with_too_little_time_for_the_best_stage_the_next_best_runs():
    statistics, times = sharp_lattice(lambda s: 0.95 if s >> 2 & 1 else 0.6 + 0.1 * (s >> 1 & 1), [1.0, 2.0, 4.0])
    decisions = solve(statistics, times, np.array([0.01]))
    first = {float(t): int(a) for t, a in zip(decisions.time_edges_ms, decisions.actions[0, 0, :, 0], strict=True)}
    assert (first[0.0], first[1.0], first[2.0], first[4.0], first[np.inf]) == (STOP, 0, 1, 2, 2)


def test_where_nothing_fits_the_outlook_is_that_of_the_fastest_stage():
    statistics, times = sharp_lattice(lambda s: 0.5 + 0.2 * (s >> 1 & 1), [1.0, 2.0])
    decisions = solve(statistics, times, np.array([0.001, 0.01]))
    assert decisions.accuracy[:, 0] == pytest.approx([0.5, 0.5])
    assert decisions.mean_ms[:, 0] == pytest.approx([1.0, 1.0])


def test_a_higher_price_never_buys_more_time():
    for seed in range(5):
        statistics, times = small_lattice(seed)
        mean_ms = solve(statistics, times, np.geomspace(1e-4, 1.0, 30)).mean_ms
        # What a tie of 1e-9 can be worth at the smallest step between two prices.
        assert np.all(np.diff(mean_ms, axis=0) <= 1e-4)


def test_a_cost_that_counts_is_avoided():
    statistics, times = sharp_lattice(lambda s: 0.5 + 0.2 * (s >> 1 & 1), [1.0, 1.0])
    priced = StageTimes(times.mean_ms, times.upper_ms, times.atoms_ms, times.weights, np.array([0.0, 10.0]), 0.03)
    assert solve(statistics, times, np.array([0.001])).actions[0, 0, -1, 0] == 1
    assert solve(statistics, priced, np.array([0.001])).actions[0, 0, -1, 0] == 0


@pytest.mark.parametrize("mean_ms", [[1.0, 2.0], [2.0, 1.0]])
def test_ties_go_to_the_faster_stage(mean_ms):
    statistics, times = sharp_lattice(lambda s: 0.7, mean_ms)
    decisions = solve(statistics, times, np.array([0.0]))
    assert decisions.actions[0, 0, -1, 0] == int(np.argmin(mean_ms))
    assert set(np.unique(decisions.actions[1:])) == {STOP}


def test_ties_in_time_go_to_the_cheaper_stage():
    statistics, times = sharp_lattice(lambda s: 0.7, [1.0, 1.0])
    costly_first = StageTimes(times.mean_ms, times.upper_ms, times.atoms_ms, times.weights, np.array([2.0, 1.0]))
    assert solve(statistics, costly_first, np.array([0.0])).actions[0, 0, -1, 0] == 1


def test_every_upper_quantile_begins_a_class_of_its_own_even_where_classes_are_thinned():
    statistics, times = small_lattice(3, requires=(-1,) * 6, n_bins=2)
    edges = time_edges(statistics, times)
    assert len(edges) <= MAX_TIME_CLASSES
    assert edges[0] == 0.0
    assert np.isinf(edges[-1])
    assert np.all(np.diff(edges) > 0.0)
    assert set(times.upper_ms) <= set(edges)


def test_times_that_differ_by_rounding_make_one_class():
    statistics, times = sharp_lattice(lambda s: 0.5, [0.1, 0.2, 0.3])
    assert time_edges(statistics, times).tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, np.inf])


def test_the_blur_averages_and_none_leaves_alone():
    weights = gain_blur(20, 0.05)
    assert weights.sum(axis=1) == pytest.approx(np.ones(20))
    assert weights[10, 10] == weights[10].max() < 1.0
    assert np.array_equal(gain_blur(5, 0.0), np.eye(5))
