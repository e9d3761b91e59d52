"""What a stage asks of its own predictor runs on the lane that the stage runs on."""

from threading import Thread, get_ident

import numpy as np
import pytest

from cascade.runtime.nesting import HeldLanes
from cascade.testing.fakes import FakeStage

PATIENCE_S = 30.0


@pytest.fixture
def lane(serve):
    return serve()._engine.lanes[0]


def test_a_thread_finds_the_lane_that_it_is_on_and_giving_it_back_frees_nothing(lane):
    held = HeldLanes([lane])
    assert held.nested() is None
    assert lane.take(False)
    with held.on(lane):
        nested = held.nested()
        nested.release()
        assert not lane.take(False)
        assert (nested.number, nested.counters, nested.is_claimed) == (lane.number, lane.counters, False)
        others = []
        thread = Thread(target=lambda: others.append(held.nested()))
        thread.start()
        thread.join(PATIENCE_S)
        assert others == [None]
    assert held.nested() is None
    lane.release()


def test_lanes_are_found_from_the_inside_out(lane, serve):
    held, other = HeldLanes([lane]), serve(lanes=2)._engine.lanes[1]
    with held.on(lane):
        with held.on(other):
            assert held.nested().number == 1
        assert held.nested().number == 0


def test_a_thread_that_answers_one_item_is_noted_on_the_lane(lane):
    held = HeldLanes([lane])
    lane.caller = get_ident()
    assert held.nested().number == lane.number
    lane.caller = None
    assert held.nested() is None


@pytest.mark.parametrize(
    "ask", [lambda predictor: predictor.predict(3), lambda predictor: predictor.predict_batch(np.array([3, 4]))]
)
def test_a_stage_that_asks_its_own_predictor_does_not_wait_for_itself_without_a_cache(serve, gradual, clock, ask):
    inner = []

    def asking(batch):
        if not inner:
            inner.append(None)
            inner.append(predictor.predict(5, budget_ms=5.0).label)
        return gradual.probs[np.asarray(batch, int), 0]

    stages = [FakeStage("weak", asking, 1.0, clock), FakeStage("strong", gradual.probs[:, 1], 10.0, clock)]
    predictor = serve(stages=stages)
    outcome = []
    thread = Thread(target=lambda: outcome.append(ask(predictor)), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert outcome
    assert inner[1] is not None
