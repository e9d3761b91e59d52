"""Callers on threads of their own, with a cache: hits, upgrades, joins, faults, and what stays as it is without one."""

from threading import Barrier

import numpy as np
import pytest

from cascade.caching.result_cache import ResultCache
from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.records import Status
from cascade.core.service import ServiceTable
from cascade.errors import BudgetTooSmall, ConfigurationError, InputMismatch, PredictorClosed, StageError
from cascade.testing.fakes import FakeStage
from cascade.testing.faults import FailingStage
from tests.runtime.callers import FailsInTheEnd, in_thread

PATIENCE_S = 30.0


def joined(callers):
    outcomes = []
    for thread, outcome in callers:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        outcomes += outcome
    return outcomes


def joiners(cache):
    """How many wait for somebody's computation."""
    return sum(len(flight.waiting) for flight in [*cache.flights._in_progress.values()])


def waits(condition):
    while not condition():
        pass


def runs(stages):
    return [sum(stage.batch_sizes) for stage in stages]


@pytest.fixture
def cache(clock):
    return ResultCache(clock=clock)


@pytest.fixture
def stages(gradual, clock):
    return [FakeStage(name, gradual.probs[:, j], 1.0 + 9.0 * j, clock) for j, name in enumerate(("weak", "strong"))]


@pytest.fixture
def unsure(serve, stages):
    """A row about which the weak stage alone is not enough, where there is time."""
    predictor = serve(stages=stages)
    return next(row for row in range(400) if len(predictor.predict(row, budget_ms=100.0).path) == 2)


# Hits and upgrades.


def test_a_hit_runs_nothing_and_says_so(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache)
    first = predictor.predict(3)
    before = runs(stages)
    again = predictor.predict(3)
    assert runs(stages) == before
    assert (first.from_cache, again.from_cache) == (False, True)
    assert (again.label, again.confidence, again.path, again.status) == (
        first.label,
        first.confidence,
        first.path,
        first.status,
    )
    np.testing.assert_array_equal(again.probs, first.probs)
    stats = cache.stats()
    assert (stats.misses, stats.hits) == (1, 1)
    assert predictor.stats().n_requests == 2


def test_what_a_caller_does_to_an_answer_does_not_reach_the_next_one(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache)
    expected = predictor.predict(3).probs.copy()
    for _ in range(3):
        answer = predictor.predict(3)
        np.testing.assert_array_equal(answer.probs, expected)
        answer.probs[:] = 7.0


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("method", ["predict", "submit"])
def test_more_time_runs_only_what_is_missing_whichever_way(serve, stages, cache, unsure, method, is_strict):
    predictor = serve(stages=stages, cache=cache)
    assert predictor.predict(unsure, budget_ms=2.0).path == ("weak",)
    before = runs(stages)
    answer = getattr(predictor, method)(unsure, budget_ms=100.0, strict=is_strict)
    answer = answer if method == "predict" else answer.result(PATIENCE_S)
    assert answer.path == ("weak", "strong")
    assert [n - m for n, m in zip(runs(stages), before, strict=True)] == [0, 1]
    assert answer.from_cache
    stats = cache.stats()
    assert (stats.upgrades, stats.hits, stats.misses) == (1, 0, 1)


def test_a_request_that_goes_on_while_every_lane_is_busy_takes_along_what_is_known(serve, held, cache, unsure):
    predictor = serve(cache=cache)
    predictor.predict(unsure, budget_ms=2.0)
    before = runs(held)
    held[1].hold()
    caller = in_thread(lambda: predictor.predict_batch([row for row in range(100) if row != unsure]))
    held[1].wait_for_run()
    waiting = [in_thread(lambda: predictor.predict(unsure)), in_thread(lambda: predictor.predict(unsure, strict=True))]
    waits(lambda: predictor.stats().n_waiting == 1 and joiners(cache) == 1)
    held[1].let_go()
    answers = joined(waiting)
    batch = joined([caller])[0]
    n_of = {name: sum(n for path, n in batch.path_counts.items() if name in path) for name in ("weak", "strong")}
    assert [answer.path for answer in answers] == [("weak", "strong")] * 2
    assert [n - m for n, m in zip(runs(held), before, strict=True)] == [n_of["weak"], n_of["strong"] + 1]


