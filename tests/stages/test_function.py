import numpy as np
import pytest
import torch

from cascade.core.records import StageOutput
from cascade.errors import InputMismatch, StageOutputError
from cascade.stages.stage import Stage


def two_columns(batch):
    return np.stack((batch, -batch), axis=1)


def test_a_callable_returns_logits_unless_it_says_otherwise():
    assert Stage(two_columns).scores == "logits"
    assert Stage(two_columns, scores="probs").scores == "probs"


def test_a_callable_carries_nothing_on():
    scores, carry = Stage(two_columns).run(np.arange(3.0))
    assert scores.tolist() == [[0, 0], [1, -1], [2, -2]]
    assert carry is None


def test_a_callable_may_answer_a_list_of_objects():
    stage = Stage(lambda texts: StageOutput([text.upper() for text in texts], [0.5] * len(texts)))
    output, _ = stage.run(["yes", "no"])
    assert output.outputs.tolist() == ["YES", "NO"]


def test_a_callable_may_return_a_tensor_that_wants_gradients():
    weight = torch.ones(2, requires_grad=True)
    assert Stage(lambda batch: torch.ones(len(batch), 2) * weight).run([1, 2])[0].shape == (2, 2)


def test_a_mapping_from_a_tokenizer_reaches_the_callable():
    stage = Stage(
        lambda encoded: np.stack((encoded["ids"], -encoded["ids"]), axis=1),
        preprocess=lambda texts: {"ids": np.array([len(text) for text in texts])},
    )
    assert stage.run(["a", "bcd"])[0].tolist() == [[1, -1], [3, -3]]


def test_a_vector_of_scores_is_refused():
    with pytest.raises(StageOutputError, match=r"stage 'flat': expected scores of shape \(n, c\)"):
        Stage(lambda batch: batch, name="flat").run(np.zeros(3))


def test_a_table_of_another_width_than_the_classes_is_refused():
    with pytest.raises(StageOutputError, match="one column of scores per class, 3 of them"):
        Stage(two_columns, classes=["a", "b", "c"]).run(np.zeros(3))


def test_what_the_callable_raises_passes_through_untouched():
    error = KeyError("mine")

    def broken(batch):
        raise error

    with pytest.raises(KeyError) as caught:
        Stage(broken).run(np.zeros(3))
    assert caught.value is error


def test_a_batch_without_rows_is_refused():
    with pytest.raises(InputMismatch, match="without axes"):
        Stage(two_columns).run(np.array(1.0))


def test_threads_of_a_callable_can_be_limited():
    stage = Stage(two_columns)
    with stage.limit_threads(3):
        assert stage.threads() == 3
