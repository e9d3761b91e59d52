import numpy as np
import pytest

from cascade.core.records import Status
from cascade.runtime.answers import answers_of, prediction_of
from cascade.runtime.ready import INFINITE, ReadyPolicy
from cascade.runtime.row_states import Rows
from cascade.runtime.single import Request, Terms
from cascade.runtime.walk import Walk


def rows_of(n):
    return Rows(
        np.arange(n) % 3,
        np.linspace(0.5, 1.0, n),
        np.full((n, 3), 1 / 3),
        np.zeros(n, np.int64),
        np.ones(n, np.int64),
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
    )


def request(deadline_ms=INFINITE, abstain_below=0.0):
    return Request(0.0, deadline_ms, deadline_ms, Terms("fastest", abstain_below))


@pytest.fixture
def ready(parts, stages):
    return ReadyPolicy(parts.policy, stages)


def test_a_walk_without_evidence_answers_the_prior(ready, clock):
    answer = prediction_of(
        Walk(ready, np.array([0]), 1.0), ready, request(1.0), postprocess=None, now=clock.now_ms, wait_ms=0.25
    )
    assert answer.probs.tolist() == ready.prior.tolist()
    assert (answer.path, answer.budget_ms, answer.queue_wait_ms) == ((), 1.0, 0.25)


def test_an_answer_after_its_deadline_is_late(ready, clock):
    clock.wait(2.0)
    assert not answers_of(rows_of(3), ready, request(1.0), postprocess=None, now=clock.now_ms).in_time.any()


def test_unsure_rows_have_no_label_and_are_not_postprocessed(ready, clock):
    seen = []
    answers = answers_of(
        rows_of(3),
        ready,
        request(abstain_below=0.7),
        postprocess=lambda label: seen.append(label) or label,
        now=clock.now_ms,
    )
    assert answers.labels.tolist() == [None, 1, 2]
    assert answers.status[0] is Status.ABSTAINED
    assert seen == [1, 2]
    assert answers.status_counts == {"answered": 2, "abstained": 1}


def test_rows_without_a_stage_name_none(ready, clock):
    rows = rows_of(2)
    rows.last_stage[1], rows.trace[1] = -1, 0
    answers = answers_of(rows, ready, request(), postprocess=None, now=clock.now_ms)
    assert answers.stage.tolist() == ["weak", ""]
    assert dict(answers.path_counts) == {("weak",): 1, (): 1}
    assert len(answers) == 2


def test_what_is_shown_of_the_answers_of_a_call_is_one_line(ready, clock):
    answers = answers_of(rows_of(3), ready, request(1.0), postprocess=None, now=clock.now_ms)
    assert repr(answers) == "BatchPrediction(3 rows in 0 ms; weak 3)"