def test_a_budget_that_nothing_fits_is_answered_from_what_is_known(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache, infeasible="raise")
    with pytest.raises(BudgetTooSmall):
        predictor.predict(3, budget_ms=0.5)
    known = predictor.predict(3)
    answer = predictor.predict(3, budget_ms=0.0)
    assert (answer.label, answer.path, answer.in_time) == (known.label, known.path, True)
    assert predictor.predict(3, budget_ms=0.5, infeasible="prior").path == known.path


def test_an_answer_from_less_than_was_planned_says_so(serve, stages, clock, cache, unsure):
    predictor = serve(stages=stages, cache=cache)
    predictor.predict(unsure, budget_ms=2.0)
    server = predictor._server
    request = server.request(10.5, None, None, None)
    clock.wait(5.0)
    late = server.one(unsure, request, "normal")
    assert (late.path, late.status, late.from_cache) == (("weak",), Status.DEGRADED, True)
    # Nobody had planned more for it.
    assert predictor.predict(unsure, budget_ms=5.0).status is Status.ANSWERED


def test_confidence_below_the_threshold_abstains_from_the_cache_too(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache)
    known = predictor.predict(3)
    answer = predictor.predict(3, abstain_below=1.0)
    assert (answer.label, answer.status, answer.confidence) == (None, Status.ABSTAINED, known.confidence)
    assert predictor.predict(3).label == known.label


def test_a_planned_stage_that_is_fenced_off_makes_an_answer_from_the_cache_degraded(serve, stages, cache, unsure):
    broken = [stages[0], FailingStage(stages[1])]
    predictor = serve(stages=broken, cache=cache)
    for _ in range(4):
        answer = predictor.predict(unsure, budget_ms=100.0)
        assert (answer.path, answer.status) == (("weak",), Status.DEGRADED)
    stats = cache.stats()
    # Nothing was added by what failed: these are answers from what was stored.
    assert (stats.misses, stats.upgrades, stats.hits) == (1, 0, 3)
    assert predictor.stats().n_faults == {"strong": 3}


def test_postprocessing_is_done_anew_and_its_error_is_the_callers(serve, stages, cache):
    said = iter(["a", "b"])
    predictor = serve(stages=stages, cache=cache, postprocess=lambda label: next(said))
    assert [predictor.predict(3).label for _ in range(2)] == ["a", "b"]
    with pytest.raises((StopIteration, RuntimeError)):
        predictor.predict(3)
    assert len(cache.flights) == 0


def test_a_predictor_that_is_closed_answers_nothing_from_its_cache(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache)
    predictor.predict(3)
    predictor.close()
    for ask in (predictor.predict, predictor.submit, lambda x: predictor.predict_batch([x])):
        with pytest.raises(PredictorClosed):
            ask(3)
    with pytest.raises(PredictorClosed):
        predictor.predict(3, strict=True)


def test_what_is_known_needs_no_place_in_a_full_queue(serve, held, cache, unsure):
    predictor = serve(cache=cache, max_waiting=1)
    predictor.predict(unsure, budget_ms=2.0)
    held[1].hold()
    first = predictor.submit(unsure + 1, budget_ms=1000.0, strict=True)
    batch = in_thread(lambda: predictor.predict_batch([row for row in range(100) if row != unsure]))
    held[1].wait_for_run()
    waiting = [predictor.submit(row) for row in (101, 102)]
    answer = predictor.predict(unsure, budget_ms=100.0)
    assert (answer.path, answer.status, answer.from_cache) == (("weak",), Status.DEGRADED, True)
    held[1].let_go()
    joined([batch])
    assert first.result(PATIENCE_S)
    assert any(future.exception(PATIENCE_S) for future in waiting)


