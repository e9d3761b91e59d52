from concurrent.futures import Future

import numpy as np
import pytest
from harness.pacing import served_live

from cascade.core.records import Prediction, Status
from cascade.errors import Rejected, StageError
from cascade.simulation.workloads import Workload

IMAGES, LABELS = np.zeros((3, 2)), np.array([0, 1, 1])


class Answers:
    """Answers every request at once with the label 1, or the error that was given for its place."""

    def __init__(self, errors):
        self.errors, self.asked = errors, []

    def submit(self, x, *, deadline_ms, strict):
        future, place = Future(), len(self.asked)
        self.asked.append((deadline_ms, strict))
        if place in self.errors:
            future.set_exception(self.errors[place])
        else:
            future.set_result(prediction(1))
        return future


def prediction(label):
    return Prediction(label, None, 0.9, ("only",), Status.ANSWERED, 50.0, 1.0, 0.0, True)


def workload(budgets):
    n = len(budgets)
    return Workload(
        np.arange(n, dtype=float), np.array(budgets), np.ones(n, np.int64), np.arange(n), np.zeros(n, np.bool_)
    )


def test_a_late_and_a_refused_answer_count_as_wrong():
    # The last budget is over before the request can be sent.
    live = served_live(Answers({1: Rejected("full")}), IMAGES, LABELS, workload([60_000.0, 60_000.0, 1e-9]))
    assert live.is_answered.tolist() == [True, False, True]
    assert live.correct.tolist() == [False, False, True]
    assert live.effective_accuracy == 0.0
    assert live.slo_attainment == pytest.approx(1 / 3)
    assert live.late_share == 0.5


def test_deadlines_count_from_the_instants_of_the_workload():
    answers = Answers({})
    served_live(answers, IMAGES, LABELS, workload([10.0, 20.0, 30.0]), is_strict=True)
    deadlines, strict = zip(*answers.asked, strict=True)
    assert np.diff(deadlines).tolist() == pytest.approx([11.0, 11.0])
    assert strict == (True, True, True)


def test_an_error_that_is_no_refusal_is_raised():
    with pytest.raises(StageError):
        served_live(Answers({0: StageError("broken")}), IMAGES, LABELS, workload([50.0]))
