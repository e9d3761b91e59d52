"""A predictor under a certificate: which answers are within it, and what makes it void."""

from dataclasses import replace

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.calibration.risk import control_risk
from cascade.clock import VirtualClock
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, ForeignServiceWarning, GuaranteeLostWarning, PolicyMismatch
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeStage
from cascade.testing.faults import FailingStage

NAMES = ("weak", "strong")
N = 600


def drawn(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, N)
    logits = rng.normal(size=(N, 2, 3))
    logits[np.arange(N), :, labels] += [2.5, 3.0]
    return np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True), labels


PROBS, LABELS = drawn(0)
ROWS = np.arange(N)
SERVICE = ServiceTable.from_costs([1.0, 10.0], stages=NAMES)
POLICY = fit_policy(Outcomes.from_probs(PROBS, LABELS, stages=NAMES), SERVICE, max_accuracy_drop=0.03)
FRESH = Outcomes.from_probs(*drawn(1), stages=NAMES)
CERTIFICATE = control_risk(POLICY, FRESH, max_risk=0.06)
SELECTIVE = control_risk(POLICY, FRESH, max_risk=0.02, risk="selective")
MIN_MS = CERTIFICATE.min_budget_ms


def fakes(clock, slow_ms=10.0):
    times = {"weak": 1.0, "strong": slow_ms}
    return [FakeStage(name, PROBS[:, j], times[name], clock) for j, name in enumerate(NAMES)]


def made(certificate=CERTIFICATE, stages=None, clock=None, **keywords):
    clock = clock or VirtualClock()
    stages = stages or fakes(clock)
    return Predictor(stages, POLICY, keywords.pop("service", SERVICE), certificate=certificate, clock=clock, **keywords)


def share(predictor):
    return predictor.stats().certified_share


def test_the_certified_policy_is_followed_and_its_answers_counted():
    predictor = made()
    for i in range(20):
        predictor.predict(i)
    assert predictor.policy.guarantee == CERTIFICATE.guarantee
    assert share(predictor) == 1.0


def test_without_a_certificate_nothing_is_certified():
    predictor = made(None)
    predictor.predict(0)
    predictor.predict_batch(ROWS)
    assert share(predictor) == 0.0


def test_a_policy_that_carries_its_guarantee_needs_no_certificate():
    clock = VirtualClock()
    predictor = Predictor(fakes(clock), CERTIFICATE.policy, SERVICE, clock=clock)
    predictor.predict(0)
    assert share(predictor) == 1.0


def test_only_budgets_from_the_certified_one_up_are_within_it():
    predictor = made()
    predictor.predict(0, budget_ms=MIN_MS)
    predictor.predict(0, budget_ms=MIN_MS - 0.5)
    assert share(predictor) == 0.5


def test_time_lost_before_the_first_stage_counts_against_the_certified_budget():
    clock = VirtualClock()
    predictor = made(clock=clock, preprocess=lambda batch: clock.wait(0.5) or batch)
    predictor.predict(0, budget_ms=MIN_MS)
    assert share(predictor) == 0.0
    predictor.predict(0, budget_ms=MIN_MS + 0.5)
    assert share(predictor) == 0.5


def test_a_stage_slower_than_its_upper_quantile_leaves_the_promise():
    clock = VirtualClock()
    stages = fakes(clock)
    slow = FakeStage("weak", PROBS[:, 0], 1.25, clock)
    predictor = made(stages=[slow, stages[1]], clock=clock)
    for i in range(50):
        predictor.predict(i, budget_ms=MIN_MS)
    assert share(predictor) == 0.0


@pytest.mark.parametrize("broken", [0, 1])
def test_answers_that_a_fault_changed_are_not_within_the_promise(broken):
    clock = VirtualClock()
    stages = fakes(clock)
    stages[broken] = FailingStage(stages[broken])
    predictor = made(stages=stages, clock=clock)
    as_planned = sum(predictor.predict(i).status.value == "answered" for i in range(40))
    assert as_planned < 40
    assert predictor.stats().n_certified == as_planned


def test_rows_of_a_batch_are_certified_without_a_deadline_only():
    predictor = made()
    predictor.predict_batch(ROWS[:30])
    predictor.predict_batch(ROWS[:10], budget_ms=1e6)
    assert predictor.stats().n_certified == 30


def test_refined_answers_are_not_counted_as_certified():
    predictor = made()
    assert list(predictor.refine(0))[-1].final
    assert share(predictor) == 0.0


def test_a_certificate_of_another_policy_is_refused():
    other = fit_policy(FRESH, SERVICE)
    with pytest.raises(PolicyMismatch, match="certificate of this very policy"):
        made(replace(CERTIFICATE, policy=replace(other, guarantee=CERTIFICATE.guarantee)))
    with pytest.raises(PolicyMismatch, match="certificate of this very policy"):
        made(None).swap_policy(other, CERTIFICATE)


