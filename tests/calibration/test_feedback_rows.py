import numpy as np
import pytest

from cascade.calibration.feedback_rows import held_out_rows, joined_outcomes
from cascade.core.outcomes import Outcomes


def test_the_share_that_is_held_out_is_the_same_within_every_class():
    labels = np.repeat([0, 1, 2], [300, 90, 30])
    chosen = held_out_rows(labels, 1 / 3, np.random.default_rng(0))
    assert chosen.sum() == 140
    assert np.abs(np.bincount(labels[chosen]) - [100, 30, 10]).max() <= 1


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_any_share_can_be_held_out_and_which_is_drawn(share):
    labels = np.zeros(1000, np.int64)
    one, other = (held_out_rows(labels, share, np.random.default_rng(seed)) for seed in (0, 1))
    assert one.sum() == other.sum() == round(1000 * share)
    assert (one != other).any()


def test_items_of_both_keep_their_labels_where_classes_come_in_another_order():
    first = Outcomes.from_predictions([["a"], ["b"]], [[0.9], [0.8]], ["a", "b"])
    second = Outcomes.from_predictions([["c"], ["b"]], [[0.7], [0.6]], ["c", "a"])
    both = joined_outcomes(first, second)
    assert [both.classes[i] for i in both.labels] == ["a", "b", "c", "a"]
    assert [both.classes[i] for i in both.predicted[:, 0]] == ["a", "b", "c", "b"]
    assert both.confidence[:, 0].tolist() == [0.9, 0.8, 0.7, 0.6]


def test_scores_of_both_are_kept_in_one_order_of_columns():
    probs = np.array([[[0.9, 0.1]], [[0.2, 0.8]]])
    first = Outcomes.from_probs(probs, ["x", "y"], classes=["x", "y"])
    second = Outcomes.from_probs(probs[:, :, ::-1], ["x", "y"], classes=["y", "x"])
    both = joined_outcomes(first, second)
    assert np.allclose(np.exp(both.log_probs[2:]), probs)
    assert both.labels.tolist() == [0, 1, 0, 1]
