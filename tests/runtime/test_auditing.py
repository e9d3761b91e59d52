import numpy as np
import pytest

from cascade.core.records import Prediction, Status
from cascade.errors import ConfigurationError
from cascade.runtime.auditing import AuditSettings, auditor_of
from cascade.runtime.ready import INFINITE, ReadyPolicy
from cascade.runtime.single import Request, Terms
from cascade.runtime.starting import LaneSettings, engine_for
from cascade.runtime.walk import Walk
from cascade.telemetry.counters import Counters
from cascade.testing.fakes import FakeExit
from cascade.testing.faults import FailingStage, NanStage


class Asked:
    """An auditor that is shown answered requests, without a predictor around it."""

    def __init__(self, parts, stages, clock, fraction=1.0, capacity=100, seed=0):
        self.counters, self.ready = Counters(), ReadyPolicy(parts.policy, stages)
        self.engine = engine_on(stages, parts.policy, clock)
        self.auditor = auditor_of(self.engine, self.counters, AuditSettings(fraction, capacity, seed, False))

    def answer(self, number, batch=None):
        batch = np.array([number]) if batch is None else batch
        request = Request(0.0, INFINITE, INFINITE, Terms("fastest", 0.0), number)
        answer = Prediction(0, None, 0.9, ("weak",), Status.ANSWERED, None, 1.0, 0.0, True, id=number)
        with self.counters.lock:
            self.auditor.see_one(batch, Walk(self.ready, batch, INFINITE), request, answer)

    @property
    def stats(self):
        return Counters.total([self.counters, *(lane.counters for lane in self.engine.lanes)]).snapshot()

    def ids(self):
        return [audit.id for audit in self.auditor.audits()]


def engine_on(stages, policy, clock):
    return engine_for(stages, policy, LaneSettings(1, 32, 1024, 0.8, 1.0, "degrade"), threads=1, clock=clock)


@pytest.fixture
def asked(parts, stages, clock):
    return Asked(parts, stages, clock)


def test_every_stage_runs_for_an_audited_request_and_only_once_it_is_asked_to(asked, stages):
    asked.answer(3)
    assert [stage.batch_sizes for stage in stages] == [[], []]
    assert asked.auditor.run_all() == 1
    assert [stage.batch_sizes for stage in stages] == [[1], [1]]
    assert asked.stats.n_audited == 1


def test_requests_are_drawn_with_the_stated_probability(parts, stages, clock):
    """Four standard errors of 4,000 draws at 5 %; the gaps between them are those of independent draws."""
    asked = Asked(parts, stages, clock, fraction=0.05, capacity=10_000)
    for number in range(4000):
        asked.answer(number)
    ids = asked.ids()
    assert abs(len(ids) - 200) < 4 * np.sqrt(4000 * 0.05 * 0.95)
    assert np.std(np.diff(ids)) == pytest.approx(np.sqrt(0.95) / 0.05, rel=0.3)


def test_a_seed_repeats_the_draws_and_a_generator_is_taken(parts, stages, clock):
    drawn = []
    for seed in (3, np.random.default_rng(3), 4):
        asked = Asked(parts, stages, clock, fraction=0.1, capacity=1000, seed=seed)
        for number in range(300):
            asked.answer(number)
        drawn.append(asked.ids())
    assert drawn[0] == drawn[1] != drawn[2]


def test_an_input_that_the_caller_changes_later_is_audited_as_it_was(asked, parts):
    batch = np.array([3])
    asked.answer(0, batch)
    batch[0] = 4
    asked.auditor.run_all()
    asked.auditor.feedback(0, 1, asked.ready)
    recorded = asked.auditor.outcomes(asked.ready, forget=False)
    assert np.allclose(np.exp(recorded.log_probs[0]), parts.probs[3])


@pytest.mark.parametrize("fault", [FailingStage, NanStage])
def test_a_stage_that_fails_in_an_audit_is_counted_and_nothing_is_raised(parts, stages, clock, fault):
    stages[1] = fault(stages[1])
    asked = Asked(parts, stages, clock)
    for number in range(5):
        asked.answer(number)
    assert asked.auditor.run_all() == 5
    assert (asked.stats.n_audited, asked.stats.n_audit_faults) == (0, 5)
    # After three failures in a row the stage is left alone.
    assert asked.stats.n_faults == {"strong": 3}
    assert asked.ids() == []
    assert asked.engine.borrow_free() is not None


def test_an_audit_that_works_again_ends_the_trouble_of_a_stage(parts, stages, clock):
    stages[1] = FailingStage(stages[1], on_calls=(1,))
    asked = Asked(parts, stages, clock)
    for number in range(2):
        asked.answer(number)
        asked.auditor.run_all()
    assert asked.engine.lanes[0].troubled == 0


def test_no_more_wait_than_the_capacity_and_those_left_out_are_counted(parts, stages, clock):
    asked = Asked(parts, stages, clock, capacity=3)
    for number in range(10):
        asked.answer(number)
    assert asked.stats.n_audits_dropped == 7
    assert asked.auditor.run_all() == 3


def test_an_input_that_cannot_be_copied_is_left_out(asked):
    class Stubborn:
        def __deepcopy__(self, memo):
            raise RuntimeError("not me")

    asked.answer(0, [Stubborn()])
    assert (asked.stats.n_audits_dropped, asked.ids()) == (1, [])


def test_closing_drops_what_has_not_run(asked, stages):
    asked.answer(0)
    asked.auditor.close()
    assert (asked.stats.n_audits_dropped, asked.ids(), stages[0].batch_sizes) == (1, [], [])


def test_exits_continue_from_one_another_in_an_audit(parts, clock):
    exits = [FakeExit("weak", parts.probs[:, 0], requires=None), FakeExit("strong", parts.probs[:, 1], requires="weak")]
    asked = Asked(parts, exits, clock)
    asked.answer(7)
    asked.auditor.run_all()
    assert asked.stats.n_audited == 1


@pytest.mark.parametrize(
    ("fraction", "capacity", "message"),
    [
        (1.5, 10, "audit_fraction in"),
        (-0.1, 10, "audit_fraction in"),
        (float("nan"), 10, "audit_fraction in"),
        (0.5, 0, "audit_capacity"),
    ],
)
def test_settings_that_cannot_work_are_refused(fraction, capacity, message):
    with pytest.raises(ConfigurationError, match=message):
        AuditSettings(fraction, capacity, 0, False)


def test_without_a_fraction_there_is_no_auditor(parts, stages, clock):
    engine = engine_on(stages, parts.policy, clock)
    assert auditor_of(engine, Counters(), AuditSettings(0.0, 1, 0, True)) is None
