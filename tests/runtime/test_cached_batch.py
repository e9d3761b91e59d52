"""Many rows with a cache: which are run, which are waited for, and that none is left half-way."""

import numpy as np
import pytest

from cascade.caching.flight import Lead
from cascade.caching.result_cache import ResultCache
from cascade.core.rows import n_rows
from cascade.errors import EmptyBatch
from cascade.runtime.cached_batch import items_of, once
from cascade.testing.fakes import FakeStage


def test_rows_are_what_predict_would_get():
    assert items_of([1, "a"]) == [1, "a"]
    assert [row.tolist() for row in items_of(np.eye(2))] == [[1.0, 0.0], [0.0, 1.0]]
    assert items_of({"text": ["a", "b"]}) is None


def test_tensors_are_taken_apart_as_well():
    torch = pytest.importorskip("torch")
    assert [row.tolist() for row in items_of(torch.eye(2))] == [[1.0, 0.0], [0.0, 1.0]]


def test_what_is_made_once_is_not_made_before():
    made = []
    get = once(lambda: made.append(1) or len(made))
    assert made == []
    assert (get(), get(), made) == (1, 1, [1])


@pytest.fixture
def cache():
    return ResultCache()


@pytest.fixture
def stages(gradual, clock):
    def answers(j):
        return lambda batch: gradual.probs[np.asarray(batch).reshape(n_rows(batch), -1)[:, 0].astype(int), j]

    return [
        FakeStage(name, answers(j), 1.0 + 9.0 * j, clock, version=name) for j, name in enumerate(("weak", "strong"))
    ]


def images(rows):
    return np.repeat(np.array(rows, np.float32)[:, None], 4, axis=1)


def test_a_row_and_the_same_item_alone_are_one_input(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache)
    batch = images([3, 4])
    answers = predictor.predict_batch(batch)
    for i in range(2):
        for x in (batch[i], batch[i].copy(), np.ascontiguousarray(batch[i])):
            answer = predictor.predict(x)
            assert (answer.from_cache, answer.confidence) == (True, answers.confidence[i])
    assert predictor.predict_batch(np.asfortranarray(batch)).from_cache.all()
    assert not predictor.predict_batch(batch.astype(np.float64)).from_cache.any()


def test_an_array_that_is_changed_after_the_call_is_not_mixed_up(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache)
    batch = images([3, 4, 5])
    first = predictor.predict_batch(batch)
    batch[:] = images([5, 6, 3])
    second = predictor.predict_batch(batch)
    assert second.from_cache.tolist() == [True, False, True]
    assert second.confidence[[0, 2]].tolist() == first.confidence[[2, 0]].tolist()
    expected = serve(stages=stages).predict_batch(images([6]))
    assert second.confidence[1] == expected.confidence[0]


def test_rows_that_change_while_stages_run_are_not_kept(serve, gradual, clock, cache):
    batch = images([3, 4])

    def treacherous(rows):
        said = gradual.probs[rows[:, 0].astype(int), 0]
        batch[0] = 9.0
        return said

    stages = [
        FakeStage("weak", treacherous, 1.0, clock, version="weak"),
        FakeStage("strong", lambda rows: gradual.probs[rows[:, 0].astype(int), 1], 10.0, clock, version="strong"),
    ]
    predictor = serve(stages=stages, cache=cache)
    predictor.predict_batch(batch, budget_ms=3.0)
    assert (cache.stats().entries, cache.stats().declined) == (1, 1)
    assert not predictor.predict_batch(images([9])).from_cache.any()


def test_an_empty_batch_is_refused(serve, stages, cache):
    with pytest.raises(EmptyBatch):
        serve(stages=stages, cache=cache).predict_batch(images([]).reshape(0, 4))


def test_a_call_whose_rows_are_all_known_takes_no_lane_and_makes_no_batch(serve, stages, cache):
    n_calls = []

    def preprocess(batch):
        n_calls.append(len(batch))
        return batch

    predictor = serve(stages=stages, cache=cache, preprocess=preprocess)
    predictor.predict_batch(images(range(20)))
    with predictor._engine.lane(0.0):
        answers = predictor.predict_batch(images(range(19, -1, -1)), budget_ms=0.0)
    assert answers.from_cache.all()
    assert n_calls == [20]
    assert predictor.stats().n_requests == 40


def test_only_unknown_rows_are_preprocessed(serve, stages, cache):
    seen = []
    predictor = serve(stages=stages, cache=cache, preprocess=lambda batch: seen.append(batch[:, 0].tolist()) or batch)
    predictor.predict_batch(images([1, 3]))
    predictor.predict_batch(images([0, 1, 2, 3, 2]))
    assert seen == [[1.0, 3.0], [0.0, 2.0]]


def test_calls_longer_than_a_wave_keep_every_row(serve, stages, cache, gradual):
    rows = np.random.default_rng(0).integers(0, 400, 3000)
    predictor = serve(stages=stages, cache=cache)
    expected = serve(stages=stages).predict_batch(images(range(400)))
    for _ in range(2):
        answers = predictor.predict_batch(images(rows))
        assert answers.labels.tolist() == expected.labels[rows].tolist()
        assert sum(answers.path_counts.values()) == 3000
    assert answers.from_cache.all()
    assert cache.stats().entries == len(np.unique(rows))
    assert cache.stats().lookups == 2 * len(np.unique(rows))


def test_rows_that_got_no_evidence_are_not_kept(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache)
    answers = predictor.predict_batch(images([3, 4]), budget_ms=0.5, infeasible="prior")
    assert dict(answers.path_counts) == {(): 2}
    assert cache.stats().entries == 0
    key = cache.key(images([3])[0], cache.scope(None, predictor._server._version))
    turn = cache.enter(key)
    assert isinstance(turn, Lead)
    turn.fail()
