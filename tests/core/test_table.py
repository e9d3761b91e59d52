"""Looking decisions up: intervals of confidence, chains, and both forms of the table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cascade.core.induction import STOP, Statistics, solve
from cascade.core.table import STOP_BYTE, DecisionTable, Lookup, chain_table, decision_table, table_actions, table_edges
from cascade.core.times import StageTimes


def lattice(seed, k=3, n_bins=6):
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.random((1 << k, n_bins - 1)), axis=1)
    accuracy = np.sort(rng.random((1 << k, n_bins)), axis=1)
    # Moves that depend smoothly on the bin, so that thresholds are where they should be.
    apart = np.subtract.outer(np.arange(n_bins), np.arange(n_bins))
    moves = np.exp(-0.3 * apart**2) * rng.uniform(0.5, 1.5, (1 << k, k, 1, n_bins))
    statistics = Statistics((-1,) * k, edges, accuracy, (moves / moves.sum(axis=3, keepdims=True)).astype(np.float32))
    mean_ms = rng.uniform(1.0, 5.0, k)
    atoms = mean_ms[:, None] * np.array([0.8, 1.1, 1.6])
    return statistics, StageTimes(mean_ms, mean_ms * 1.7, atoms, np.array([0.5, 0.4, 0.1]), np.zeros(k))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("price", [0.001, 0.02])
def test_between_two_bins_with_one_action_the_table_has_that_action(seed, price):
    statistics, times = lattice(seed)
    solved = solve(statistics, times, np.array([price])).actions[:, 0]
    table = decision_table(statistics, times, price)
    n_parts = (table.actions.shape[2] - 2) // (statistics.accuracy.shape[1] - 1)
    for s in range(1, 7):
        assert np.array_equal(table.actions[s, :, 0], solved[s, :, 0])
        assert np.array_equal(table.actions[s, :, -1], solved[s, :, -1])
        for b in range(solved.shape[2] - 1):
            alike = solved[s, :, b] == solved[s, :, b + 1]
            cells = table.actions[s, alike, 1 + b * n_parts : 1 + (b + 1) * n_parts]
            assert np.all(cells == solved[s, alike, b][:, None])


@pytest.mark.parametrize("seed", range(3))
def test_prices_that_are_solved_together_are_decided_as_one_by_one(seed):
    statistics, times = lattice(seed)
    prices = np.array([0.0, 0.001, 0.02, 0.3])
    tables = [decision_table(statistics, times, price) for price in prices]
    together = table_actions(statistics, times, prices, tables[0].time_edges_ms)
    unhurried = table_actions(statistics, times, prices, np.array([np.inf]))
    assert len({table.actions.tobytes() for table in tables}) >= 3
    for i, table in enumerate(tables):
        assert np.array_equal(together[i], table.actions)
        assert np.array_equal(unhurried[i, :, 0], table.actions[:, -1])
        assert np.array_equal(table_edges(statistics), table.edges)


def test_a_threshold_lies_where_two_straight_lines_cross():
    # Stopping is worth the confidence itself, going on 0.8 whatever the confidence: they cross at 0.8 - price * time.
    n_bins = 8
    middles = (np.arange(n_bins) + 0.5) / n_bins
    edges = np.tile(np.arange(1, n_bins) / n_bins, (4, 1))
    accuracy = np.stack([middles, middles, middles, np.full(n_bins, 0.8)])
    flat = np.full((4, 2, n_bins, n_bins), 1.0 / n_bins, np.float32)
    statistics = Statistics((-1, -1), edges, accuracy, flat)
    one = np.ones((2, 3))
    times = StageTimes(np.ones(2), np.ones(2), one, np.array([0.5, 0.4, 0.1]), np.zeros(2))
    for price in (0.05, 0.08, 0.1, 0.13):
        low, action = decision_table(statistics, times, price, blur=0.0).intervals(1, np.inf)[-1]
        assert action == STOP
        # Half an interval between two middles, of which there are four.
        assert low == pytest.approx(0.8 - price, abs=0.5 / n_bins / 4 + 1e-6)


@st.composite
def tables(draw):
    k, n_classes, n_cells = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(2, 6))
    edges_ms = np.unique(draw(st.lists(st.floats(0.0, 1e4), min_size=n_classes, max_size=n_classes)))
    edges_ms = np.concatenate([np.unique([0.0, *edges_ms]), [np.inf]])
    edges = np.sort(draw(arrays.arrays(float, (1 << k, n_cells - 1), elements=st.floats(0.0, 1.0))), axis=1)
    actions = draw(arrays.arrays(np.int8, (1 << k, len(edges_ms), n_cells), elements=st.integers(STOP, k - 1)))
    return DecisionTable(edges_ms, edges, actions, draw(st.sampled_from([0.0, 1e-6])))


@given(table=tables(), data=st.data())
def test_the_fast_look_up_equals_the_table(table, data):
    lookup = Lookup(table)
    s = data.draw(st.integers(0, table.edges.shape[0] - 1))
    at_an_edge = st.sampled_from([*table.edges[s].tolist(), *(table.edges[s] - table.slack).tolist()])
    confidence = data.draw(st.floats(0.0, 1.0) | at_an_edge)
    near = [float(edge + shift) for edge in table.time_edges_ms for shift in (0.0, 1e-9, -1e-9)]
    left_ms = data.draw(st.floats(-1e5, 1e5) | st.sampled_from(near))
    found = lookup.action(s, confidence, left_ms)
    expected = int(table.actions_of(s, np.array([confidence]), np.array([left_ms]))[0])
    assert (STOP if found == STOP_BYTE else found) == expected == table.action(s, confidence, left_ms)


def test_intervals_merge_neighbours_with_one_action():
    actions = np.array([[[0, 0, 0, 0]], [[1, 1, STOP, STOP]]], np.int8)
    table = DecisionTable(np.array([np.inf]), np.array([[0.2, 0.5, 0.7]] * 2), actions)
    assert table.intervals(0, 1.0) == [(0.0, 0)]
    assert table.intervals(1, 1.0) == [(0.0, 1), (0.5, STOP)]


def chain(thresholds=(0.8, 0.6), upper_ms=(1.0, 4.0, 10.0)):
    upper = np.array(upper_ms)
    atoms = np.repeat(upper[:, None], 3, axis=1)
    return chain_table(thresholds, StageTimes(upper, upper, atoms, np.array([0.5, 0.4, 0.1]), np.zeros(len(upper))))


@pytest.mark.parametrize(
    ("done", "confidence", "left_ms", "action"),
    [
        (0b000, 0.0, 1.0, 0),
        (0b000, 0.0, 0.9, STOP),
        (0b001, 0.79, 4.0, 1),
        (0b001, 0.79, 3.9, STOP),
        (0b001, 0.8, 4.0, STOP),
        (0b001, float(np.float32(0.8)) - 1e-8, 4.0, STOP),
        (0b011, 0.59, 10.0, 2),
        (0b011, 0.6, 10.0, STOP),
        (0b111, 0.0, np.inf, STOP),
    ],
)
def test_a_chain_goes_on_below_its_threshold_and_only_where_the_next_stage_fits(done, confidence, left_ms, action):
    table = chain()
    assert table.action(done, confidence, left_ms) == action
    assert Lookup(table).action(done, confidence, left_ms) == action & 0xFF


def test_the_thresholds_of_a_chain_read_as_they_were_given():
    assert chain().intervals(0b001, np.inf) == [(0.0, 1), (0.8, STOP)]


def test_a_chain_of_one_stage_runs_it_and_answers():
    table = chain((), (2.0,))
    assert [table.action(0, 0.0, 2.0), table.action(0, 0.0, 1.0), table.action(1, 0.0, 9.0)] == [0, STOP, STOP]
