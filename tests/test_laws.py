"""The laws that every policy keeps, whatever the data, the times and the prices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cascade.calibration.fit import fit_policy
from cascade.core.evidence import last_stage_evidence
from cascade.core.induction import STOP, Statistics
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable

BUDGETS_MS = (None, 0.5, 1.0, 4.5, 5.0, 11.0, 14.0, 15.0)
SERVICE = ServiceTable.from_costs([1.0, 4.0, 10.0])


def scores(seed=0, n=600, k=3, c=4, skewed=False):
    """Outcomes of stages that get more accurate; ``skewed``: they favour the first class, which is rare."""
    rng = np.random.default_rng(seed)
    shares = np.linspace(1.0, 3.0, c) if skewed else np.ones(c)
    labels = rng.choice(c, n, p=shares / shares.sum())
    logits = rng.normal(size=(n, k, c))
    logits[np.arange(n), :, labels] += np.linspace(1.0, 3.0, k) + rng.normal(size=(n, 1))
    logits[:, :, 0] += 1.5 * skewed
    probs = np.exp(logits)
    return Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels)


def votes(seed=0, n=600, k=3, c=3, lowest=0.0):
    """Outcomes of stages that say a label and a confidence from ``lowest`` to 1, which is how often they are right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    trust = rng.uniform(lowest, 1.0, (n, k))
    said = np.where(rng.random((n, k)) < trust, labels[:, None], rng.integers(0, c, (n, k)))
    return Outcomes.from_predictions(said, trust, labels)


@st.composite
def statistics_and_service(draw):
    """A policy that was never fitted: random accuracies, moves, times, and an order of exits."""
    seed, k, n_bins = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 4)), draw(st.integers(2, 6))
    rng = np.random.default_rng(seed)
    requires = tuple(draw(st.sampled_from([-1, -1, j - 1])) for j in range(k))
    edges = np.sort(rng.random((1 << k, n_bins - 1)), axis=1)
    accuracy = np.sort(rng.random((1 << k, n_bins)), axis=1)
    moves = rng.random((1 << k, k, n_bins, n_bins)).astype(np.float32) ** 3 + 1e-6
    statistics = Statistics(requires, edges, accuracy, moves / moves.sum(axis=3, keepdims=True))
    mean_ms = 10.0 ** rng.uniform(-1.0, 1.5, (k, 1))
    quantile_ms = mean_ms * np.cumsum(rng.uniform(0.1, 0.6, (3, k, 1)), axis=0)
    service = ServiceTable(
        stages=None,
        batch_sizes=(1,),
        mean_ms=mean_ms,
        quantile_ms=quantile_ms,
        levels=(0.5, 0.9, 0.99),
        costs=rng.random(k),
    )
    drop = draw(st.sampled_from([0.0, 0.003, 0.1]))
    audit = np.array([[0.3, 0.6, 0.9], [0.28, 0.57, 0.88]]) if draw(st.booleans()) else np.zeros((2, 0))
    names = tuple(f"s{j}" for j in range(k))
    evidence = last_stage_evidence(k, np.array([0.5, 0.5]))
    return Policy(names, (0, 1), service, evidence, statistics, requires, drop=drop, audit=audit)


@given(policy=statistics_and_service())
@settings(max_examples=60)
def test_expected_accuracy_never_falls_as_the_budget_grows(policy):
    edges = policy.decisions().time_edges_ms
    budgets = [None if np.isinf(edge) else float(edge) for edge in edges]
    accuracy = [policy.expected(budget_ms).accuracy for budget_ms in budgets]
    assert np.all(np.diff(accuracy) >= 0.0)


@given(policy=statistics_and_service(), share=st.floats(0.0, 1.0))
@settings(max_examples=60)
def test_no_more_time_is_used_as_the_price_grows(policy, share):
    decisions = policy.decisions()
    finite = decisions.time_edges_ms[np.isfinite(decisions.time_edges_ms)]
    budget_ms = None if share == 1.0 else float(share * finite[-1] * 1.1)
    mean_ms = [policy.expected(budget_ms, price=float(price)).mean_ms for price in decisions.prices]
    # A tie of 1e-9 is worth this at the least step between two prices.
    assert np.all(np.diff(mean_ms) <= 1e-3 * policy.times().mean_ms.max())


@given(policy=statistics_and_service(), price=st.floats(1e-6, 1.0))
def test_no_stage_follows_a_set_that_holds_it_or_lacks_what_it_requires(policy, price):
    actions = policy.table(price=price).actions
    for s in range(actions.shape[0]):
        for j in np.unique(actions[s]):
            before = policy.requires[j] if j != STOP else -1
            assert j == STOP or not s >> j & 1
            assert before < 0 or s >> before & 1


@given(policy=statistics_and_service(), price=st.floats(1e-6, 1.0), left_ms=st.floats(0.0, 100.0))
def test_no_stage_starts_that_does_not_fit_the_time_left(policy, price, left_ms):
    table, upper_ms = policy.table(price=price), policy.times().upper_ms
    for s in range(table.actions.shape[0]):
        chosen = np.unique(table.actions_of(s, np.linspace(0.0, 1.0, 50), np.full(50, left_ms)))
        assert all(upper_ms[j] <= left_ms + 1e-9 for j in chosen if j != STOP)