def test_an_unknown_way_to_bear_overload_is_refused():
    with pytest.raises(ConfigurationError, match="expected on_overload to be one of"):
        made(on_overload="panic")


def test_other_service_times_void_the_guarantee():
    with pytest.warns(GuaranteeLostWarning):
        predictor = made(service=ServiceTable.from_costs([1.0, 11.0], stages=NAMES))
    predictor.predict(0)
    assert predictor.policy.guarantee is None
    assert share(predictor) == 0.0


def test_the_certified_service_times_are_used_where_none_are_given():
    predictor = made(service=None)
    assert predictor.policy.service == SERVICE
    assert predictor.policy.guarantee is not None


def test_certified_service_times_of_another_machine_void_the_guarantee():
    foreign = replace(SERVICE, stamp={"n_cpus": 999})
    policy = replace(CERTIFICATE.policy, service=foreign)
    clock = VirtualClock()
    with pytest.warns(GuaranteeLostWarning):
        predictor = Predictor(fakes(clock), policy, clock=clock, sample=ROWS[:32, None])
    assert predictor.policy.guarantee is None
    with pytest.warns(GuaranteeLostWarning):
        predictor.swap_policy(policy)
    assert predictor.policy.guarantee is None


def test_a_table_measured_elsewhere_is_measured_again_though_it_is_the_certified_one():
    foreign = replace(SERVICE, stamp={"n_cpus": 999})
    clock = VirtualClock()
    with pytest.warns(GuaranteeLostWarning), pytest.warns(ForeignServiceWarning):
        predictor = Predictor(
            fakes(clock), replace(CERTIFICATE.policy, service=foreign), foreign, clock=clock, sample=ROWS[:32, None]
        )
    assert predictor.policy.guarantee is None


def test_a_certified_policy_can_be_swapped_in_and_out():
    predictor = made(None)
    predictor.swap_policy(POLICY, CERTIFICATE)
    predictor.predict(0)
    predictor.swap_policy(Policy.from_dict(CERTIFICATE.policy.to_dict()))
    predictor.predict(0)
    predictor.swap_policy(POLICY)
    predictor.predict(0)
    assert predictor.stats().n_certified == 2


def test_what_was_certified_to_be_withheld_is_withheld_until_told_otherwise():
    predictor = made(SELECTIVE)
    answers = [predictor.predict(i) for i in range(100)]
    assert {answer.label is None for answer in answers} == {True, False}
    assert all((answer.label is None) == (answer.confidence < SELECTIVE.abstain_below) for answer in answers)
    assert share(predictor) == 1.0
    predictor.predict(0, abstain_below=0.0)
    assert predictor.stats().n_certified == 100
    predictor.swap_policy(POLICY)
    assert predictor.predict(int(PROBS[:, 0].max(axis=1).argmin())).label is not None


def test_withholding_other_answers_than_certified_voids_the_guarantee_aloud():
    with pytest.warns(GuaranteeLostWarning, match="certified with abstain_below"):
        predictor = made(SELECTIVE, abstain_below=0.1)
    predictor.predict(0)
    assert share(predictor) == 0.0


def test_under_overload_a_batch_pays_the_certified_price_at_most_if_it_is_to_shed():
    """Rows that the certified price wants to send on run out of time; at a higher price none is sent."""
    cheap = replace(CERTIFICATE.policy, guarantee=replace(CERTIFICATE.guarantee, price=1e-3))
    n_degraded = {}
    for on_overload in ("degrade", "shed"):
        clock = VirtualClock()
        predictor = Predictor(fakes(clock), cheap, SERVICE, on_overload=on_overload, clock=clock)
        answers = predictor.predict_batch(ROWS[:200], budget_ms=280.0)
        n_degraded[on_overload] = answers.status_counts.get("degraded", 0)
    assert n_degraded["degrade"] == 0
    assert n_degraded["shed"] > 10


def test_answers_through_a_lane_are_counted_as_certified_as_those_without():
    predictor = made()
    with predictor:
        for future in [predictor.submit(i) for i in range(20)]:
            assert future.result(30.0)
        assert predictor.stats().n_certified == 20
        # Less time than was certified.
        assert predictor.submit(0, budget_ms=0.9 * MIN_MS).result(30.0)
        assert predictor.submit(0, abstain_below=0.5).result(30.0)
        assert predictor.stats().n_certified == 20


def test_an_answer_through_a_lane_after_a_fault_is_not_certified():
    clock = VirtualClock()
    stages = fakes(clock)
    stages[1] = FailingStage(stages[1])
    with made(stages=stages, clock=clock) as predictor:
        for future in [predictor.submit(i) for i in range(40)]:
            assert future.result(30.0)
        stats = predictor.stats()
    assert 0 < stats.n_certified < 40
    assert stats.n_certified <= stats.n_by_status["answered"]
