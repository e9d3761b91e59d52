"""Audits, feedback and drift at the public predictor."""

import warnings

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.calibration.update import update_policy
from cascade.clock import VirtualClock
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, EmptyBatch, UnknownRequest, WeakConfidenceWarning
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeStage

NAMES = ("weak", "strong")
N = 1200
RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 3, N)
LOGITS = RNG.normal(size=(N, 2, 3))
LOGITS[np.arange(N), :, LABELS] += [2.5, 3.0]
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=2, keepdims=True)
OUTCOMES = Outcomes.from_probs(PROBS, LABELS, stages=NAMES)
SERVICE = ServiceTable.from_costs([1.0, 10.0], stages=NAMES)
POLICY = fit_policy(OUTCOMES.take(np.arange(400)), SERVICE, max_accuracy_drop=0.03)


def made(**keywords):
    clock = VirtualClock()
    stages = [FakeStage(name, PROBS[:, j], 1.0 + 9.0 * j, clock) for j, name in enumerate(NAMES)]
    return Predictor(stages, POLICY, SERVICE, clock=clock, **keywords)


def audited(fraction=1.0, **keywords):
    return made(audit_fraction=fraction, audit_in_background=False, **keywords)


def test_every_answer_has_an_id_of_its_own_and_refined_ones_share_it():
    predictor = made()
    ids = [predictor.predict(i).id for i in range(5)]
    refined = {answer.id for answer in predictor.refine(5)}
    assert len(set(ids)) == 5
    assert ids == sorted(ids)
    assert len(refined) == 1
    assert refined.isdisjoint(ids)
    assert predictor.predict_batch(np.arange(3)).ids is None


def test_labels_of_audited_requests_become_outcomes_of_every_stage():
    predictor = audited()
    single = [predictor.predict(i).id for i in range(400, 440)]
    batch = predictor.predict_batch(np.arange(440, 480)).ids
    refined = [[*predictor.refine(i)][-1].id for i in range(480, 500)]
    assert predictor.run_audits() == 100
    for i, number in zip(range(400, 500), [*single, *batch, *refined], strict=True):
        assert predictor.feedback(number, LABELS[i])
    recorded, expected = predictor.recorded_outcomes(), OUTCOMES.take(np.arange(400, 500))
    assert np.allclose(recorded.log_probs, expected.log_probs, atol=1e-6)
    assert recorded.labels.tolist() == expected.labels.tolist()
    assert recorded.stages == NAMES


def test_outcomes_that_are_forgotten_are_given_once():
    predictor = audited()
    ids = [predictor.predict(i).id for i in range(20)]
    predictor.run_audits()
    for number in ids[:10]:
        predictor.feedback(number, 0)
    assert predictor.recorded_outcomes().n_items == 10
    assert predictor.recorded_outcomes(forget=True).n_items == 10
    for number in ids[10:13]:
        predictor.feedback(number, 0)
    assert predictor.recorded_outcomes().n_items == 3
    assert not predictor.feedback(ids[0], 0)


def test_feedback_on_changed_inputs_becomes_a_better_policy_that_can_be_put_into_force():
    """The weak stage has gone blind: it says one class for everything, and is as sure as before."""
    blind = np.sort(PROBS[:, 0], axis=1)[:, ::-1]
    clock = VirtualClock()
    stages = [FakeStage("weak", blind, 1.0, clock), FakeStage("strong", PROBS[:, 1], 10.0, clock)]
    predictor = Predictor(
        stages, POLICY, SERVICE, clock=clock, audit_fraction=1.0, audit_in_background=False, audit_capacity=N
    )
    answers = predictor.predict_batch(np.arange(400, N))
    predictor.run_audits()
    for number, label in zip(answers.ids, LABELS[400:], strict=True):
        predictor.feedback(number, label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WeakConfidenceWarning)
        update = update_policy(predictor.policy, predictor.recorded_outcomes(forget=True))
    assert (update.accepted, update.reason) == (True, "it is more accurate")
    predictor.swap_policy(update.policy)
    again = predictor.predict_batch(np.arange(400, N))
    assert np.mean(again.labels == LABELS[400:]) > np.mean(answers.labels == LABELS[400:]) + 0.1


