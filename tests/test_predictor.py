"""The public predictor on fake stages and a virtual clock: answers, errors, faults, threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.clock import VirtualClock
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.records import StageOutput, Status
from cascade.core.service import ServiceTable
from cascade.errors import (
    BudgetTooSmall,
    ConfigurationError,
    EmptyBatch,
    InputMismatch,
    NotFinite,
    PolicyMismatch,
    StageError,
)
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeExit, FakeStage
from cascade.testing.faults import FailingStage, NanStage

NAMES = ("weak", "strong")
N = 400
RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 3, N)
LOGITS = RNG.normal(size=(N, 2, 3))
LOGITS[np.arange(N), :, LABELS] += [3.0, 4.0]
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=2, keepdims=True)
ROWS = np.arange(N, dtype=np.float64)[:, None]
SERVICE = ServiceTable.from_costs([1.0, 10.0], stages=NAMES)
POLICY = fit_policy(Outcomes.from_probs(PROBS, LABELS, stages=NAMES), SERVICE, max_accuracy_drop=0.03)


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def stages(clock):
    return fakes(clock)


def fakes(clock=None, classes=None, kind=FakeStage, **keywords):
    return [kind(name, PROBS[:, j], 1.0 + 9.0 * j, clock, classes=classes) for j, name in enumerate(NAMES)]


def made(stages, clock=None, **keywords):
    return Predictor(stages, POLICY, SERVICE, clock=clock or VirtualClock(), **keywords)


def fitted(stages, clock, **keywords):
    """Knows shape and dtype, as the policy was recorded on inputs."""
    return Predictor.fit(stages, ROWS, LABELS, service=SERVICE, clock=clock, progress=False, **keywords)


def test_an_answer_says_label_confidence_path_and_time(stages, clock):
    answer = made(stages, clock).predict(7, budget_ms=100.0)
    assert answer.label in range(3)
    assert 0.0 <= answer.confidence <= 1.0
    assert answer.probs.sum() == pytest.approx(1.0)
    assert answer.path[-1] in NAMES
    assert (answer.status, answer.in_time, answer.final, answer.budget_ms) == (Status.ANSWERED, True, True, 100.0)
    assert answer.latency_ms == sum({"weak": 1.0, "strong": 10.0}[name] for name in answer.path)


def test_a_short_budget_is_answered_by_the_fast_stage_alone(stages, clock):
    predictor = made(stages, clock)
    assert {predictor.predict(i, budget_ms=2.0).path for i in range(50)} == {("weak",)}


def test_a_budget_that_nothing_fits_is_answered_late_by_the_fastest(stages, clock):
    answer = made(stages, clock).predict(0, budget_ms=0.5)
    assert (answer.path, answer.in_time) == (("weak",), False)


def test_a_budget_that_nothing_fits_is_refused_where_one_says_so(stages, clock):
    predictor = made(stages, clock, infeasible="raise")
    with pytest.raises(BudgetTooSmall, match="fastest stage 'weak' needs 1 ms"):
        predictor.predict(0, budget_ms=0.5)
    with pytest.raises(BudgetTooSmall):
        predictor.predict_batch(ROWS, budget_ms=0.5)
    with pytest.raises(BudgetTooSmall):
        next(predictor.refine(0, budget_ms=0.5))


def test_a_budget_that_nothing_fits_gives_the_prior_where_one_says_so(stages, clock):
    predictor = made(stages, clock)
    answer = predictor.predict(0, budget_ms=0.5, infeasible="prior")
    assert (answer.path, answer.status, answer.in_time) == ((), Status.DEGRADED, True)
    batch = predictor.predict_batch(ROWS[:3], budget_ms=0.5, infeasible="prior")
    assert batch.stage.tolist() == ["", "", ""]
    assert batch.labels.tolist() == [answer.label] * 3
    assert clock.now_ms() == 0.0


def test_a_deadline_is_an_instant_on_the_clock(stages, clock):
    predictor = made(stages, clock)
    clock.wait(50.0)
    assert predictor.predict(0, deadline_ms=52.0).path == ("weak",)


def test_a_deadline_that_has_passed_is_answered_late(stages, clock):
    clock.wait(50.0)
    assert not made(stages, clock).predict(0, deadline_ms=1.0).in_time


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"budget_ms": -1.0}, "expected budget_ms >= 0"),
        ({"budget_ms": float("nan")}, "expected budget_ms >= 0"),
        ({"deadline_ms": float("nan")}, "got NaN"),
        ({"budget_ms": 1.0, "deadline_ms": 1.0}, "got both"),
        ({"infeasible": "never"}, "expected infeasible to be one of"),
        ({"abstain_below": 1.5}, r"expected abstain_below in \[0, 1\]"),
    ],
)
def test_terms_that_cannot_work_are_refused_by_every_call(stages, clock, keywords, message):
    predictor = made(stages, clock)
    for call in (predictor.predict, predictor.predict_batch, predictor.refine):
        with pytest.raises(ConfigurationError, match=message):
            call(ROWS[0], **keywords)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.array([np.nan]), NotFinite, "expected finite inputs"),
        (np.zeros(2), InputMismatch, r"expected an item of shape \(1,\)"),
        (np.zeros(1, np.float32), InputMismatch, "dtype float32"),
        ([0.0], InputMismatch, "numpy.asarray"),
    ],
)
def test_an_item_unlike_those_fitted_is_refused(stages, clock, x, error, message):
    with pytest.raises(error, match=message):
        fitted(stages, clock).predict(x)


def test_an_empty_batch_is_refused(stages, clock):
    with pytest.raises(EmptyBatch, match="at least one row"):
        fitted(stages, clock).predict_batch(ROWS[:0])


def test_an_unsure_answer_has_no_label(stages, clock):
    predictor = made(stages, clock, abstain_below=1.0)
    answer = predictor.predict(0)
    assert (answer.label, answer.status) == (None, Status.ABSTAINED)
    assert predictor.predict_batch(ROWS[:2]).labels.tolist() == [None, None]
    assert predictor.predict(0, abstain_below=0.0).label is not None


def test_processing_runs_once_per_request_and_inside_the_budget(stages, clock):
    calls = []

    def before(batch):
        calls.append("before")
        clock.wait(3.0)
        return batch

    def after(label):
        calls.append("after")
        clock.wait(2.0)
        return f"class {label}"

    answer = made(stages, clock, preprocess=before, postprocess=after).predict(0, budget_ms=7.0)
    assert calls == ["before", "after"]
    assert (answer.path, answer.latency_ms, answer.in_time) == (("weak",), 6.0, True)
    assert answer.label.startswith("class ")


def test_time_for_postprocessing_is_kept_back_once_it_is_known(stages, clock):
    predictor = made(stages, clock, postprocess=lambda label: clock.wait(5.0) or label)
    predictor.predict(0)
    answers = [predictor.predict(i, budget_ms=14.0) for i in range(50)]
    assert all(answer.in_time for answer in answers)


def test_refining_ends_with_the_final_answer_and_each_has_more_evidence(stages, clock):
    predictor = made(stages, clock)
    lengths = set()
    for i in range(60):
        answers = list(predictor.refine(i, budget_ms=100.0))
        assert [answer.final for answer in answers] == [False] * (len(answers) - 1) + [True]
        assert [len(answer.path) for answer in answers] == list(range(1, len(answers) + 1))
        lengths.add(len(answers))
    assert lengths == {1, 2}
    assert predictor.stats().n_requests == 60


def test_a_shown_answer_does_not_change_when_a_better_one_comes(stages, clock):
    predictor = made(stages, clock)
    for i in range(60):
        shown = [(answer, answer.probs.copy()) for answer in predictor.refine(i)]
        assert all(np.array_equal(answer.probs, probs) for answer, probs in shown)


def test_statistics_count_what_was_answered(stages, clock):
    predictor = made(stages, clock)
    predictor.predict(0, budget_ms=0.5)
    predictor.predict_batch(ROWS[:9])
    stats = predictor.stats()
    assert (stats.n_requests, stats.n_in_time) == (10, 9)
    assert sum(stats.path_counts.values()) == 10


def test_another_policy_takes_over_from_the_next_request_on(stages, clock):
    predictor = made(fakes(clock, classes=range(3)), clock)
    predictor.swap_policy(Policy.from_thresholds([0.0], SERVICE))
    assert {predictor.predict(i).path for i in range(20)} == {("weak",)}


def test_a_policy_of_other_stages_leaves_the_old_one_in_force(stages, clock):
    predictor = made(stages, clock)
    before, answer = predictor.policy, predictor.predict(3)
    other = Policy.from_thresholds([0.0], ServiceTable.from_costs([1.0, 10.0], stages=["one", "two"]))
    with pytest.raises(PolicyMismatch, match="expected the stages of the policy"):
        predictor.swap_policy(other)
    assert predictor.policy is before
    assert predictor.predict(3).label == answer.label


@pytest.mark.parametrize("change", [lambda stages: stages[::-1], lambda stages: stages[:1]])
def test_a_policy_needs_its_stages_in_its_order(stages, change):
    with pytest.raises(PolicyMismatch):
        made(change(stages))


def test_a_policy_of_other_versions_is_refused(stages, clock):
    policy = fitted(stages, clock).policy
    newer = [FakeStage(name, PROBS[::-1, j], version="2") for j, name in enumerate(NAMES)]
    with pytest.raises(PolicyMismatch, match=r"other versions of \['weak', 'strong'\]"):
        Predictor(newer, policy, SERVICE)


@pytest.mark.parametrize("fault", [FailingStage, NanStage])
@pytest.mark.parametrize("broken", [0, 1])
def test_the_other_stage_answers_for_one_that_fails(stages, clock, fault, broken):
    stages[broken] = fault(stages[broken])
    predictor = made(stages, clock)
    answers = [predictor.predict(i) for i in np.argsort(PROBS[:, 0].max(axis=1))[:40]]
    assert {name for answer in answers for name in answer.path} == {NAMES[1 - broken]}
    assert any(answer.status is Status.DEGRADED for answer in answers)
    assert predictor.stats().n_faults == {NAMES[broken]: 3}


@pytest.mark.parametrize("fault", [FailingStage, NanStage])
def test_a_batch_goes_on_without_a_stage_that_fails(stages, clock, fault):
    stages[0] = fault(stages[0])
    answers = made(stages, clock).predict_batch(ROWS[:20])
    assert set(answers.stage) == {"strong"}
    assert set(answers.status) == {Status.DEGRADED}


def test_an_error_says_why_when_every_stage_fails(stages, clock):
    predictor = made([FailingStage(stage, error=KeyError("mine")) for stage in stages], clock)
    for call in (lambda: predictor.predict(0), lambda: predictor.predict_batch(ROWS), lambda: [*predictor.refine(0)]):
        with pytest.raises(StageError, match="KeyError") as caught:
            call()
        assert isinstance(caught.value.__cause__, StageError)
        assert isinstance(caught.value.__cause__.__cause__, KeyError)


def test_a_stage_that_failed_thrice_is_left_alone_and_tried_again(stages, clock):
    stages[0] = FailingStage(stages[0], on_calls=(1, 2, 3))
    predictor = made(stages, clock)
    for i in range(10):
        predictor.predict(i)
    assert predictor.stats().n_faults == {"weak": 3}
    clock.wait(1000.0)
    assert "weak" in predictor.predict(0, budget_ms=2.0).path


def exits(clock=None):
    requires = (None, "weak")
    return [
        FakeExit(name, PROBS[:, j], 1.0 + 9.0 * j, clock, requires=requires[j], classes=range(3))
        for j, name in enumerate(NAMES)
    ]


def test_exits_of_one_network_run_only_on_the_rows_that_go_on(clock):
    stages = exits(clock)
    predictor = fitted(stages, clock)
    for stage in stages:
        stage.batch_sizes.clear()
    answers = predictor.predict_batch(ROWS)
    n_deep = int((answers.stage == "strong").sum())
    assert 0 < n_deep < N
    assert [sum(stage.batch_sizes) for stage in stages] == [N, n_deep]
    assert [predictor.predict(row).label for row in ROWS[:50]] == answers.labels[:50].tolist()


def test_stages_that_answer_with_labels_are_fitted_and_served():
    words = np.array(["cat", "dog", "owl"])

    def says(j):
        def answer(batch):
            rows = np.asarray(batch)[:, 0].astype(int)
            return StageOutput(words[PROBS[rows, j].argmax(axis=1)], PROBS[rows, j].max(axis=1))

        return answer

    clock = VirtualClock()
    stages = [FakeStage(name, says(j), 1.0 + 9.0 * j, clock) for j, name in enumerate(NAMES)]
    predictor = Predictor.fit(stages, ROWS, words[LABELS], service=SERVICE, clock=clock, progress=False)
    answers = predictor.predict_batch(ROWS)
    assert np.mean(answers.labels == words[LABELS]) > 0.85
    assert [predictor.predict(row).label for row in ROWS[:50]] == answers.labels[:50].tolist()


def test_labels_are_those_of_the_caller(clock):
    words = ["cat", "dog", "owl"]
    stages = fakes(clock, classes=words)
    predictor = Predictor.fit(stages, ROWS, [words[y] for y in LABELS], service=SERVICE, clock=clock, progress=False)
    assert predictor.predict(ROWS[0]).label in words
    assert set(predictor.predict_batch(ROWS).labels) == set(words)


def test_a_chain_answers_at_the_first_stage_that_is_sure(clock):
    stages = fakes(clock, classes=range(3))
    predictor = Predictor(stages, Policy.from_thresholds([0.8], SERVICE), SERVICE, clock=clock)
    for i in range(50):
        sure = PROBS[i, 0].max() >= 0.8
        answer = predictor.predict(i)
        assert answer.path == (("weak",) if sure else NAMES)
        assert answer.label == PROBS[i, 0 if sure else 1].argmax()


def test_the_next_stage_of_a_chain_answers_for_one_that_fails(clock):
    stages = fakes(clock, classes=range(3))
    stages[0] = FailingStage(stages[0])
    predictor = Predictor(stages, Policy.from_thresholds([0.8], SERVICE), SERVICE, clock=clock)
    answer = predictor.predict(0)
    assert (answer.path, answer.status) == (("strong",), Status.DEGRADED)
    assert set(predictor.predict_batch(ROWS[:5]).stage) == {"strong"}


@pytest.mark.slow
def test_eight_threads_get_the_answers_to_their_own_questions():
    predictor = made(fakes())
    expected = [predictor.predict(i) for i in range(N)]

    def ask(thread):
        return [(i, predictor.predict(i)) for i in range(thread * 50, thread * 50 + 50)]

    with ThreadPoolExecutor(8) as pool:
        got = [pair for pairs in pool.map(ask, range(8)) for pair in pairs]
    assert all((answer.label, answer.path) == (expected[i].label, expected[i].path) for i, answer in got)
    assert predictor.stats().n_requests == 2 * N


def test_no_stage_runs_twice_for_an_item(stages, clock):
    predictor = made(stages, clock)
    paths = [predictor.predict(i).path for i in range(100)]
    assert all(len(set(path)) == len(path) for path in paths)
    for j, name in enumerate(NAMES):
        assert sum(stages[j].batch_sizes) == sum(name in path for path in paths)


def test_permuting_the_rows_permutes_the_answers(stages, clock):
    predictor = made(stages, clock)
    order = np.random.default_rng(0).permutation(N)
    straight, mixed = predictor.predict_batch(ROWS), predictor.predict_batch(ROWS[order])
    assert mixed.labels.tolist() == straight.labels[order].tolist()
    assert mixed.stage.tolist() == straight.stage[order].tolist()
    assert np.allclose(mixed.confidence, straight.confidence[order])


def test_one_stage_is_that_stage(clock):
    service = ServiceTable.from_costs([1.0])
    policy = fit_policy(Outcomes.from_probs(PROBS[:, :1], LABELS), service)
    predictor = Predictor([FakeStage("stage0", PROBS[:, 0], 1.0, clock)], policy, service, clock=clock)
    answers = predictor.predict_batch(ROWS)
    assert dict(answers.path_counts) == {("stage0",): N}
    assert np.mean(answers.labels == PROBS[:, 0].argmax(axis=1)) > 0.97


def test_leaving_the_context_gives_the_thread_counts_back(stages, clock):
    with made(stages, clock, threads=2) as predictor:
        predictor.predict(0)
        assert stages[0].threads() == 2
    assert stages[0].threads() == 1
