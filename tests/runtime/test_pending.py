from dataclasses import replace

import numpy as np
import pytest

from cascade.core.guarantee import Guarantee
from cascade.errors import Expired, Rejected, Shed, StageError
from cascade.runtime.pending import Pending, Refused
from cascade.runtime.ready import INFINITE, ReadyPolicy
from cascade.runtime.receivers import Sleeper
from cascade.runtime.refusals import error_of
from cascade.runtime.single import Request, Terms
from cascade.scheduling.messages import Priority

PROMISE = Guarantee(0.02, "error", None, 0.1, 0.05, "exact", 500, None, 20.0, None, (0.02,), 0.05, 1)


@pytest.fixture
def ask(parts, stages):
    def ask(guarantee=None, budget_ms=50.0, start_ms=0.0):
        policy = replace(parts.policy, guarantee=guarantee)
        deadline_ms = start_ms + budget_ms
        request = Request(start_ms, deadline_ms, deadline_ms, Terms("fastest", 0.0), 7)
        return Pending(
            ReadyPolicy(policy, stages),
            np.array([3]),
            request,
            priority=Priority.NORMAL,
            due_ms=deadline_ms,
            receiver=Sleeper(),
        )

    return ask


def hear(pending, parts, j):
    pending.read(j, parts.probs[3:4, j].copy())
    pending.commit(j)


def test_what_was_read_counts_only_once_it_is_committed(ask, parts):
    pending = ask()
    hear(pending, parts, 0)
    before = (pending.evidence_set, pending.confidence, pending.state.copy())
    pending.read(1, parts.probs[3:4, 1].copy())
    assert (pending.evidence_set, pending.confidence) == before[:2]
    np.testing.assert_array_equal(pending.state, before[2])
    pending.commit(1)
    assert (pending.evidence_set, pending.path) == (0b11, ("weak", "strong"))


def test_an_answer_is_certified_if_every_decision_was_within_the_guarantee(ask, parts):
    pending = ask(PROMISE)
    pending.decide(0.02, 0.0)
    assert not pending.is_certified
    hear(pending, parts, 0)
    pending.decide(0.0, 1.0)
    assert pending.is_certified


@pytest.mark.parametrize(
    ("price", "now_ms"), [(0.03, 0.0), (0.0, 31.0)], ids=["a price above the certified one", "too little time left"]
)
def test_one_decision_beyond_the_guarantee_is_enough_to_lose_it(ask, parts, price, now_ms):
    pending = ask(PROMISE)
    pending.decide(price, now_ms)
    hear(pending, parts, 0)
    pending.decide(0.0, now_ms)
    assert not pending.is_certified


def test_after_a_stage_less_time_is_asked_for(ask, parts):
    """With the weak stage's upper quantile of 1 ms gone, 19 ms are as much as was certified, and 18.9 are not."""
    for left_ms, expected in ((19.0, True), (18.9, False)):
        pending = ask(PROMISE)
        pending.decide(0.0, 0.0)
        hear(pending, parts, 0)
        pending.decide(0.0, 50.0 - left_ms)
        assert pending.is_certified is expected


def test_a_fault_and_another_budget_lose_the_guarantee(ask, parts):
    broken, short = ask(PROMISE), ask(PROMISE, budget_ms=19.0)
    broken.note_fault(StageError("x"))
    for pending in (broken, short):
        pending.decide(0.0, 0.0)
        hear(pending, parts, 0)
        assert not pending.is_certified


def test_without_a_guarantee_nothing_is_certified(ask, parts):
    pending = ask()
    pending.decide(0.0, 0.0)
    hear(pending, parts, 0)
    assert not pending.is_certified


def test_the_wait_is_from_the_call_to_the_first_run(ask):
    pending = ask(start_ms=2.0)
    pending.stopped_ms = 9.0
    assert pending.queue_wait_ms == 7.0
    pending.started_ms = 5.0
    assert pending.queue_wait_ms == 3.0


@pytest.mark.parametrize(
    ("reason", "kind", "advice"),
    [
        ("rejected", Rejected, "add lanes"),
        ("shed", Shed, "on_overload='degrade'"),
        ("expired", Expired, "infeasible='prior'"),
    ],
)
def test_a_refusal_says_what_happened_and_what_to_do(ask, reason, kind, advice):
    pending = ask()
    pending.stopped_ms = 12.5
    error = error_of(pending, Refused(reason, "that is why", 17, 0.125))
    assert type(error) is kind
    assert advice in str(error)
    assert "that is why" in str(error)
    for part in ("a budget of 50 ms", "after 12.5 ms", "17 requests wait", "price of 0.125"):
        assert part in str(error)


def test_a_late_refusal_is_a_timeout(ask):
    assert isinstance(error_of(ask(), Refused("expired", "")), TimeoutError)
    assert "no deadline" in str(error_of(ask(budget_ms=INFINITE), Refused("expired", "")))


def test_when_every_stage_failed_the_last_failure_is_the_cause(ask):
    pending, fault = ask(), StageError("broken")
    pending.note_fault(fault)
    error = error_of(pending, Refused("failed", "none is left"))
    assert isinstance(error, StageError)
    assert error.__cause__ is fault
