"""The frontier: honest accuracies, points that can be followed, references, intervals that cover."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.calibration.frontier import folds_of_groups, frontier
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, DataError, PolicyMismatch, SmallSampleWarning, WeakConfidenceWarning

SERVICE = ServiceTable.from_costs([1.0, 4.0, 10.0])


def ladder(n=450, k=3, c=4, seed=0):
    """Stages that get more accurate and share the hardness of the items."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    logits = rng.normal(size=(n, k, c))
    logits[np.arange(n), :, labels] += np.linspace(1.5, 3.5, k) + rng.normal(size=(n, 1))
    return Outcomes.from_probs(np.exp(logits), labels)


def curve_of(outcomes, service=SERVICE, **keywords):
    return frontier(outcomes, service, **({"n_bootstrap": 100, "max_step": 0.05, "progress": False} | keywords))


def mean_width(intervals):
    return np.mean([np.mean(one.ci_high - one.ci_low) for one in intervals])


@pytest.fixture(scope="module")
def curve():
    return curve_of(ladder())


@pytest.mark.slow
def test_the_same_seed_gives_the_same_curve_and_another_one_another(curve):
    assert curve_of(ladder(), progress=True) == curve
    assert curve_of(ladder(), seed=1) != curve


@pytest.mark.slow
def test_outcomes_are_not_written_into():
    outcomes = ladder(n=300)
    before = outcomes.log_probs.copy()
    curve_of(outcomes)
    assert np.array_equal(outcomes.log_probs, before)


def test_the_curve_runs_from_the_cheapest_stage_up_without_dominated_points(curve):
    assert len(curve) > 12
    assert curve.mean_ms[0] == pytest.approx(1.0)
    assert np.all(np.diff(curve.mean_ms) > 0.0)
    assert np.all(np.diff(curve.accuracy) > 0.0)
    assert np.all((curve.ci_low < curve.accuracy) & (curve.accuracy < curve.ci_high))
    assert (curve.n_items, curve.n_groups, curve.confidence) == (450, None, 0.95)


