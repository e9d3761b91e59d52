"""Policies as values: made, retimed, replayed, compared, explained, saved, and what they refuse."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, PolicyMismatch

SERVICE = ServiceTable.from_costs([1.0, 4.0, 10.0])


@pytest.fixture(scope="module")
def outcomes(ladder):
    return ladder()


@pytest.fixture(scope="module")
def fresh(ladder):
    return ladder(seed=1)


@pytest.fixture(scope="module")
def policy(outcomes):
    return fit_policy(outcomes, SERVICE)


@pytest.fixture
def chain():
    return Policy.from_thresholds([0.8, 0.7], SERVICE)


def test_replay_with_no_deadline_beats_the_first_stage_and_costs_less_than_all(policy, fresh):
    result = policy.replay(fresh)
    assert result.accuracy > fresh.correct[:, 0].mean() + 0.05
    assert result.mean_cost < 15.0


def test_replay_stays_within_the_budget_where_any_stage_fits(policy, fresh):
    for budget_ms in (1.0, 4.0, 5.0, 11.0, 15.0):
        assert policy.replay(fresh, budget_ms=budget_ms).time_ms.max() <= budget_ms + 1e-9


def test_expected_accuracy_and_time_are_what_fresh_data_show(policy, ladder):
    for budget_ms in (None, 5.0):
        shown = [policy.replay(ladder(seed=seed, n=4000), budget_ms) for seed in (3, 4)]
        # Two standard errors of 900 fitted and 8000 fresh rows.
        assert policy.expected(budget_ms).accuracy == pytest.approx(np.mean([r.accuracy for r in shown]), abs=0.03)
        assert policy.expected(budget_ms).mean_ms == pytest.approx(np.mean([r.mean_ms for r in shown]), rel=0.1)


def test_what_is_expected_where_nothing_fits_is_the_fastest_stage_alone(policy, outcomes):
    outlook = policy.expected(0.5)
    assert (outlook.mean_ms, outlook.mean_cost) == (1.0, 1.0)
    assert outlook.accuracy == pytest.approx(outcomes.correct[:, 0].mean(), abs=0.03)


def test_expectations_at_a_price_are_those_of_the_nearest_one_solved(policy):
    prices = policy.decisions().prices
    assert policy.expected(price=float(prices[7]) * 1.05) == policy.expected(price=float(prices[7]))
    assert policy.expected(price=0.0) == policy.expected(price=float(prices[0]))


def test_a_larger_price_leads_to_a_cheaper_plan(policy, fresh):
    dear, cheap = (policy.replay(fresh, price=price).mean_ms for price in (1e-4, 0.1))
    assert cheap < 0.7 * dear


def test_retiming_changes_the_plan_and_nothing_that_was_learned(policy):
    slow = policy.retime(ServiceTable.from_costs([1.0, 40.0, 100.0]))
    assert slow.statistics is policy.statistics
    assert slow.evidence is policy.evidence
    assert slow != policy
    assert slow.retime(SERVICE) == policy
    assert slow.expected(20.0) != policy.expected(20.0)


def test_a_policy_equals_its_copy_and_nothing_else(policy, outcomes):
    assert copy.deepcopy(policy) == policy
    assert fit_policy(outcomes, SERVICE) == policy
    assert policy != fit_policy(outcomes, SERVICE, policy.drop + 0.01)
    assert policy != "policy"


def test_what_was_solved_does_not_count_in_a_comparison(outcomes):
    asked, unasked = fit_policy(outcomes, SERVICE), fit_policy(outcomes, SERVICE)
    asked.table(5.0)
    assert asked == unasked
    assert asked.to_dict() == unasked.to_dict()


def test_a_policy_cannot_be_changed(policy):
    with pytest.raises(AttributeError):
        policy.drop = 0.5


def test_what_is_shown_of_a_policy_is_short(policy):
    assert len(repr(policy)) < 400


@pytest.mark.slow
def test_a_notebook_shows_the_stages_of_a_policy_and_its_plan(policy, html_words):
    words = html_words(policy._repr_html_())
    assert words[:5] == ["Policy over 3 stages, fitted on 900 items", "stage", "mean ms", "0.99 quantile, ms", "cost"]
    assert words[5:9] == ["stage0", "1", "1", "1"]
    plan = words[words.index("without a deadline") + 1 :]
    assert [": ".join(step) for step in zip(plan[::2], plan[1::2], strict=True)] == str(
        policy.thresholds()
    ).splitlines()


def test_a_notebook_shows_no_plan_of_many_stages_because_solving_them_takes_long(html_words):
    chain = Policy.from_thresholds([0.9] * 5, ServiceTable.from_costs([1.0] * 6))
    words = html_words(chain._repr_html_())
    assert words[0] == "Policy over 6 stages, thresholds set by hand"
    assert words[-1] == "policy.explain(budget_ms=...) says what it does."


def test_threads_that_ask_at_once_get_the_same(outcomes):
    shared, alone = fit_policy(outcomes, SERVICE), fit_policy(outcomes, SERVICE)
    prices = [None, *np.geomspace(1e-4, 0.1, 150).tolist()]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda price: shared.table(5.0, price).actions.tobytes(), prices * 2))
    wanted = [alone.table(5.0, price).actions.tobytes() for price in prices]
    assert found == wanted * 2


def test_a_chain_exits_at_its_threshold(chain, fresh):
    result = chain.replay(fresh)
    goes_on = fresh.confidence[:, 0] < 0.8
    assert result.path_counts[("stage0",)] == int((~goes_on).sum())
    assert chain.replay(fresh, budget_ms=4.9).path_counts == {("stage0",): 900}


def test_a_chain_takes_the_names_of_its_stages_or_the_service_table():
    named = ServiceTable.from_costs([1.0, 2.0], stages=["a", "b"])
    assert Policy.from_thresholds([0.5], named).stages == ("a", "b")
    assert Policy.from_thresholds([0.5], ServiceTable.from_costs([1.0, 2.0]), stages=["c", "d"]).stages == ("c", "d")
    with pytest.raises(PolicyMismatch, match=r"of the stages \('c', 'd'\), got those of \('a', 'b'\)"):
        Policy.from_thresholds([0.5], named, stages=["c", "d"])
    with pytest.raises(ConfigurationError, match="expected distinct stage names"):
        Policy.from_thresholds([0.5], ServiceTable.from_costs([1.0, 2.0]), stages=["c", "c"])


def test_a_chain_has_no_prices_and_expects_nothing(chain, fresh):
    for ask in (
        lambda: chain.replay(fresh, price=0.1),
        chain.decisions,
        chain.expected,
        chain.unloaded_price,
        lambda: chain.explain(price=0.1),
    ):
        with pytest.raises(ConfigurationError, match="a chain of thresholds has no prices: fit a policy"):
            ask()


def test_a_chain_learns_its_classes_from_what_it_meets(chain, votes):
    bound = chain.for_classes(("cat", "dog", "eel"))
    assert bound.classes == ("cat", "dog", "eel")
    assert bound.for_classes(["cat", "dog", "eel"]) is bound
    assert set(chain.replay(votes(k=3)).labels) <= {"cat", "dog", "eel"}


def test_a_fitted_policy_keeps_its_classes(policy):
    assert policy.for_classes((0, 1, 2, 3)) is policy
    with pytest.raises(PolicyMismatch, match=r"fitted on, \(0, 1, 2, 3\), got \(0, 1\)"):
        policy.for_classes((0, 1))


def test_thresholds_cover_every_confidence_and_name_the_stages(policy, chain):
    rows = policy.thresholds(budget_ms=15.0)
    assert rows[0].evidence == ()
    for row in rows:
        assert row.intervals[0][0] == 0.0
        assert row.intervals[-1][1] == 1.0
        assert {action for _, _, action in row.intervals} <= {"answer", *policy.stages}
    assert [row.exit_at for row in chain.thresholds()] == [None, 0.8, 0.7, 0.0]


BAD_BUDGETS = [-1.0, float("nan"), float("-inf")]
BAD_PRICES = [-1.0, float("nan"), float("inf")]


@pytest.mark.parametrize("budget_ms", BAD_BUDGETS)
def test_a_budget_that_is_none_is_refused_wherever_it_is_given(policy, chain, fresh, budget_ms):
    for ask in (
        lambda: policy.replay(fresh, budget_ms=budget_ms),
        lambda: policy.replay(fresh, budget_ms=budget_ms, price=0.1),
        lambda: policy.expected(budget_ms),
        lambda: policy.explain(budget_ms),
        lambda: policy.thresholds(budget_ms),
        lambda: policy.unloaded_price(budget_ms),
        lambda: policy.table(budget_ms, 0.1),
        lambda: chain.replay(fresh, budget_ms=budget_ms),
        lambda: chain.explain(budget_ms),
    ):
        with pytest.raises(ConfigurationError, match=f"expected budget_ms >= 0 or None, got {budget_ms}"):
            ask()


@pytest.mark.parametrize("price", BAD_PRICES)
def test_a_price_that_is_none_is_refused_wherever_it_is_given(policy, fresh, price):
    for ask in (
        lambda: policy.replay(fresh, price=price),
        lambda: policy.expected(price=price),
        lambda: policy.explain(price=price),
        lambda: policy.thresholds(price=price),
        lambda: policy.table(price=price),
    ):
        with pytest.raises(ConfigurationError, match=f"expected a finite price >= 0, .* got {price}"):
            ask()


def test_outcomes_and_service_times_of_other_stages_are_refused(policy, ladder):
    with pytest.raises(PolicyMismatch, match="got .'stage0', 'stage1'.: pass the same stages in the same order"):
        policy.replay(ladder(k=2))
    with pytest.raises(PolicyMismatch, match="expected scores of the classes this policy was fitted on"):
        policy.replay(ladder(c=5))
    with pytest.raises(PolicyMismatch, match="expected service times of 3 stages .* got 2: profile these stages"):
        policy.retime(ServiceTable.from_costs([1.0, 2.0]))
    with pytest.raises(PolicyMismatch, match="got those of .'a', 'b', 'c'.: profile these stages"):
        policy.retime(ServiceTable.from_costs([1.0, 2.0, 3.0], stages=["a", "b", "c"]))


def test_service_times_without_the_quantile_that_must_fit_are_refused(policy):
    rough = ServiceTable(
        stages=None,
        batch_sizes=(1,),
        mean_ms=np.ones((3, 1)),
        quantile_ms=np.ones((2, 3, 1)),
        levels=(0.5, 0.9),
        costs=np.ones(3),
    )
    with pytest.raises(ConfigurationError, match=r"expected level in \[0.5, 0.9\], .* got 0.99"):
        policy.retime(rough)


@pytest.mark.parametrize("kind", ["scores", "votes", "chain", "tuples", "strings", "numpy labels"])
def test_a_saved_and_loaded_policy_is_equal_and_answers_the_same(kind, ladder, votes, tmp_path):
    if kind == "votes":
        outcomes, fresh = votes(k=3), votes(k=3, seed=1)
    else:
        names = {
            "tuples": [("a", 1), ("b", 2.5), ("c", None), ("d", True)],
            "strings": ["ä", "b", "c", ""],
            "numpy labels": list(np.arange(4) * 10),
        }.get(kind, range(4))
        outcomes, fresh = (_renamed(ladder(seed=seed, n=500), list(names)) for seed in (0, 1))
    fitted = Policy.from_thresholds([0.8, 0.7], SERVICE) if kind == "chain" else fit_policy(outcomes, SERVICE)
    fitted.save(tmp_path / "policy.json")
    loaded = Policy.load(tmp_path / "policy.json")
    assert loaded == fitted
    for budget_ms in (None, 5.0):
        ours, theirs = fitted.replay(fresh, budget_ms), loaded.replay(fresh, budget_ms)
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert np.array_equal(ours.confidence, theirs.confidence)
        assert ours.path_counts == theirs.path_counts


def _renamed(outcomes, names):
    return Outcomes.from_probs(np.exp(outcomes.log_probs), [names[y] for y in outcomes.labels], classes=names)