@pytest.mark.parametrize("method", ["predict", "submit"])
def test_an_unknown_class_is_refused_although_the_answer_is_known(serve, stages, cache, method):
    predictor = serve(stages=stages, cache=cache)
    predictor.predict(3)
    for is_strict in (False, True):
        with pytest.raises(ConfigurationError, match="expected priority to be one of"):
            getattr(predictor, method)(3, priority="urgent", strict=is_strict)


# Keys.


def test_another_version_of_a_stage_finds_nothing_of_its_own(serve, gradual, clock, cache, unsure):
    def made(version):
        return [
            FakeStage("weak", gradual.probs[:, 0], 1.0, clock, version="weak 1"),
            FakeStage("strong", gradual.probs[:, 1], 10.0, clock, version=version),
        ]

    old, new = made("strong 1"), made("strong 2")
    assert serve(stages=old, cache=cache).predict(unsure, budget_ms=100.0).path == ("weak", "strong")
    predictor = serve(stages=new, cache=cache)
    before = runs(new)
    answer = predictor.predict(unsure, budget_ms=100.0)
    assert (answer.path, answer.from_cache) == (("weak", "strong"), True)
    assert [n - m for n, m in zip(runs(new), before, strict=True)] == [0, 1]
    # Both versions are kept, each for its own.
    before = runs(old)
    assert serve(stages=old, cache=cache).predict(unsure, budget_ms=100.0).from_cache
    assert runs(old) == before


def test_namespaces_share_nothing(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache)
    tenants = ["a", "b", None, ""]
    assert [predictor.predict(3, namespace=name).from_cache for name in tenants] == [False, False, False, True]
    assert predictor.predict_batch([3, 4], namespace="a").from_cache.tolist() == [True, False]
    assert predictor.submit(3, namespace="b").result(PATIENCE_S).from_cache
    cache.invalidate("a")
    assert [predictor.predict(3, namespace=name).from_cache for name in tenants] == [False, True, True, True]


@pytest.mark.parametrize("namespace", [7, ["a"], b"a"])
def test_a_namespace_that_is_no_text_is_refused(serve, stages, cache, namespace):
    predictor = serve(stages=stages, cache=cache)
    for ask in (
        predictor.predict,
        predictor.submit,
        predictor.refine,
        lambda x, **more: predictor.predict_batch([x], **more),
    ):
        with pytest.raises(ConfigurationError, match="expected namespace and version to be str, got"):
            ask(3, namespace=namespace)


def test_another_preprocessing_is_another_key(serve, stages, cache):
    same = lambda batch: batch  # noqa: E731 - a function as a user writes it
    predictors = [
        serve(stages=stages, cache=cache, preprocess=preprocess, preprocess_version=version)
        for preprocess, version in ((None, None), (same, "1"), (same, "2"), (lambda batch: batch + 0, "2"))
    ]
    assert [predictor.predict(3).from_cache for predictor in predictors] == [False, False, False, True]


def test_inputs_without_a_key_are_answered_and_counted(serve, gradual, clock):
    class Question:
        row = 3

    def rows(batch):
        return np.array([getattr(x, "row", x) for x in batch], int)

    stages = [
        FakeStage(name, lambda b, j=j: gradual.probs[rows(b), j], 1.0, clock, version=name)
        for j, name in enumerate(("weak", "strong"))
    ]
    cache = ResultCache()
    predictor = serve(stages=stages, cache=cache)
    expected = predictor.predict(3)
    odd = [Question(), np.array(Question(), object)[()]]
    for x in odd:
        answer = predictor.predict(x)
        assert (answer.label, answer.confidence, answer.from_cache) == (expected.label, expected.confidence, False)
    assert predictor.submit(odd[0]).result(PATIENCE_S).label == expected.label
    assert [answer.label for answer in predictor.refine(odd[0])][-1] is not None
    answers = predictor.predict_batch([odd[0], 3, odd[0]])
    assert answers.from_cache.tolist() == [False, True, False]
    assert cache.stats().unkeyed == 6
    assert cache.stats().entries == 1