@pytest.fixture(scope="module", params=["scores", "skewed scores", "votes", "exits", "chain"])
def policy_and_fresh(request):
    """A policy of each kind, and outcomes it has not seen."""
    if request.param == "votes":
        return fit_policy(votes(), SERVICE), votes(seed=1)
    skewed = request.param == "skewed scores"
    fitted_on, fresh = (scores(seed=seed, skewed=skewed) for seed in (0, 1))
    if request.param == "exits":
        fitted_on, fresh = (replace(outcomes, requires=(-1, 0, 1)) for outcomes in (fitted_on, fresh))
    if request.param == "chain":
        return Policy.from_thresholds([0.8, 0.7], SERVICE), fresh
    return fit_policy(fitted_on, SERVICE), fresh


@pytest.mark.parametrize("budget_ms", BUDGETS_MS)
def test_no_stage_runs_twice_for_an_item(policy_and_fresh, budget_ms):
    policy, fresh = policy_and_fresh
    for path in policy.replay(fresh, budget_ms).path_counts:
        assert path
        assert len(set(path)) == len(path)


@pytest.mark.parametrize("budget_ms", [None, 5.0])
@given(seed=st.integers(0, 2**32 - 1), n_kept=st.integers(1, 600))
@settings(max_examples=10)
def test_taking_rows_in_any_order_takes_their_answers(policy_and_fresh, budget_ms, seed, n_kept):
    policy, fresh = policy_and_fresh
    rows = np.random.default_rng(seed).permutation(fresh.n_items)[:n_kept]
    every, some = policy.replay(fresh, budget_ms), policy.replay(fresh.take(rows), budget_ms)
    assert np.array_equal(every.labels[rows], some.labels)
    assert np.array_equal(every.confidence[rows], some.confidence)
    assert np.array_equal(every.time_ms[rows], some.time_ms)


def test_a_saved_and_loaded_policy_is_equal_and_replays_the_same(policy_and_fresh, tmp_path):
    policy, fresh = policy_and_fresh
    policy.save(tmp_path / "policy.json")
    loaded = Policy.load(tmp_path / "policy.json")
    assert loaded == policy
    for budget_ms in BUDGETS_MS:
        ours, theirs = policy.replay(fresh, budget_ms), loaded.replay(fresh, budget_ms)
        assert np.array_equal(ours.labels, theirs.labels)
        assert np.array_equal(ours.confidence, theirs.confidence)
        assert ours.path_counts == theirs.path_counts


@given(factors=st.tuples(*[st.floats(0.1, 10.0)] * 3))
@settings(max_examples=20)
def test_retiming_leaves_what_was_learned_and_can_be_undone(policy_and_fresh, factors):
    policy, fresh = policy_and_fresh
    assume(set(factors) != {1.0})
    slower = policy.retime(policy.service.scaled(factors))
    assert slower.statistics is policy.statistics
    assert slower.evidence is policy.evidence
    assert slower.audit is policy.audit
    assert slower != policy
    back = slower.retime(policy.service)
    assert back == policy
    assert np.array_equal(back.replay(fresh, 5.0).labels, policy.replay(fresh, 5.0).labels)


@pytest.mark.parametrize("budget_ms", [None, 11.0])
def test_a_higher_price_replays_cheaper(policy_and_fresh, budget_ms):
    policy, fresh = policy_and_fresh
    if policy.chain is not None:
        return
    mean_ms = [policy.replay(fresh, budget_ms, float(price)).mean_ms for price in policy.decisions().prices[::2]]
    # Fresh rows fall into other bins than fitted ones: a step up by 3 % of the dearest plan is chance.
    assert np.all(np.diff(mean_ms) <= 0.03 * mean_ms[0])
    assert mean_ms[-1] == 1.0


LONE = ServiceTable.from_costs([1.0])


def in_order(confidence, own):
    """Whether no two items whose own confidence differs by more than single precision holds change places."""
    order = np.argsort(own)
    own, confidence = own[order], confidence[order]
    highest_before = np.maximum.accumulate(confidence)
    before = np.searchsorted(own, own - 1e-3) - 1
    return bool(np.all((before < 0) | (confidence >= highest_before[np.maximum(before, 0)])))


@pytest.mark.filterwarnings("ignore::cascade.errors.WeakConfidenceWarning")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("c", [2, 4, 150])
def test_with_one_stage_that_gives_scores_the_cascade_is_that_stage(seed, skewed, c):
    alone, fresh = (scores(seed=100 * again + seed, k=1, c=c, skewed=skewed) for again in (0, 1))
    policy = fit_policy(alone, LONE)
    for outcomes in (alone, fresh):
        result = policy.replay(outcomes)
        assert np.array_equal(result.labels, outcomes.predicted[:, 0])
        # The temperature of the scores may change places between more than two classes, never the label.
        assert c > 2 or in_order(result.confidence, outcomes.confidence[:, 0])
        assert result.path_counts == {("stage0",): outcomes.n_items}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lowest", [0.0, 0.4])
@pytest.mark.parametrize("c", [2, 3, 100])
def test_with_one_stage_that_says_labels_the_cascade_is_that_stage(seed, lowest, c):
    alone, fresh = (votes(seed=100 * again + seed, k=1, c=c, lowest=lowest) for again in (0, 1))
    policy = fit_policy(alone, LONE)
    for outcomes in (alone, fresh):
        result = policy.replay(outcomes)
        assert result.labels.tolist() == [outcomes.classes[label] for label in outcomes.predicted[:, 0]]
        assert in_order(result.confidence, outcomes.confidence[:, 0])


def test_a_chain_of_one_stage_is_that_stage_uncalibrated():
    outcomes = scores(k=1)
    result = Policy.from_thresholds([], LONE).replay(outcomes)
    assert np.array_equal(result.labels, outcomes.predicted[:, 0])
    assert result.confidence == pytest.approx(outcomes.confidence[:, 0], abs=1e-6)
