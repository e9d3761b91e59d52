"""What looks at answers sees those through lanes, too; and how long stages take is noticed on either way."""

import numpy as np
import pytest

from cascade.testing.fakes import FakeStage

PATIENCE_S = 30.0


def test_audits_and_drift_see_answers_through_lanes(serve):
    predictor = serve(audit_fraction=1.0, audit_in_background=False, drift_window=100)
    answers = [future.result(PATIENCE_S) for future in [predictor.submit(row) for row in range(300)]]
    assert predictor.run_audits() == 300
    assert [audit.id for audit in predictor.audits()] == [answer.id for answer in answers]
    assert all(predictor.feedback(answer.id, 0) for answer in answers)
    assert predictor.drift().n_recent == 100


@pytest.mark.parametrize("through_lane", [False, True], ids=["direct", "through a lane"])
def test_stages_that_take_longer_than_profiled_are_noticed(serve, gradual, clock, through_lane):
    slow = [
        FakeStage(name, gradual.probs[:, j], 2.0 * (1.0 + 9.0 * j), clock) for j, name in enumerate(("weak", "strong"))
    ]
    predictor = serve(stages=slow)
    rng = np.random.default_rng(0)
    for row in rng.integers(400, size=400):
        if through_lane:
            predictor.submit(int(row)).result(PATIENCE_S)
        else:
            predictor.predict(int(row))
    (factor,) = predictor.stats().slowdown["weak"]
    assert factor == pytest.approx(2.0, rel=0.1)
    # Of the time left only half is worth planning with now.
    assert predictor._engine.lanes[0].slowdown == pytest.approx(2.0, rel=0.1)


def test_a_direct_call_plans_with_the_time_that_is_really_there(serve, gradual, clock):
    """Both stages fit 15 ms as profiled; with everything twice as slow the strong one does not."""
    row = next(row for row in range(400) if len(serve().predict(row, budget_ms=15.0).path) == 2)
    predictor = serve()
    predictor._engine.lanes[0].slowdown = 2.0
    answer = predictor.predict(row, budget_ms=15.0)
    assert len(answer.path) == 1
    assert answer.in_time


def test_stages_as_profiled_leave_the_direct_path_alone(serve):
    predictor = serve()
    for row in range(200):
        predictor.predict(row)
    assert predictor._engine.lanes[0].slowdown == 1.0


def test_decisions_can_be_looked_at(serve):
    predictor = serve()
    predictor.submit(1).result(PATIENCE_S)
    kinds = [type(command).__name__ for _, command in predictor.decisions()]
    assert kinds[0] == "Run"
    assert kinds[-1] == "Answer"
