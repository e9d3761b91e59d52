"""The worst over all that may happen, against walks by hand."""

import numpy as np
import pytest

from cascade.core.envelope import possible_actions, reach_of
from cascade.core.fit_kernels import worst_losses
from cascade.core.induction import STOP
from cascade.core.table import DecisionTable

RNG = np.random.default_rng(0)
K, N_SETS = 3, 8


def worst_by_hand(cells, losses, actions, evidence_set=0):
    """The largest loss from one set on, for one item."""
    may = int(actions[evidence_set, cells[evidence_set]])
    found = [losses[evidence_set]] if may >> K & 1 else []
    found += [worst_by_hand(cells, losses, actions, evidence_set | 1 << j) for j in range(K) if may >> j & 1]
    return max(found)


def some_actions(n_steps, n_cells):
    """Random masks that only run stages not run yet, always answer from all stages, and grow along the path."""
    masks = RNG.integers(0, 1 << (K + 1), (n_steps, N_SETS, n_cells))
    for s in range(N_SETS):
        masks[:, s] &= ~s
        masks[:, s] |= (1 << K) if s == N_SETS - 1 else np.where(masks[:, s] & ~(1 << K), 0, 1 << K)
    masks[:, 0] &= ~(1 << K)
    masks[:, 0] |= 1
    return np.bitwise_or.accumulate(masks, axis=0).astype(np.int32)


def test_the_kernel_finds_what_walking_every_path_finds():
    actions = some_actions(4, 5)
    cells = RNG.integers(0, 5, (200, N_SETS)).astype(np.int32)
    losses = RNG.integers(-1, 2, (200, N_SETS)).astype(np.int8)
    worst = np.empty((200, 4), np.int8)
    sets = np.array(sorted(range(N_SETS), key=lambda s: (s.bit_count(), s)))
    worst_losses(cells, losses, actions, sets, K, worst)
    by_hand = [[worst_by_hand(cells[i], losses[i], masks) for masks in actions] for i in range(200)]
    assert worst.tolist() == by_hand
    assert len(np.unique(worst)) == 3


def table_of(actions):
    return DecisionTable(np.array([0.0, 1.0, 4.0, np.inf]), np.full((2, 1), 0.5), np.array(actions, np.int8))


def test_every_time_left_from_the_floor_up_may_come():
    # Two sets of one stage: after it, little time stops and much time would run it again, to tell the two apart.
    after = [[STOP, STOP], [STOP, 0], [0, STOP], [0, 0]]
    table = table_of([[[0, 0]] * 4, after])
    assert possible_actions(table, np.array([9.0, 2.0]), 0)[1].tolist() == [0b11, 0b11]
    assert possible_actions(table, np.array([9.0, 4.0]), 0)[1].tolist() == [0b01, 0b11]
    assert possible_actions(table, np.array([9.0, np.inf]), 0)[1].tolist() == [0b01, 0b01]
    assert possible_actions(table, np.array([9.0, -3.0]), 0)[1].tolist() == [0b11, 0b11]


def test_where_nothing_fits_the_fastest_stage_answers_late():
    table = table_of([[[STOP, STOP], [0, 0], [0, 0], [0, 0]], [[STOP, STOP]] * 4])
    assert possible_actions(table, np.array([0.0, 0.0]), 0)[0].tolist() == [0b01, 0b01]


def test_a_path_only_ever_adds():
    first, second = np.array([[1, 1], [2, 2]], np.int32), np.array([[1, 1], [1, 2]], np.int32)
    reach = reach_of([[first], [second, second]], table_of([[[0, 0]] * 4] * 2), (-1,))
    assert reach.actions.tolist() == [[[1, 1], [2, 2]], [[1, 1], [3, 2]]]


@pytest.mark.parametrize(("confidence", "loss"), [(0.4, 1), (0.6, 0)])
def test_the_interval_of_the_confidence_says_what_may_happen(confidence, loss):
    # Below one half the second stage may be left out, which is a loss; above it always runs.
    masks = np.array([[1, 1], [0b110, 0b010], [0b100, 0b100], [0b100, 0b100]], np.int32)
    table = DecisionTable(np.array([0.0, np.inf]), np.full((4, 1), 0.5), np.zeros((4, 2, 2), np.int8))
    reach = reach_of([[masks]], table, (-1, -1))
    worst = reach.worst(np.array([[0.0, confidence, 0.0, 0.9]]), np.array([[0, 1, 0, 0]], np.int8))
    assert worst.tolist() == [[loss]]