@pytest.mark.slow
def test_a_policy_follows_a_point_within_its_budget(curve):
    policy, fresh = fit_policy(ladder(), SERVICE), ladder(n=3000, seed=1)
    for i in (0, len(curve) // 3, len(curve) // 2, len(curve) - 1):
        price, budget_ms = float(curve.price[i]), float(curve.budget_ms[i])
        free, timed = policy.replay(fresh, price=price), policy.replay(fresh, budget_ms, price)
        assert timed.path_counts == free.path_counts
        # 450 items leave a standard error of 2 points.
        assert free.accuracy == pytest.approx(curve.accuracy[i], abs=0.06)
        assert free.mean_ms == pytest.approx(curve.mean_ms[i], abs=1.0)


@pytest.mark.slow
def test_a_budget_leaves_room_for_the_upper_quantiles_of_the_longest_path():
    spread = ServiceTable(
        stages=None,
        batch_sizes=(1,),
        mean_ms=[[1.0], [4.0], [10.0]],
        quantile_ms=[[[1.0], [4.0], [10.0]], [[2.0], [7.0], [20.0]]],
        costs=[1.0, 4.0, 10.0],
        levels=(0.5, 0.99),
    )
    curve = curve_of(ladder(), spread)
    assert curve.budget_ms[0] == pytest.approx(2.0)
    assert curve.budget_ms[-1] == pytest.approx(29.0)
    assert set(np.round(curve.budget_ms, 9)) <= {2.0, 7.0, 9.0, 20.0, 22.0, 27.0, 29.0}


@pytest.mark.slow
def test_accuracies_are_not_optimistic():
    gaps = []
    for seed in range(12):
        outcomes, fresh = ladder(n=400, seed=seed), ladder(n=6000, seed=100 + seed)
        curve, policy = curve_of(outcomes), fit_policy(outcomes, SERVICE)
        middle = len(curve) // 2
        gaps.append(curve.accuracy[middle] - policy.replay(fresh, price=float(curve.price[middle])).accuracy)
    # 400 items leave a standard error of 2 points each: 0.6 for the mean of twelve, so 3 of these.
    assert abs(np.mean(gaps)) < 0.018


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cascade.errors.WeakConfidenceWarning")
def test_nothing_is_learned_from_answers_that_are_noise():
    best = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        noise = Outcomes.from_probs(rng.dirichlet([1.0, 1.0], (300, 3)), rng.integers(0, 2, 300))
        best.append(curve_of(noise, n_bootstrap=100, max_step=0.1).accuracy[-1])
    # The best of a few dozen points is picked: about two standard errors of 2.9 points each, where seeing the answers gives ten.
    assert np.mean(best) < 0.58


@pytest.mark.slow
def test_intervals_cover_the_accuracy_on_fresh_items_as_often_as_they_say():
    service, fresh = ServiceTable.from_costs([1.0, 4.0]), ladder(n=20_000, k=2, seed=999)
    covered, widths = 0, []
    for seed in range(100):
        outcomes = ladder(n=500, k=2, seed=seed)
        curve = curve_of(outcomes, service, n_bootstrap=400, max_step=0.05, seed=seed)
        i = len(curve) // 2
        truth = fit_policy(outcomes, service, seed=seed).replay(fresh, price=float(curve.price[i])).accuracy
        covered += curve.ci_low[i] <= truth <= curve.ci_high[i]
        widths.append((curve.ci_high[i] - curve.ci_low[i]) / np.sqrt(truth * (1.0 - truth) / 500))
    # At a coverage of 0.95, 87 or fewer of 100 come up once in 600 runs.
    assert covered >= 88
    assert np.mean(widths) == pytest.approx(2 * 1.96, rel=0.05)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cascade.errors.WeakConfidenceWarning")
def test_the_oracle_takes_the_cheapest_right_stage_and_singles_stand_alone():
    right = np.array([[1, 1], [0, 1], [0, 0], [1, 0]] * 75, bool)
    labels = np.arange(300) % 3
    said = np.where(right, labels[:, None], (labels[:, None] + 1) % 3)
    outcomes = Outcomes.from_predictions(said, np.full((300, 2), 0.7), labels, stages=["small", "large"])
    curve = curve_of(outcomes, ServiceTable.from_costs([10.0, 50.0], time_ms=[1.0, 5.0]))
    small, large = curve.singles
    assert (small.name, small.mean_ms, small.mean_cost, small.accuracy) == ("small", 1.0, 10.0, 0.5)
    assert (large.name, large.mean_ms, large.mean_cost, large.accuracy) == ("large", 5.0, 50.0, 0.5)
    assert (curve.oracle.accuracy, curve.oracle.mean_ms, curve.oracle.mean_cost) == (0.75, 2.0, 20.0)
    assert small.ci_low < 0.5 < small.ci_high


def test_an_exit_alone_costs_the_exits_before_it_too():
    exits = replace(ladder(), requires=(-1, 0, 1))
    curve = curve_of(exits)
    assert [single.mean_ms for single in curve.singles] == [1.0, 5.0, 15.0]
    assert set(np.round(curve.budget_ms, 9)) <= {1.0, 5.0, 15.0}


@pytest.mark.slow
def test_a_cost_that_counts_makes_the_curve_cheaper():
    money = ServiceTable.from_costs([1.0, 40.0, 100.0], time_ms=[1.0, 1.5, 2.0])
    free, dear = (curve_of(ladder(), money, cost_weight=weight).mean_cost.max() for weight in (0.0, 0.002))
    assert dear < 0.8 * free


@pytest.mark.slow
def test_one_stage_and_stages_that_take_no_time_are_a_single_point():
    assert len(curve_of(ladder(k=1), ServiceTable.from_costs([3.0]))) == 1
    assert len(curve_of(ladder(), ServiceTable.from_costs([1.0, 2.0, 3.0], time_ms=[0.0, 0.0, 0.0]))) == 1


@pytest.mark.slow
def test_items_drawn_in_groups_give_wider_intervals():
    rows = np.random.default_rng(4).permutation(np.repeat(np.arange(300), 3))
    copies = ladder(n=300).take(rows)
    together, apart = curve_of(copies, groups=rows, n_bootstrap=400), curve_of(copies, n_bootstrap=400)
    # Three copies tell no more than one: the square root of three.
    for name in ("curve", "singles"):
        widths = [mean_width([found] if name == "curve" else found.singles) for found in (together, apart)]
        assert widths[0] / widths[1] == pytest.approx(np.sqrt(3.0), rel=0.15)
    assert (together.n_groups, apart.n_groups) == (300, None)


@pytest.mark.slow
def test_groups_decide_which_items_are_counted_without():
    outcomes = ladder(n=300)
    together, apart = curve_of(outcomes, groups=np.arange(300) // 2), curve_of(outcomes)
    assert not np.array_equal(together.mean_ms, apart.mean_ms)


@pytest.mark.filterwarnings("ignore::cascade.errors.WeakConfidenceWarning")
def test_pooling_learns_nothing_from_items_of_the_same_group():
    """What the stages say names the group, and only another item of the group tells what is right for it."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    said = np.array([f"group {group}" for group in groups])
    truth = rng.permutation(np.array(["a", "b"] * 15))[groups]
    outcomes = Outcomes.from_predictions(np.stack([said, said], axis=1), np.full((120, 2), 0.7), truth)
    service = ServiceTable.from_costs([1.0, 4.0])
    assert curve_of(outcomes, service).accuracy.max() > 0.95
    assert curve_of(outcomes, service, groups=groups).accuracy.max() < 0.7


def test_a_group_is_never_split_between_folds_and_folds_are_of_much_the_same_size():
    sizes = np.array([40, 1, 1, 25, 30, 2, 3, 20, 18, 7])
    members = np.random.default_rng(2).permutation(np.repeat(np.arange(10), sizes))
    folds = folds_of_groups(members, np.random.default_rng(0))
    assert all(len(set(folds[members == group])) == 1 for group in range(10))
    assert np.bincount(folds).tolist() == pytest.approx([30] * 5, abs=10)


@pytest.mark.slow
def test_few_groups_warn_and_fewer_than_folds_are_refused():
    with pytest.warns(SmallSampleWarning, match="29 groups, fewer than 30"):
        curve_of(ladder(), groups=np.arange(450) % 29)
    with pytest.raises(DataError, match="expected at least 5 groups, one for each fold, got 4"):
        curve_of(ladder(), groups=np.arange(450) % 4)
    with pytest.raises(DataError, match="expected one group for each of the 450 items, got 3"):
        curve_of(ladder(), groups=["a", "b", "c"])


@pytest.mark.slow
def test_few_items_warn_at_the_line_of_the_caller():
    with pytest.warns(SmallSampleWarning, match="60 labelled items for 3 stages") as caught:
        frontier(ladder(n=60), SERVICE, n_bootstrap=100, progress=False)
    assert caught[0].filename == __file__


@pytest.mark.slow
def test_a_confidence_that_ranks_nothing_warns_at_the_line_of_the_caller():
    rng = np.random.default_rng(0)
    noise = Outcomes.from_probs(rng.dirichlet([1.0, 1.0], (300, 3)), rng.integers(0, 2, 300))
    with pytest.warns(WeakConfidenceWarning, match="stage0") as caught:
        frontier(noise, SERVICE, n_bootstrap=100, progress=False)
    assert caught[0].filename == __file__


def test_outcomes_and_service_times_must_be_of_the_same_stages():
    with pytest.raises(PolicyMismatch, match="expected service times of 3 stages .* got 2"):
        frontier(ladder(n=300), ServiceTable.from_costs([1.0, 2.0]))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_bootstrap": 99}, "expected n_bootstrap of at least 100, got 99"),
        ({"confidence": 1.0}, "expected confidence between 0 and 1, both excluded, got 1.0"),
        ({"confidence": float("nan")}, "expected confidence between 0 and 1"),
        ({"max_step": 0.0}, r"expected max_step in \(0, 1\], got 0.0"),
        ({"max_step": float("nan")}, "expected max_step"),
        ({"cost_weight": -1.0}, "expected a finite cost_weight"),
        ({"level": 0.9999}, "expected level"),
    ],
)
def test_numbers_out_of_range_are_refused_in_words(keywords, message):
    with pytest.raises(ConfigurationError, match=message):
        frontier(ladder(n=300), SERVICE, **keywords)
