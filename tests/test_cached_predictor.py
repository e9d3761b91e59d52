"""The laws of a predictor with a cache: what it answers follows from what the stages have said and the policy of now, from nothing else."""

from dataclasses import replace
from functools import cache, reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cascade.caching.result_cache import ResultCache
from cascade.caching.similarity import SimilarityCache
from cascade.calibration.fit import fit_policy
from cascade.calibration.risk import control_risk
from cascade.calibration.similarity import control_similarity
from cascade.clock import VirtualClock
from cascade.core.evidence import features_of
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.records import StageOutput, Status
from cascade.core.service import ServiceTable
from cascade.core.table import STOP_BYTE, Lookup
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeExit, FakeStage

NAMES = ("first", "second", "third")
COSTS_MS = (1.0, 3.0, 8.0)
SERVICE = ServiceTable.from_costs(COSTS_MS, stages=NAMES)
KINDS = ("pooled", "exits", "votes", "chain", "chain of exits")
N, C = 300, 4
BUDGETS_MS = st.none() | st.integers(0, 1500).map(lambda n: n / 100 + 0.003)


def drawn(seed=3):
    """Scores (N, 3, C) and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, C, N)
    logits = rng.normal(size=(N, 3, C))
    logits[np.arange(N), :, labels] += [1.0, 2.0, 3.5]
    scores = np.exp(logits)
    return scores / scores.sum(axis=2, keepdims=True), labels


PROBS, LABELS = drawn()


@cache
def outcomes_of(kind, seed=3):
    probs, labels = drawn(seed)
    if kind == "votes":
        return Outcomes.from_predictions(probs.argmax(axis=2), probs.max(axis=2), labels, stages=NAMES)
    outcomes = Outcomes.from_probs(probs, labels, stages=NAMES)
    return replace(outcomes, requires=(-1, 0, 1)) if kind.endswith("exits") else outcomes


@cache
def policy_of(kind, seed=3):
    """What decides about stages of a kind, fitted on what a seed has drawn."""
    if kind.startswith("chain"):
        return Policy.from_thresholds([0.55 + seed / 20, 0.6 + seed / 20], SERVICE).for_classes(range(C))
    return fit_policy(outcomes_of(kind, seed), SERVICE)


def stages_of(kind, clock, versions=("1", "1", "1")):
    stages = []
    for j, name in enumerate(NAMES):
        answers, settings_ = PROBS[:, j], {"classes": range(C), "version": f"{name} {versions[j]}"}
        if kind.endswith("exits"):
            before = NAMES[j - 1] if j else None
            stages.append(FakeExit(name, answers, COSTS_MS[j], clock, requires=before, **settings_))
        elif kind == "votes":
            stages.append(FakeStage(name, voting(answers), COSTS_MS[j], clock, **settings_))
        else:
            stages.append(FakeStage(name, answers, COSTS_MS[j], clock, **settings_))
    return stages


def voting(answers):
    def vote(batch):
        said = answers[np.asarray(batch, int)]
        return StageOutput(said.argmax(axis=1), said.max(axis=1))

    return vote


def served(kind, cache, policy=None, clock=None, **keywords):
    clock = clock or VirtualClock()
    stages = keywords.pop("stages", None) or stages_of(kind, clock)
    return Predictor(stages, policy or policy_of(kind), SERVICE, clock=clock, cache=cache, **keywords), stages


def runs(stages):
    return [sum(stage.batch_sizes) for stage in stages]


def set_of(path):
    return reduce(lambda s, name: s | 1 << NAMES.index(name), path, 0)


def said_by(kind):
    return outcomes_of("pooled" if kind.startswith("chain") else kind)


def evidence_of(policy, kind, row, evidence_set):
    """Probabilities and confidence of a row once the stages of a set have spoken, without any predictor."""
    probs, confidence = policy.evidence.pool(
        features_of(said_by(kind), policy.evidence.form)[row : row + 1], evidence_set
    )
    return probs[0], float(confidence[0])


def decided(policy, kind, row, evidence_set, budget_ms):
    """The stages that a policy adds to a set within a budget, one after the other."""
    lookup, left_ms, path = Lookup(policy.table(budget_ms)), np.inf if budget_ms is None else budget_ms, ()
    while True:
        trust = evidence_of(policy, kind, row, evidence_set)[1] if evidence_set else 0.0
        action = lookup.action(evidence_set, trust, left_ms)
        if action == STOP_BYTE:
            return path
        path, evidence_set, left_ms = (*path, NAMES[action]), evidence_set | 1 << action, left_ms - COSTS_MS[action]


@cache
def lasting(kind):
    """One predictor for many examples: making one takes longer than all of them."""
    return served(kind, ResultCache())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(row=st.integers(0, N - 1), budgets_ms=st.lists(BUDGETS_MS, min_size=2, max_size=4))
def test_every_answer_is_what_the_policy_decides_from_what_is_known(kind, row, budgets_ms):
    predictor, stages = lasting(kind)
    predictor._server._cache.clear()
    policy, known = predictor.policy, ()
    for budget_ms in budgets_ms:
        before = runs(stages)
        answer = predictor.predict(row, budget_ms=budget_ms)
        added = decided(policy, kind, row, set_of(known), budget_ms)
        if not known and not added:
            # Late whatever happens: from the fastest.
            added = NAMES[:1]
        assert answer.path == known + added
        assert [n - n_before for n, n_before in zip(runs(stages), before, strict=True)] == [
            int(name in added) for name in NAMES
        ]
        assert answer.from_cache is bool(known)
        known = answer.path
        probs, confidence = evidence_of(policy, kind, row, set_of(known))
        np.testing.assert_allclose(answer.probs, probs, atol=1e-6)
        assert answer.confidence == pytest.approx(confidence, abs=1e-6)
        assert answer.label == int(probs.argmax())


def rows_and_budgets(n, seed):
    rng = np.random.default_rng(seed)
    budgets_ms = [None if rng.random() < 0.2 else rng.integers(0, 1500) / 100 + 0.003 for _ in range(n)]
    return list(zip(rng.choice(N, n, replace=False).tolist(), budgets_ms, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_another_policy_reads_what_is_known_its_own_way(kind):
    predictor, stages = served(kind, ResultCache())
    known = {row: predictor.predict(row, budget_ms=budget_ms).path for row, budget_ms in rows_and_budgets(60, 0)}
    predictor.swap_policy(policy_of(kind, 4))
    for row, budget_ms in zip(known, [budget_ms for _, budget_ms in rows_and_budgets(60, 1)], strict=True):
        before, answer = runs(stages), predictor.predict(row, budget_ms=budget_ms)
        added = decided(predictor.policy, kind, row, set_of(known[row]), budget_ms)
        assert answer.from_cache
        assert answer.path == known[row] + added
        assert sum(runs(stages)) - sum(before) == len(added)
        confidence = evidence_of(predictor.policy, kind, row, set_of(answer.path))[1]
        assert answer.confidence == pytest.approx(confidence, abs=1e-6)


@pytest.mark.parametrize("kind", ["pooled", "votes", "chain"])
def test_a_batch_goes_on_from_what_is_known_of_each_row(kind):
    predictor, stages = served(kind, ResultCache())
    known = {row: predictor.predict(row, budget_ms=budget_ms).path for row, budget_ms in rows_and_budgets(60, 0)}
    fresh = [row for row in range(N) if row not in known][:20]
    expected = served(kind, None)[0].predict_batch(fresh)
    n_before = sum(runs(stages))
    answers = predictor.predict_batch([*known, *fresh])
    added = {row: decided(predictor.policy, kind, row, set_of(path), None) for row, path in known.items()}
    n_fresh = sum(n * len(path) for path, n in expected.path_counts.items())
    assert sum(runs(stages)) - n_before == sum(map(len, added.values())) + n_fresh
    for i, row in enumerate(known):
        confidence = evidence_of(predictor.policy, kind, row, set_of(known[row] + added[row]))[1]
        assert answers.confidence[i] == pytest.approx(confidence, abs=1e-6)
        assert answers.stage[i] == (known[row] + added[row])[-1]
    assert answers.from_cache.tolist() == [True] * len(known) + [False] * len(fresh)
    np.testing.assert_array_equal(answers.confidence[len(known) :], expected.confidence)


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_chain_goes_on_from_the_largest_stage_that_has_spoken(in_batch):
    predictor, _ = served("pooled", ResultCache())
    known = {row: predictor.predict(row, budget_ms=budget_ms).path for row, budget_ms in rows_and_budgets(60, 0)}
    assert len({set_of(path) for path in known.values()}) == 4
    chain = policy_of("chain")
    predictor.swap_policy(chain)
    batch = predictor.predict_batch([*known]) if in_batch else None
    n_added = 0
    for i, (row, path) in enumerate(known.items()):
        last = max(map(NAMES.index, path))
        while last < 2 and PROBS[row, last].max() < chain.chain[last]:
            last, n_added = last + 1, n_added + 1
        if batch is None:
            answer = predictor.predict(row)
            label, is_known, stage = answer.label, answer.from_cache, answer.path[-1]
            assert answer.path[: len(path)] == path
        else:
            label, is_known, stage = batch.labels[i], batch.from_cache[i], batch.stage[i]
        assert (label, is_known) == (int(PROBS[row, last].argmax()), True)
        assert NAMES.index(stage) <= last
    assert n_added


@pytest.mark.parametrize("kind", ["exits", "chain of exits"])
def test_exits_go_on_from_where_an_earlier_request_stopped(kind):
    predictor, stages = served(kind, ResultCache())
    # A fake exit checks that it is handed what the one before it handed on about this very row.
    row = next(row for row in range(N) if decided(predictor.policy, kind, row, 0, None) == NAMES)
    assert predictor.predict(row, budget_ms=1.5).path == NAMES[:1]
    assert predictor.predict(row, budget_ms=6.0).path == NAMES[:2]
    answer = predictor.submit(row, strict=True).result(30.0)
    assert (answer.path, runs(stages)) == (NAMES, [1, 1, 1])


def test_exits_whose_carry_was_not_kept_start_anew_and_answer_what_they_can():
    predictor, stages = served("exits", ResultCache())
    row = next(row for row in range(N) if decided(predictor.policy, "exits", row, 0, None) == NAMES)
    assert predictor.predict_batch([row], budget_ms=6.0).stage[0] == "second"
    # Enough for what is known: nothing runs, whichever way it is asked.
    assert predictor.predict(row, budget_ms=2.0).path == NAMES[:2]
    assert [answer.path for answer in predictor.refine(row, budget_ms=2.0)] == [NAMES[:2]]
    assert runs(stages) == [1, 1, 0]
    answer = predictor.predict(row)
    assert (answer.path, runs(stages)) == (NAMES, [2, 2, 1])


def test_several_that_go_on_share_a_batch():
    predictor, stages = served("exits", ResultCache())
    rows = [row for row in range(N) if decided(predictor.policy, "exits", row, 0, None) == NAMES][:8]
    for row in rows:
        predictor.predict(row, budget_ms=6.0)
    with predictor._engine.lane(0.0):
        futures = [predictor.submit(row, strict=True) for row in rows]
    assert {future.result(30.0).path for future in futures} == {NAMES}
    assert runs(stages) == [8, 8, 8]


@pytest.mark.parametrize("kind", ["pooled", "votes"])
@settings(max_examples=30)
@given(seed=st.integers(0, 5), first_ms=BUDGETS_MS, second_ms=st.integers(0, 1500).map(lambda n: n / 100 + 0.003))
def test_more_time_is_never_worth_less_for_having_asked_before(kind, seed, first_ms, second_ms):
    """What the policy itself expects of a request that starts at what is known, price of its time included, against a fresh one."""
    policy = policy_of(kind, seed)
    table, statistics = policy.table(second_ms), policy.statistics
    price = policy.unloaded_price(second_ms)
    fresh = worth(statistics, table, price, 0, 0, second_ms)
    # Whatever a first request has run, on average over what it may have heard.
    for evidence_set in {set_of(decided(policy, kind, row, 0, first_ms)) for row in range(20)} - {0}:
        known = first_heard(statistics, evidence_set, second_ms, table, price)
        assert known >= fresh - 0.02


def worth(statistics, table, price, evidence_set, trust_bin, left_ms):
    """Expected accuracy less what the time is worth, by the statistics of a policy."""
    centre = centres(statistics, evidence_set)[trust_bin] if evidence_set else 0.0
    action = table.action(evidence_set, centre, left_ms)
    if action < 0:
        return statistics.accuracy[evidence_set, trust_bin] if evidence_set else 0.0
    moves = statistics.transitions[evidence_set, action, trust_bin]
    after = [
        worth(statistics, table, price, evidence_set | 1 << action, b, left_ms - COSTS_MS[action])
        for b in range(len(moves))
    ]
    return float(moves @ after) - price * COSTS_MS[action]


def first_heard(statistics, evidence_set, left_ms, table, price):
    """The mean worth of starting at a set, over the confidences that its stages lead to."""
    shares, at = np.eye(statistics.accuracy.shape[1])[0], 0
    for j in range(3):
        if evidence_set >> j & 1:
            shares, at = shares @ statistics.transitions[at, j], at | 1 << j
    return float(
        sum(
            share * worth(statistics, table, price, evidence_set, b, left_ms)
            for b, share in enumerate(shares)
            if share > 1e-9
        )
    )


def centres(statistics, evidence_set):
    edges = np.concatenate([[0.0], statistics.edges[evidence_set], [1.0]])
    return (edges[1:] + edges[:-1]) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_more_time_gets_as_many_right_as_without_a_cache_within_what_the_policy_gives_up_for_time(kind):
    with_cache, _ = served(kind, ResultCache())
    without, _ = served(kind, None)
    for budget_ms in (1.5, 4.5, None):
        right = [
            np.mean([predictor.predict(row, budget_ms=budget_ms).label == LABELS[row] for row in range(N)])
            for predictor in (with_cache, without)
        ]
        assert right[0] >= right[1] - 0.02


def test_an_answer_from_the_cache_is_not_counted_as_certified():
    fresh = outcomes_of("pooled", 5)
    certificate = control_risk(policy_of("pooled"), fresh, max_risk=0.2)
    clock = VirtualClock()
    predictor = Predictor(
        stages_of("pooled", clock),
        policy_of("pooled"),
        SERVICE,
        certificate=certificate,
        clock=clock,
        cache=ResultCache(),
    )
    n_of = lambda: predictor.stats().n_certified  # noqa: E731 - asked for again and again
    rows = list(range(20))
    # What was proved is about paths from their beginning: duplicates of a row share one of these.
    predictor.predict_batch([*rows, 0, 1])
    assert n_of() == 22
    predictor.predict_batch(rows)
    predictor.predict(0)
    predictor.submit(1).result(30.0)
    [*predictor.refine(2)]
    assert n_of() == 22
    predictor.predict(20)
    assert n_of() == 23


# Near duplicates, and other processes.


def test_the_answer_about_a_near_duplicate_is_given_where_it_was_proved_near_enough():
    proved = control_similarity(np.linspace(0.5, 1.0, 2000), np.zeros(2000, bool), max_risk=0.05)
    similar = SimilarityCache(embed=lambda x: [np.cos(x / 1e6), np.sin(x / 1e6)], threshold=proved)
    cache_ = ResultCache(similar=similar)
    predictor, stages = served("pooled", cache_)
    known = predictor.predict(7)
    before = runs(stages)
    answer = predictor.predict(8)
    assert (answer.label, answer.confidence, answer.path, answer.from_cache) == (
        known.label,
        known.confidence,
        known.path,
        True,
    )
    assert predictor.submit(9).result(30.0).label == known.label
    assert predictor.predict_batch([10]).labels[0] == known.label
    assert runs(stages) == before
    # A neighbour's answer is taken as it stands, or not at all.
    cache_.clear()
    row = next(row for row in range(N) if len(decided(predictor.policy, "pooled", row, 0, None)) > 1)
    predictor.predict(row, budget_ms=1.5)
    other = predictor.predict(row + 1)
    assert (other.from_cache, other.path) == (False, decided(predictor.policy, "pooled", row + 1, 0, None))
    stats = cache_.stats()
    assert (stats.neighbours, stats.lookups) == (3, 6)


def test_what_is_known_outlives_the_process(tmp_path):
    pytest.importorskip("diskcache")
    folder = tmp_path / "results"
    predictor, _ = served("votes", ResultCache(folder=folder))
    rows = range(30)
    known = {row: predictor.predict(row, budget_ms=4.5) for row in rows}
    predictor.close()
    again, stages = served("votes", ResultCache(folder=folder))
    for row in rows:
        answer = again.predict(row, budget_ms=4.5)
        assert (answer.from_cache, answer.label, answer.confidence) == (True, known[row].label, known[row].confidence)
        assert answer.path == known[row].path
    assert runs(stages) == [0, 0, 0]
    other, stages = served(
        "votes", ResultCache(folder=folder), stages=stages_of("votes", VirtualClock(), ("2", "2", "2"))
    )
    assert not other.predict(0, budget_ms=4.5).from_cache
    again.close()
    other.close()


def test_refusals_of_status_are_the_same_with_and_without_a_cache():
    answers = {}
    for name, cache_ in (("with", ResultCache()), ("without", None)):
        predictor, _ = served("pooled", cache_)
        answers[name] = predictor.predict(0, budget_ms=0.5, infeasible="prior")
    assert answers["with"].status is answers["without"].status is Status.DEGRADED
    assert answers["with"].path == ()
    assert not answers["with"].from_cache


# Whatever comes, in whatever order.

TTL_MS = 60.0
UNSURE = [row for row in range(N) if len(decided(policy_of("pooled"), "pooled", row, 0, None)) > 1][:2]
ROWS, TENANTS = st.sampled_from(UNSURE), st.sampled_from([None, "a"])
WAYS = st.sampled_from(["predict", "submit", "batch", "refine", "strict"])


@cache
def aged():
    clock = VirtualClock()
    cache_ = ResultCache(ttl_ms=TTL_MS, clock=clock)
    return (*served("pooled", cache_, clock=clock), cache_, clock)


class CachedRequests(RuleBasedStateMachine):
    """One predictor, beside what must be known by row and tenant: the path, and when the oldest part of it was said."""

    def __init__(self):
        super().__init__()
        self.predictor, self.stages, self.cache, self.clock = aged()
        self.cache.clear()
        self.predictor.swap_policy(policy_of("pooled"))
        self.known = {}

    @rule(row=ROWS, tenant=TENANTS, budget_ms=BUDGETS_MS, way=WAYS)
    def ask(self, row, tenant, budget_ms, way):
        self.check(row, tenant, budget_ms, way)

    @rule(row=ROWS, tenant=TENANTS, way=WAYS)
    def ask_for_more_and_more(self, row, tenant, way):
        for budget_ms in (1.503, 4.503, None):
            self.check(row, tenant, budget_ms, way)
            self.clock.wait(TTL_MS / 4)

    def check(self, row, tenant, budget_ms, way):
        start_ms, n_before = self.clock.now_ms(), sum(runs(self.stages))
        path, born_ms = self.known.get((row, tenant), ((), 0.0))
        is_known = bool(path) and start_ms < born_ms + TTL_MS
        keywords = {"budget_ms": budget_ms, "namespace": tenant}
        if way == "batch":
            answers = self.predictor.predict_batch([row], **keywords)
            told, from_cache, confidence = next(iter(answers.path_counts)), answers.from_cache[0], answers.confidence[0]
        else:
            answer = {
                "predict": lambda: self.predictor.predict(row, **keywords),
                "strict": lambda: self.predictor.predict(row, infeasible="prior", strict=True, **keywords),
                "submit": lambda: self.predictor.submit(row, **keywords).result(30.0),
                "refine": lambda: [*self.predictor.refine(row, **keywords)][-1],
            }[way]()
            told, from_cache, confidence = answer.path, answer.from_cache, answer.confidence
        assert from_cache == is_known
        begun = path if is_known else ()
        assert told[: len(begun)] == begun
        assert sum(runs(self.stages)) - n_before == len(told) - len(begun)
        if told:
            expected = evidence_of(self.predictor.policy, "pooled", row, set_of(told))[1]
            assert confidence == pytest.approx(expected, abs=1e-6)
        self.keep(row, tenant, begun, told, born_ms)

    def keep(self, row, tenant, begun, told, born_ms):
        """What is known by now: what has grown too old while stages ran is replaced by what they said."""
        now_ms, added = self.clock.now_ms(), told[len(begun) :]
        if begun and now_ms < born_ms + TTL_MS:
            self.known[row, tenant] = told, born_ms
        elif added:
            self.known[row, tenant] = added, now_ms

    @rule(duration_ms=st.sampled_from([TTL_MS / 3, TTL_MS * 0.7]))
    def wait(self, duration_ms):
        self.clock.wait(duration_ms)

    @rule(tenant=TENANTS, is_all=st.booleans())
    def forget(self, tenant, is_all):
        if is_all:
            self.cache.clear()
        else:
            self.cache.invalidate(tenant)
        self.known = {name: value for name, value in self.known.items() if not is_all and name[1] != tenant}

    @rule(seed=st.sampled_from([3, 4]))
    def swap(self, seed):
        self.predictor.swap_policy(policy_of("pooled", seed))

    @invariant()
    def counts_add_up(self):
        stats = self.cache.stats()
        assert stats.stored == stats.evictions + stats.expired + stats.invalidated + stats.entries
        assert stats.bytes <= stats.max_bytes
        assert len(self.cache.flights) == 0
        assert not self.cache.flights.is_at_work()


TestCachedRequests = pytest.mark.slow(CachedRequests.TestCase)
TestCachedRequests.settings = settings(max_examples=25, stateful_step_count=30)
