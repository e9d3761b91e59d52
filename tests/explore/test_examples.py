"""Examples stand for every path, and are shown as what they are."""

import numpy as np
import pytest
import torch

from cascade.errors import DataError, InputMismatch
from cascade.explore.examples import N_EXAMPLES, chosen_examples, in_short, shown_inputs

pytestmark = pytest.mark.slow


def test_every_path_has_its_share_of_the_examples(ladder):
    result = ladder.policy.replay(ladder.fresh)
    rows = chosen_examples(ladder.policy, ladder.fresh)
    assert len(set(rows.tolist())) == len(rows) <= N_EXAMPLES
    assert set(result.path_index[rows].tolist()) == set(range(len(result.path_counts)))


@pytest.mark.parametrize(
    ("inputs", "kind", "said"),
    [
        (np.zeros((400, 8, 8)), "picture", "data:image/png;base64,"),
        (torch.zeros(400, 3, 8, 8), "picture", "data:image/png;base64,"),
        (np.arange(800.0).reshape(400, 2), "text", "4, 5"),
        ([f"question {i}" for i in range(400)], "text", "question 2"),
    ],
)
def test_inputs_are_shown_as_pictures_numbers_or_texts(ladder, inputs, kind, said):
    (first, _) = shown_inputs(inputs, ladder.fresh, np.array([2, 5]))
    assert first["label"] == str(ladder.fresh.classes[ladder.fresh.labels[2]])
    assert first[kind].startswith(said)


def test_one_input_for_each_item_is_needed(ladder):
    with pytest.raises(DataError, match="expected one input for each of the 400 items of the outcomes, got 399"):
        shown_inputs(np.zeros((399, 8, 8)), ladder.fresh, np.array([0]))
    with pytest.raises(InputMismatch, match="expected a batch of rows"):
        shown_inputs(7, ladder.fresh, np.array([0]))


def test_a_long_text_is_cut():
    assert in_short("word " * 100).endswith("…")
    assert len(in_short("x" * 1000)) == 160
