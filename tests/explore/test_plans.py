"""What the page says of a policy is what the policy itself says and does."""

import numpy as np
import pytest

from cascade.core.interval import wilson_interval
from cascade.core.policy import Policy
from cascade.explore.plans import budgets_to_try, choices_of_policy, prices_to_try

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def choices(ladder):
    return choices_of_policy(ladder.policy, ladder.fresh, np.array([3, 0, 7]), progress=False)


def test_budgets_run_from_too_little_to_enough_for_all_stages(ladder):
    *finite, free = budgets_to_try(ladder.policy)
    assert free is None
    assert finite == sorted(finite)
    assert finite[0] < 1.0
    assert finite[-1] > 21.0


def test_prices_rise_and_each_saves_time(ladder):
    prices = prices_to_try(ladder.policy)
    assert prices[0] > ladder.policy.unloaded_price()
    expected = [ladder.policy.expected(price=price).mean_ms for price in prices]
    assert prices == sorted(prices)
    assert expected == sorted(expected, reverse=True)


def test_without_load_every_budget_is_replayed_at_the_unloaded_price(ladder, choices):
    for budget_ms, levels in zip(choices.budgets, choices.levels, strict=True):
        result = ladder.policy.replay(ladder.fresh, budget_ms)
        said = levels[0]
        assert (said.accuracy, said.mean_ms, said.p99_ms) == (result.accuracy, result.mean_ms, result.p99_ms)
        assert (said.ci_low, said.ci_high) == wilson_interval(int(result.correct.sum()), 400)
        assert dict(said.paths) == {" > ".join(path): n / 400 for path, n in result.path_counts.items()}
        assert said.words == ladder.policy.explain(budget_ms)
        assert said.price == ladder.policy.unloaded_price(budget_ms)


def test_a_budget_too_small_for_any_stage_is_called_late(ladder, choices):
    late = [levels[0].is_late for levels in choices.levels]
    assert late == [budget_ms is not None and budget_ms < 1.0 for budget_ms in choices.budgets]
    assert late[0]


def test_dearer_levels_are_replayed_at_their_prices(ladder, choices):
    for said in choices.levels[-1][1:]:
        result = ladder.policy.replay(ladder.fresh, price=said.price)
        assert (said.accuracy, said.mean_ms) == (result.accuracy, result.mean_ms)
        assert said.words == ladder.policy.explain(price=said.price)


def test_thresholds_are_those_of_the_policy(ladder, choices):
    rows = ladder.policy.thresholds()
    assert choices.levels[-1][0].thresholds == tuple(
        (
            " + ".join(row.evidence) or "start",
            f"{low:.3f} to {high:.3f}",
            "answer" if then == "answer" else f"run {then}",
        )
        for row in rows
        for low, high, then in row.intervals
    )


def test_examples_are_followed_one_by_one(ladder, choices):
    result = ladder.policy.replay(ladder.fresh)
    shown = choices.levels[-1][0].examples
    assert [example.label for example in shown] == [str(result.labels[i]) for i in (3, 0, 7)]
    assert [example.is_right for example in shown] == [bool(result.correct[i]) for i in (3, 0, 7)]
    for example, i in zip(shown, (3, 0, 7), strict=True):
        (alone,) = ladder.policy.replay(ladder.fresh.take([i])).path_counts
        assert example.path == alone


def test_a_chain_set_by_hand_has_one_level_for_each_budget(ladder):
    chain = Policy.from_thresholds([0.9, 0.8], ladder.service)
    choices = choices_of_policy(chain, ladder.fresh, np.array([], np.int64), progress=False)
    assert {len(levels) for levels in choices.levels} == {1}
    assert choices.levels[-1][0].price is None
    assert choices.to_dict()["cells"][-1]["said"][4] == ""
    assert "set by hand" in choices.levels[-1][0].words