def test_an_audit_tells_which_request_it_is_of_and_what_ran_for_it():
    predictor = audited()
    answers = [predictor.predict(i) for i in range(30)]
    batch = predictor.predict_batch(np.arange(30))
    audits = predictor.audits()
    assert [(audit.id, audit.path) for audit in audits[:30]] == [(answer.id, answer.path) for answer in answers]
    assert [audit.path[-1] for audit in audits[30:]] == batch.stage.tolist()


def test_about_the_stated_share_of_the_rows_of_batches_is_audited():
    """Four standard errors of 6,000 draws."""
    predictor = audited(0.1, audit_capacity=10_000)
    for size in (1, 7, 50, 942) * 6:
        predictor.predict_batch(np.arange(size))
    assert abs(len(predictor.audits()) - 600) < 4 * np.sqrt(6000 * 0.1 * 0.9)


def test_audits_change_no_answer_and_are_counted_apart():
    plain, other = made(), audited()
    for i in range(60):
        a, b = plain.predict(i), other.predict(i)
        assert (a.label, a.path, a.latency_ms) == (b.label, b.path, b.latency_ms)
    other.run_audits()
    assert (other.stats().n_requests, other.stats().n_audited) == (60, 60)
    assert other.stats().path_counts == plain.stats().path_counts


def test_a_request_that_was_not_drawn_keeps_no_label():
    predictor = audited(1e-9)
    assert not predictor.feedback(predictor.predict(0).id, 0)


def test_an_id_that_was_never_given_is_refused():
    predictor = audited()
    with pytest.raises(UnknownRequest):
        predictor.feedback(0, 0)


def test_before_the_first_label_there_are_no_outcomes():
    with pytest.raises(EmptyBatch, match="expected audited requests with labels"):
        audited().recorded_outcomes()


@pytest.mark.parametrize(
    "call",
    [
        lambda predictor: predictor.feedback(0, 0),
        lambda predictor: predictor.recorded_outcomes(),
        lambda predictor: predictor.audits(),
        lambda predictor: predictor.run_audits(),
    ],
)
def test_a_predictor_without_audits_says_how_to_get_them(call):
    with pytest.raises(ConfigurationError, match="audit_fraction=0"):
        call(made())


def test_a_predictor_that_looks_for_no_drift_says_how_to_get_it():
    with pytest.raises(ConfigurationError, match="drift_window=0"):
        made().drift()
    with pytest.raises(ConfigurationError, match="expected drift_window of at least 100"):
        made(drift_window=99)


def hard_and_easy():
    trust = PROBS[:, 0].max(axis=1)
    return np.argsort(trust)[:400], np.arange(400, 1000)


def test_harder_inputs_show_as_drift_and_the_same_ones_do_not():
    hard, usual = hard_and_easy()
    predictor = made(drift_window=300)
    predictor.predict_batch(usual[:300])
    for row in usual[300:]:
        predictor.predict(row)
    assert predictor.drift().has_enough
    assert not predictor.drift().is_drifted
    predictor.predict_batch(hard)
    report = predictor.drift()
    assert (report.n_reference, report.n_recent, report.is_drifted) == (300, 300, True)


def test_answers_are_compared_with_a_replay_of_what_was_recorded():
    hard, usual = hard_and_easy()
    predictor = made(drift_window=300)
    reference = POLICY.replay(OUTCOMES.take(np.arange(400, 1200)))
    predictor.predict_batch(usual[:200])
    report = predictor.drift(reference)
    assert (report.n_reference, report.n_recent, report.is_drifted) == (800, 200, False)
    assert set(report.recent_shares) <= set(report.reference_shares)
    predictor.predict_batch(hard)
    assert predictor.drift(reference).is_drifted


def test_another_policy_begins_a_new_reference():
    predictor = made(drift_window=100)
    predictor.predict_batch(np.arange(200))
    predictor.swap_policy(POLICY)
    assert predictor.drift().n_reference == 0
    predictor.predict(0)
    assert predictor.drift().n_reference == 1


def test_rows_of_a_large_call_fill_both_windows():
    predictor = made(drift_window=100)
    answers = predictor.predict_batch(np.arange(N))
    report = predictor.drift()
    assert (report.n_reference, report.n_recent) == (100, 100)
    assert report.reference_confidence == pytest.approx(answers.confidence[:100].mean())
    assert report.recent_confidence == pytest.approx(answers.confidence[-100:].mean())
