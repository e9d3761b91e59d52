import numpy as np
import pytest

from cascade.core.records import StageOutput
from cascade.errors import StageOutputError
from cascade.runtime.reader import evidence_reader
from cascade.testing.fakes import FakeStage


def reader(parts, classes=None):
    stages = [FakeStage(name, np.eye(3), classes=classes) for name in parts.policy.stages]
    return evidence_reader(parts.policy.evidence, stages, parts.policy.classes)


def test_one_item_is_read_as_it_is_pooled_in_batches(parts):
    one, evidence = reader(parts), parts.policy.evidence
    state = one.new_state()
    scores = [np.ascontiguousarray(parts.probs[:1, j]) for j in (0, 1)]
    features = np.stack([one.encode(j, scores[j], 1) for j in (0, 1)], axis=1)
    for j, after in ((0, 0b01), (1, 0b11)):
        confidence = one.absorb_one(state, j, after, scores[j])
        probs, wanted = evidence.pool(features, after)
        top, pooled = one.pooled(state)
        assert pooled.tolist() == probs[0].tolist()
        assert (confidence, top) == (wanted[0], probs[0].argmax())


def test_columns_in_another_order_are_put_in_order(parts):
    scores = parts.probs[:5, 0]
    turned = np.ascontiguousarray(scores[:, [2, 0, 1]])
    assert np.allclose(reader(parts, (2, 0, 1)).encode(0, turned, 5), reader(parts).encode(0, scores.copy(), 5))


@pytest.mark.parametrize("scores", [np.full((1, 3), np.nan), np.array([[-1.0, 1.0, 1.0]]), np.zeros((1, 3))])
def test_scores_that_are_no_probabilities_are_refused(parts, scores):
    one = reader(parts)
    with pytest.raises(StageOutputError, match="not finite probabilities"):
        one.encode(0, scores, 1)
    with pytest.raises(StageOutputError):
        one.absorb_one(one.new_state(), 0, 1, scores)


def test_a_wrong_number_of_columns_is_refused(parts):
    with pytest.raises(StageOutputError, match="expected 3 columns"):
        reader(parts).encode(0, np.ones((1, 4)), 1)


def test_a_confidence_outside_its_range_is_refused(parts):
    with pytest.raises(StageOutputError, match=r"confidence of 1.5"):
        reader(parts).encode(0, StageOutput(np.array([1]), np.array([1.5])), 1)


@pytest.mark.parametrize("n_rows", [1, 3])
def test_a_stage_that_drops_or_adds_rows_is_refused(parts, n_rows):
    with pytest.raises(StageOutputError, match=f"{n_rows} rows for a batch of 2"):
        reader(parts).encode(0, np.full((n_rows, 3), 0.3), 2)
    if n_rows > 1:
        one = reader(parts)
        with pytest.raises(StageOutputError, match="3 rows for a batch of 1"):
            one.absorb_one(one.new_state(), 0, 1, np.full((n_rows, 3), 0.3))


def test_something_that_is_no_answer_is_refused(parts):
    one = reader(parts)
    with pytest.raises(StageOutputError, match="returned a list"):
        one.absorb_one(one.new_state(), 0, 1, [[0.1, 0.2, 0.7]])


def test_a_label_never_met_says_nothing(parts):
    encoded = reader(parts).encode(0, StageOutput(np.array(["new"]), np.array([0.9])), 1)
    assert np.ptp(encoded) == 0.0