@pytest.mark.parametrize("key", [lambda x: 1 / 0, lambda x: [x], lambda x: np.array([x])])
def test_a_key_function_that_fails_costs_the_cache_and_not_the_answer(serve, stages, key):
    cache = ResultCache(key=key)
    predictor = serve(stages=stages, cache=cache)
    assert [predictor.predict(3).from_cache for _ in range(2)] == [False, False]
    assert cache.stats().unkeyed == 2
    assert cache.stats().entries == 0


def test_equal_keys_of_the_users_are_one_input(serve, stages):
    predictor = serve(stages=stages, cache=ResultCache(key=lambda x: int(x) // 10))
    assert predictor.predict(31).label == predictor.predict(38).label
    assert predictor.predict(38).from_cache
    assert not predictor.predict(41).from_cache


def test_bad_input_is_refused_with_a_cache_as_without(serve, cache):
    predictor = serve(cache=cache)
    predictor._server._inputs._shape = (2,)
    for ask in (predictor.predict, predictor.submit, lambda x: predictor.predict_batch([x])):
        with pytest.raises(InputMismatch):
            ask(np.zeros(3))
    assert (len(cache.flights), cache.stats().entries) == (0, 0)


def test_an_array_that_is_changed_after_the_call_leaves_nothing_wrong_behind(serve, gradual, clock, cache):
    stages = [
        FakeStage(name, lambda b, j=j: gradual.probs[b[:, 0].astype(int), j], 1.0 + 9.0 * j, clock, version=name)
        for j, name in enumerate(("weak", "strong"))
    ]
    predictor = serve(stages=stages, cache=cache)
    x = np.array([3.0])
    three = predictor.predict(x)
    x[:] = 4.0
    four = predictor.predict(x)
    assert not four.from_cache
    again = predictor.predict(np.array([3.0]))
    assert (again.from_cache, again.confidence) == (True, three.confidence)


def test_an_array_that_changes_while_a_stage_runs_is_not_kept(serve, gradual, clock, cache):
    x = np.array([3.0])

    def treacherous(batch):
        said = gradual.probs[batch[:, 0].astype(int), 0]
        x[:] = 4.0
        return said

    stages = [
        FakeStage("weak", treacherous, 1.0, clock, version="weak"),
        FakeStage("strong", lambda b: gradual.probs[b[:, 0].astype(int), 1], 10.0, clock, version="strong"),
    ]
    predictor = serve(stages=stages, cache=cache)
    predictor.predict(x, budget_ms=2.0)
    stats = cache.stats()
    assert (stats.entries, stats.declined) == (0, 1)


# Together.


def test_equal_requests_at_the_same_time_are_found_out_once(serve, held, cache):
    predictor = serve(cache=cache)
    for stage in held:
        stage.hold()
    before, barrier = runs(held), Barrier(20)
    callers = [in_thread(lambda: (barrier.wait(PATIENCE_S), predictor.predict(3))[1]) for _ in range(20)]
    waits(lambda: joiners(cache) == 19)
    for stage in held:
        stage.let_go()
    answers = joined(callers)
    assert len({(answer.label, answer.confidence, answer.path) for answer in answers}) == 1
    assert sum(runs(held)) - sum(before) == len(answers[0].path)


def test_who_fails_wakes_the_others_and_one_of_them_leads(serve, held, cache):
    predictor = serve(stages=[FailsInTheEnd(stage, (1,)) for stage in held], cache=cache)
    for stage in held:
        stage.hold()
    callers = [in_thread(lambda: predictor.predict(3)) for _ in range(6)]
    waits(lambda: joiners(cache) == 5)
    for stage in held:
        stage.let_go()
    outcomes = joined(callers)
    failed = [outcome for outcome in outcomes if isinstance(outcome, StageError)]
    answers = [outcome for outcome in outcomes if outcome not in failed]
    assert (len(failed), len({answer.label for answer in answers})) == (1, 1)
    assert sum(runs(held)) == 2 + len(answers[0].path)
    assert len(cache.flights) == 0


def test_a_joiner_leaves_at_its_own_deadline_with_what_the_leader_has_by_then(serve, held, clock, cache, unsure):
    predictor = serve(cache=cache)
    held[1].hold()
    leader = in_thread(lambda: predictor.predict(unsure, budget_ms=500.0))
    held[1].wait_for_run()
    joiner = in_thread(lambda: predictor.predict(unsure, budget_ms=100.0))
    waits(lambda: joiners(cache) == 1 and clock._waiting)
    clock.wait(101.0)
    answer = joined([joiner])[0]
    assert (answer.path, answer.from_cache, answer.status) == (("weak",), True, Status.DEGRADED)
    assert joiners(cache) == 0
    held[1].let_go()
    assert joined([leader])[0].path == ("weak", "strong")
    assert runs(held) == [1, 1]


def test_a_joiner_that_knew_as_much_as_the_leader_answers_from_it_at_its_deadline(serve, held, clock, cache, unsure):
    predictor = serve(cache=cache)
    predictor.predict(unsure, budget_ms=2.0)
    held[1].hold()
    leader = in_thread(lambda: predictor.predict(unsure, budget_ms=500.0))
    held[1].wait_for_run()
    joiner = in_thread(lambda: predictor.predict(unsure, budget_ms=100.0))
    batch = in_thread(lambda: predictor.predict_batch([unsure], budget_ms=100.0))
    waits(lambda: joiners(cache) == 2 and len(clock._waiting) == 2)
    clock.wait(101.0)
    answer, answers = joined([joiner, batch])
    assert (answer.path, answer.status) == (("weak",), Status.DEGRADED)
    assert dict(answers.path_counts) == {("weak",): 1}
    held[1].let_go()
    joined([leader])
    assert runs(held) == [1, 1]


def test_a_joiner_without_evidence_leaves_while_a_stage_still_fits(serve, held, clock, cache):
    predictor = serve(cache=cache, lanes=2)
    for stage in held:
        stage.hold()
    leader = in_thread(lambda: predictor.predict(3, budget_ms=500.0))
    waits(lambda: any(stage._entered.acquire(blocking=False) for stage in held))
    joiner = in_thread(lambda: predictor.predict(3, budget_ms=50.0))
    waits(lambda: joiners(cache) == 1 and clock._waiting)
    seen = sum(len(stage.threads_seen) for stage in held)
    clock.wait(49.2)
    waits(lambda: sum(len(stage.threads_seen) for stage in held) == seen + 1)
    for stage in held:
        stage.let_go()
    answer = joined([joiner])[0]
    assert not answer.from_cache
    assert joined([leader])[0].label == answer.label


def test_a_leader_with_less_time_leaves_the_rest_to_who_joined(serve, held, cache, unsure):
    predictor = serve(cache=cache)
    held[0].hold()
    leader = in_thread(lambda: predictor.predict(unsure, budget_ms=5.0))
    held[0].wait_for_run()
    callers = [in_thread(lambda: predictor.predict(unsure, budget_ms=100.0)) for _ in range(4)]
    waits(lambda: joiners(cache) == 4)
    held[0].let_go()
    assert joined([leader])[0].path == ("weak",)
    assert {answer.path for answer in joined(callers)} == {("weak", "strong")}
    assert runs(held) == [1, 1]


def test_duplicates_within_a_batch_are_computed_once(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache)
    plain = serve(stages=stages).predict_batch([5, 6, 7])
    before = runs(stages)
    rows = np.array([5, 6, 5, 7, 7, 5])
    answers = predictor.predict_batch(rows)
    places = [0, 1, 0, 2, 2, 0]
    assert answers.labels.tolist() == plain.labels[places].tolist()
    np.testing.assert_array_equal(answers.confidence, plain.confidence[places])
    n_runs = sum(n * len(path) for path, n in plain.path_counts.items())
    assert sum(runs(stages)) - sum(before) == n_runs
    assert answers.from_cache.tolist() == [False] * 6
    assert sum(answers.path_counts.values()) == 6
    assert predictor.predict_batch(rows[:2]).from_cache.all()


def test_batches_and_single_requests_wait_for_one_another(serve, held, cache):
    predictor = serve(cache=cache)
    for stage in held:
        stage.hold()
    batch = in_thread(lambda: predictor.predict_batch([3, 4, 5]))
    waits(lambda: any(stage.threads_seen for stage in held))
    single = in_thread(lambda: predictor.predict(4))
    other = in_thread(lambda: predictor.predict_batch([5, 4, 4, 3]))
    waits(lambda: joiners(cache) == 2)
    for stage in held:
        stage.let_go()
    answers, answer, others = joined([batch, single, other])
    assert (answer.label, answer.from_cache) == (answers.labels[1], True)
    assert others.labels.tolist() == [answers.labels[i] for i in (2, 1, 1, 0)]
    n_runs = sum(n * len(path) for path, n in answers.path_counts.items())
    assert sum(runs(held)) == n_runs
    assert cache.stats().joins == 1 + 3


def test_two_batches_that_share_rows_the_other_way_round_do_not_wait_for_each_other(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache, lanes=2)
    rows, barrier = list(range(200)), Barrier(4)

    def ask(order):
        barrier.wait(PATIENCE_S)
        return predictor.predict_batch(order)

    callers = [in_thread(lambda order=order: ask(order)) for order in (rows, rows[::-1], rows[100:] + rows[:100], rows)]
    first, *others = joined(callers)
    assert others[0].labels[::-1].tolist() == first.labels.tolist() == others[2].labels.tolist()
    n_runs = sum(n * len(path) for path, n in first.path_counts.items())
    assert sum(runs(stages)) == n_runs


def test_a_batch_that_fails_lets_others_find_out(serve, stages, cache):
    broken = [FailingStage(stage, (1,)) for stage in stages]
    predictor = serve(stages=broken, cache=cache)
    with pytest.raises(StageError):
        predictor.predict_batch([3, 4])
    assert len(cache.flights) == 0
    assert not cache.flights.is_at_work()
    assert predictor.predict_batch([3, 4]).labels.tolist() == serve(stages=stages).predict_batch([3, 4]).labels.tolist()


@pytest.mark.parametrize("outer", ["predict", "predict_batch", "submit", "refine", "strict"])
@pytest.mark.parametrize("other", [0, 1])
@pytest.mark.parametrize("method", ["predict", "predict_batch", "refine"])
def test_a_stage_that_asks_its_own_predictor_does_not_wait_for_itself(serve, gradual, clock, method, other, outer):
    cache, inner = ResultCache(clock=clock), []

    def asking(batch):
        if not inner:
            inner.append(None)
            inner.append(ask(np.asarray(batch)[0] + other))
        return gradual.probs[np.asarray(batch, int), 0]

    def ask(row):
        if method == "predict_batch":
            return predictor.predict_batch(np.array([row])).labels[0]
        if method == "refine":
            return [*predictor.refine(row)][-1].label
        return predictor.predict(row).label

    stages = [
        FakeStage("weak", asking, 1.0, clock, version="weak"),
        FakeStage("strong", gradual.probs[:, 1], 10.0, clock, version="strong"),
    ]
    predictor = serve(stages=stages, cache=cache)
    row = np.int64(3)
    ways = {
        "predict": lambda: predictor.predict(row, budget_ms=5.0).path,
        "predict_batch": lambda: next(iter(predictor.predict_batch(np.array([row]), budget_ms=5.0).path_counts)),
        "submit": lambda: predictor.submit(row, budget_ms=5.0).result(PATIENCE_S).path,
        "refine": lambda: [*predictor.refine(row, budget_ms=5.0)][-1].path,
        "strict": lambda: predictor.predict(row, strict=True).path,
    }
    assert joined([in_thread(ways[outer])])[0][0] == "weak"
    assert inner[1] is not None
    assert len(cache.flights) == 0
    # The lane is free, for others too.
    assert joined([in_thread(lambda: predictor.predict(9))])[0].label is not None


# Refining.


def test_refining_begins_with_what_is_known_and_leaves_what_it_finds(serve, stages, cache, unsure):
    predictor = serve(stages=stages, cache=cache)
    predictor.predict(unsure, budget_ms=2.0)
    before = runs(stages)
    answers = [*predictor.refine(unsure)]
    assert [answer.path for answer in answers] == [("weak",), ("weak", "strong")]
    assert [answer.final for answer in answers] == [False, True]
    assert all(answer.from_cache for answer in answers)
    assert sum(runs(stages)) - sum(before) == 1
    assert predictor.predict(unsure).path == ("weak", "strong")
    assert [answer.path for answer in predictor.refine(unsure)] == [("weak", "strong")]
    assert sum(runs(stages)) - sum(before) == 1


def test_a_refinement_that_is_given_up_keeps_what_it_has(serve, stages, cache, unsure):
    predictor = serve(stages=stages, cache=cache)
    answers = predictor.refine(unsure)
    first = next(answers)
    answers.close()
    before = runs(stages)
    assert predictor.predict(unsure, budget_ms=1.0).path == first.path
    assert runs(stages) == before


# Watchers.


def test_audits_of_answers_from_the_cache_run_every_stage(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache, audit_fraction=1.0, audit_in_background=False)
    known = predictor.predict(3)
    again = predictor.predict(3)
    assert again.from_cache
    assert predictor.run_audits() == 2
    for answer in (known, again):
        predictor.feedback(answer.id, 1)
    assert len(predictor.recorded_outcomes().labels) == 2


def test_the_policy_is_shown_what_it_answers_from_the_cache(serve, stages, cache):
    predictor = serve(stages=stages, cache=cache)
    for _ in range(3):
        predictor.predict(3, strict=True)
    stats = predictor.stats()
    assert (stats.n_requests, stats.n_strict, stats.n_strict_late) == (3, 3, 0)
    assert sum(stats.path_counts.values()) == 3


# Preprocessing.


def test_what_preprocessing_made_is_kept_within_a_bound_of_its_own(serve, stages, clock, unsure):
    n_calls = []

    def preprocess(batch):
        n_calls.append(len(batch))
        return batch

    cache = ResultCache(clock=clock, prepared_bytes=1 << 20)
    predictor = serve(stages=stages, cache=cache, preprocess=preprocess)
    predictor.predict(unsure, budget_ms=2.0)
    assert predictor.predict(unsure, budget_ms=100.0).path == ("weak", "strong")
    assert len(n_calls) == 1
    predictor.predict(unsure)
    assert len(n_calls) == 1
    plain = serve(stages=stages, cache=ResultCache(clock=clock), preprocess=preprocess)
    plain.predict(unsure, budget_ms=2.0)
    plain.predict(unsure, budget_ms=100.0)
    assert len(n_calls) == 3


# Age and policies.


def test_nothing_older_than_its_time_to_live_is_served(serve, stages, clock, unsure):
    cache = ResultCache(ttl_ms=1000.0, clock=clock)
    predictor = serve(stages=stages, cache=cache)
    predictor.predict(unsure, budget_ms=2.0)
    clock.wait(900.0)
    assert predictor.predict(unsure, budget_ms=100.0).from_cache
    clock.wait(90.0)
    assert not predictor.predict(unsure).from_cache


def test_policies_may_be_swapped_while_others_wait(serve, held, gradual, cache, unsure):
    predictor = serve(cache=cache)
    held[0].hold()
    leader = in_thread(lambda: predictor.predict(unsure, budget_ms=5.0))
    held[0].wait_for_run()
    joiner = in_thread(lambda: predictor.predict(unsure, budget_ms=100.0))
    waits(lambda: joiners(cache) == 1)
    outcomes = Outcomes.from_probs(gradual.probs, gradual.labels, stages=("weak", "strong"))
    predictor.swap_policy(fit_policy(outcomes, ServiceTable.from_costs([1.0, 10.0], stages=("weak", "strong")), 0.5))
    held[0].let_go()
    assert joined([leader])[0].path == ("weak",)
    # It was made under the old one.
    assert joined([joiner])[0].path == ("weak", "strong")
