from types import SimpleNamespace

import numpy as np
import pytest

from cascade.runtime.joining import InputBuffers, alike, joined_carry
from cascade.testing.fakes import FakeExit

torch = pytest.importorskip("torch")

ROWS = {
    "arrays": lambda i: np.full((1, 3), i, np.float32),
    "tensors": lambda i: torch.full((1, 3), float(i)),
    "lists": lambda i: [i],
}


def asking(batch, carries=None):
    return SimpleNamespace(batch=batch, carries=carries)


def values(batch):
    return [float(np.asarray(row).ravel()[0]) for row in batch]


@pytest.mark.parametrize("kind", ROWS)
def test_rows_are_joined_in_their_order(kind):
    joined = InputBuffers(1, 4).join(0, [ROWS[kind](i) for i in (3, 1, 2)])
    assert values(joined) == [3, 1, 2]


@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_the_same_memory_is_used_again_by_one_stage_and_never_by_another(kind):
    buffers, rows = InputBuffers(2, 4), [ROWS[kind](i) for i in range(4)]
    first, second, other = (buffers.join(j, rows[:n]) for j, n in ((0, 3), (0, 2), (1, 2)))
    assert np.shares_memory(np.asarray(first), np.asarray(second))
    assert not np.shares_memory(np.asarray(first), np.asarray(other))
    assert not np.shares_memory(np.asarray(first), np.asarray(rows[0]))


def test_a_single_row_is_not_copied():
    row = ROWS["arrays"](1)
    assert InputBuffers(1, 4).join(0, [row]) is row


def test_memory_that_was_given_away_is_not_written_again():
    buffers = InputBuffers(1, 4)
    kept = buffers.join(0, [ROWS["arrays"](i) for i in range(3)])
    buffers.give_away(0)
    buffers.join(0, [ROWS["arrays"](i + 10) for i in range(3)])
    assert values(kept) == [0, 1, 2]


def test_a_batch_beyond_the_limit_gets_memory_of_its_own():
    buffers = InputBuffers(1, 2)
    assert len(buffers.join(0, [ROWS["arrays"](i) for i in range(3)])) == 3


def test_rows_of_another_shape_or_dtype_get_another_buffer():
    buffers = InputBuffers(1, 4)
    buffers.join(0, [ROWS["arrays"](i) for i in range(2)])
    wide = buffers.join(0, [np.zeros((1, 5)), np.ones((1, 5))])
    assert (wide.shape, wide.dtype) == ((2, 5), np.float64)
    ints = buffers.join(0, [np.zeros((1, 5), np.int64), np.ones((1, 5), np.int64)])
    assert ints.dtype == np.int64


def test_a_tensor_that_records_gradients_is_joined_without_them():
    rows = [torch.ones((1, 3), requires_grad=True), torch.ones((1, 3))]
    assert not InputBuffers(1, 4).join(0, rows).requires_grad


def test_requests_are_alike_by_kind_shape_and_dtype():
    batches = [
        np.zeros((1, 3)),
        np.zeros((1, 4)),
        np.zeros((1, 3)),
        np.zeros((1, 3), np.int64),
        ["a"],
        torch.zeros(1, 3),
    ]
    assert alike([asking(batch) for batch in batches]) == [[0, 2], [1], [3], [4], [5]]
    assert alike([asking(np.full((1, 2), i)) for i in range(3)]) == [[0, 1, 2]]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (1,)])
def test_carries_of_several_batches_are_put_together_in_the_order_of_the_requests(order):
    stage = FakeExit("first", np.eye(10), requires=None)
    earlier, later = np.array([5, 6]), np.array([7, 8])
    members = [asking(None, {0: held}) for held in ((earlier, 0), (later, 1), (earlier, 1), (later, 0))]
    expected = np.array([5, 8, 6, 7])[list(order)]
    np.testing.assert_array_equal(joined_carry(stage, 0, [members[i] for i in order]), expected)


def test_rows_of_one_batch_that_follow_each_other_are_taken_at_once():
    class Counted(FakeExit):
        n_taken = 0

        def take(self, carry, rows):
            self.n_taken += 1
            return super().take(carry, rows)

    stage, carry = Counted("first", np.eye(10), requires=None), np.arange(4)
    joined_carry(stage, 0, [asking(None, {0: (carry, i)}) for i in (0, 2, 3)])
    assert stage.n_taken == 1


def test_without_the_carry_of_everybody_the_batch_starts_from_the_input():
    stage = FakeExit("first", np.eye(10), requires=None)
    assert joined_carry(stage, 0, [asking(None, {0: (np.arange(2), 0)}), asking(None)]) is None
    assert joined_carry(stage, -1, [asking(None)]) is None
