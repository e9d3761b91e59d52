"""Replay against a loop over single items that knows nothing of arrays."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.replay import fastest_stage, label_array, path_counts_of, paths_of
from cascade.core.service import ServiceTable
from cascade.core.times import stage_times

COSTS = (1.0, 4.0, 10.0)
SPREAD = ServiceTable(
    stages=None,
    batch_sizes=(1,),
    mean_ms=np.array([[1.0], [4.0], [10.0]]),
    quantile_ms=np.array([[[0.9], [3.5], [9.0]], [[1.2], [5.0], [12.0]], [[2.0], [8.0], [20.0]]]),
    levels=(0.5, 0.9, 0.99),
    costs=np.array(COSTS),
)


@pytest.fixture(scope="module")
def of_probs(ladder):
    return fit_policy(ladder(n=400, seed=11), SPREAD, 0.0)


@pytest.fixture(scope="module")
def of_votes(votes):
    return fit_policy(votes(n=400, k=3), SPREAD, 0.0)


@pytest.fixture(scope="module")
def fresh_probs(ladder):
    return ladder(n=60, seed=12)


@pytest.fixture(scope="module")
def fresh_votes(votes):
    return votes(n=60, k=3, seed=12)


def pooled(evidence, outcomes, i, members):
    """Probabilities and confidence of one item, in plain Python."""
    s = sum(1 << j for j in members)
    scores = evidence.bias[s].tolist()
    for j in members:
        if evidence.form == "stacked":
            trust = min(max(float(outcomes.confidence[i, j]), 1e-4), 1.0 - 1e-4)
            u, v = math.log(trust / (1.0 - trust)) / 3.0, trust - 0.5
            label = int(outcomes.predicted[i, j])
            if label < evidence.tables.shape[2]:
                table = evidence.tables[s, j, label]
                scores = [z + float(a + u * b + v * d) for z, a, b, d in zip(scores, *table, strict=True)]
        else:
            logs = [max(float(value), float(evidence.floors[j])) for value in outcomes.log_probs[i, j]]
            scores = [z + float(evidence.weights[s, j]) * value for z, value in zip(scores, logs, strict=True)]
    total = sum(math.exp(z - max(scores)) for z in scores)
    slope, shift = evidence.recal[s]
    top = min(max(1.0 / total, 1e-12), 1.0 - 1e-12)
    return scores.index(max(scores)), 1.0 / (1.0 + math.exp(-slope * math.log(top / (1.0 - top)) - shift))


def walked(policy, outcomes, i, budget_ms, price):
    """Label, confidence and path of one item."""
    table, times = policy.table(budget_ms, price), policy.times()
    left_ms = math.inf if budget_ms is None else budget_ms
    members, label, confidence = [], None, 0.0
    while True:
        action = table.action(sum(1 << j for j in members), confidence, left_ms)
        if action < 0 and not members:
            action = min(range(len(COSTS)), key=lambda j: times.upper_ms[j])
        if action < 0:
            return label, confidence, tuple(members)
        members.append(action)
        left_ms -= float(times.mean_ms[action])
        label, confidence = pooled(policy.evidence, outcomes, i, sorted(members))


def agrees_item_by_item(policy, outcomes, budget_ms, price):
    result = policy.replay(outcomes, budget_ms, price)
    single = [walked(policy, outcomes, i, budget_ms, price) for i in range(outcomes.n_items)]
    assert result.labels.tolist() == [policy.classes[label] for label, _, _ in single]
    assert result.confidence == pytest.approx([confidence for _, confidence, _ in single], abs=1e-6)
    paths = Counter(tuple(outcomes.stages[j] for j in path) for _, _, path in single)
    assert result.path_counts == paths
    assert result.cost == pytest.approx([sum(COSTS[j] for j in path) for _, _, path in single])
    assert result.time_ms == pytest.approx([sum(COSTS[j] for j in path) for _, _, path in single])
    truth = [outcomes.classes[y] for y in outcomes.labels]
    assert result.correct.tolist() == [policy.classes[single[i][0]] == truth[i] for i in range(len(truth))]


budgets = st.none() | st.floats(0.0, 45.0)
prices = st.none() | st.floats(1e-6, 0.2)


@given(budget_ms=budgets, price=prices)
@settings(max_examples=25)
@pytest.mark.slow
def test_replay_equals_a_loop_over_items_with_scores(of_probs, fresh_probs, budget_ms, price):
    agrees_item_by_item(of_probs, fresh_probs, budget_ms, price)


@given(budget_ms=budgets, price=prices)
@settings(max_examples=25)
@pytest.mark.slow
def test_replay_equals_a_loop_over_items_with_labels(of_votes, fresh_votes, budget_ms, price):
    agrees_item_by_item(of_votes, fresh_votes, budget_ms, price)


@pytest.mark.parametrize("confidence_kind", ["scores", "labels"])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.8, 1.0])
def test_a_chain_exits_from_its_threshold_on_equality_included(confidence_kind, threshold):
    trust = np.array([0.55, 0.6, 0.799999, 0.8, 0.9, 1.0])
    if confidence_kind == "scores":
        first = np.stack([trust, 1.0 - trust], axis=1)
        outcomes = Outcomes.from_probs(np.stack([first, first[:, ::-1]], axis=1), np.zeros(6, int))
    else:
        outcomes = Outcomes.from_predictions(
            np.tile([0, 1], (6, 1)), np.stack([trust, trust], axis=1), np.zeros(6, int)
        )
    result = Policy.from_thresholds([threshold], ServiceTable.from_costs([1.0, 2.0])).replay(outcomes)
    assert result.labels.tolist() == [0 if value >= threshold else 1 for value in trust]
    assert result.confidence == pytest.approx(trust, abs=1e-6)


def test_a_chain_stops_where_the_next_stage_does_not_fit(ladder):
    outcomes = ladder(n=50)
    chain = Policy.from_thresholds([1.0, 1.0], ServiceTable.from_costs(COSTS))
    for budget_ms, path in ((0.5, 1), (4.99, 1), (5.0, 2), (14.9, 2), (15.0, 3)):
        assert list(chain.replay(outcomes, budget_ms).path_counts) == [outcomes.stages[:path]]


def test_a_budget_below_every_stage_is_answered_by_the_fastest_and_costs_what_it_costs(of_probs, fresh_probs):
    result = of_probs.replay(fresh_probs, budget_ms=0.5)
    assert result.path_counts == {("stage0",): 60}
    assert (result.mean_ms, result.mean_cost) == (1.0, 1.0)


def test_labels_never_met_are_never_answered_and_change_no_other_row(of_votes, fresh_votes):
    names = np.array(fresh_votes.classes)
    said = names[fresh_votes.predicted].astype(object)
    said[:5] = "yak"
    strange = Outcomes.from_predictions(said, fresh_votes.confidence, names[fresh_votes.labels])
    with_yaks, without = of_votes.replay(strange), of_votes.replay(fresh_votes)
    assert "yak" not in with_yaks.labels
    assert np.array_equal(with_yaks.labels[5:], without.labels[5:])
    assert np.array_equal(with_yaks.confidence[5:], without.confidence[5:])


def test_a_label_never_met_says_nothing_to_a_lone_stage_and_changes_no_other_row(votes):
    policy = fit_policy(votes(k=1), ServiceTable.from_costs([1.0]))
    fresh = votes(n=40, k=1, seed=3)
    names = np.array(fresh.classes)
    said = names[fresh.predicted].astype(object)
    said[0] = "yak"
    strange = Outcomes.from_predictions(said, fresh.confidence, names[fresh.labels])
    assert policy.replay(strange).labels[0] in names
    assert np.array_equal(policy.replay(strange).labels[1:], policy.replay(fresh).labels[1:])
    assert np.array_equal(policy.replay(strange).confidence[1:], policy.replay(fresh).confidence[1:])


def test_a_truth_the_policy_does_not_know_counts_as_a_wrong_answer(of_votes):
    strange = Outcomes.from_predictions([["cat", "cat", "cat"]], [[0.9, 0.9, 0.9]], ["yak"])
    assert of_votes.replay(strange).accuracy == 0.0


def test_exits_stay_in_order_whatever_the_saved_outcomes_know_of_it(ladder):
    outcomes = ladder(n=400)
    policy = fit_policy(outcomes, ServiceTable.from_costs([4.0, 1.0, 1.0]))
    exits = Policy(
        policy.stages, policy.classes, policy.service, policy.evidence, _with_order(policy.statistics), (-1, 0, 1)
    )
    for budget_ms in (None, 0.5, 5.0):
        for path in exits.replay(outcomes, budget_ms).path_counts:
            assert path == outcomes.stages[: len(path)]


def _with_order(statistics):
    return type(statistics)((-1, 0, 1), statistics.edges, statistics.accuracy, statistics.transitions)


def test_the_summary_is_that_of_the_rows(of_probs, fresh_probs):
    result = of_probs.replay(fresh_probs)
    assert result.accuracy == result.correct.mean()
    assert result.mean_ms == result.time_ms.mean()
    assert result.p99_ms == np.quantile(result.time_ms, 0.99)
    assert sum(result.path_counts.values()) == 60


def test_the_fastest_stage_is_one_that_may_run_first():
    times = stage_times(ServiceTable.from_costs([4.0, 1.0, 3.0]), 1, 0.99, 0.0)
    assert fastest_stage(times, (-1, -1, -1)) == 1
    assert fastest_stage(times, (-1, 0, -1)) == 2


def test_labels_keep_their_type():
    assert label_array(("a", "b")).dtype.kind == "U"
    assert label_array((3, 5)).tolist() == [3, 5]
    mixed = label_array((("a", 1), ("b", 2)))
    assert mixed.dtype == object
    assert mixed.tolist() == [("a", 1), ("b", 2)]


def test_paths_are_counted_the_most_frequent_first():
    trace = np.array([1, 1, 1 * 4 + 3, 2])
    assert list(path_counts_of(trace, ("a", "b", "c")).items()) == [(("a",), 2), (("b",), 1), (("a", "c"), 1)]


def test_every_item_knows_the_place_of_its_path():
    trace = np.array([2, 1, 1 * 4 + 3, 1])
    counts, places = paths_of(trace, ("a", "b", "c"))
    assert [tuple(counts)[place] for place in places] == [("b",), ("a",), ("a", "c"), ("a",)]


def test_what_is_shown_of_a_replay_is_one_line(of_probs, ladder):
    done = of_probs.replay(ladder(n=300, seed=5), price=1.0)
    assert done.path_counts == {("stage0",): 300}
    assert repr(done) == f"Replay(300 items, accuracy {done.accuracy:.4f}, mean 1 ms, p99 1 ms)"
