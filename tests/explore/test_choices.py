"""What sliders choose among: the first choice that carries the load, the smallest budget that reaches a target."""

import json

import numpy as np
import pytest

from cascade.explore.choices import HEADROOM, NO_TARGET, Choice, Choices, choices_of_curve


def choice(accuracy, mean_ms, **more):
    return Choice(accuracy, accuracy - 0.02, accuracy + 0.01, mean_ms, 0.1, **more)


@pytest.fixture
def choices():
    dear, cheap = choice(0.95, 8.0), choice(0.8, 1.0)
    return Choices((2.0, 10.0, None), ((cheap,), (dear, cheap), (choice(0.97, 10.0), dear, cheap)))


def test_without_load_the_first_choice_rules(choices):
    assert [choices.level_at(place, 0.0) for place in range(3)] == [(0, True)] * 3


def test_a_load_leads_to_the_first_choice_that_carries_it(choices):
    assert choice(0.95, 8.0).most_rps == pytest.approx(1000.0 * HEADROOM / 8.0)
    assert choices.level_at(2, 80.0) == (0, True)
    assert choices.level_at(2, 80.1) == (1, True)
    assert choices.level_at(1, 500.0) == (1, True)


def test_more_than_the_cheapest_carries_is_said(choices):
    assert choices.level_at(1, 801.0) == (1, False)
    assert choices.cheapest_budget(0.5, 801.0) == NO_TARGET


def test_the_smallest_budget_that_reaches_a_target_depends_on_the_load(choices):
    assert choices.cheapest_budget(0.8, 0.0) == 0
    assert choices.cheapest_budget(0.95, 0.0) == 1
    assert choices.cheapest_budget(0.96, 0.0) == 2
    assert choices.cheapest_budget(0.96, 90.0) == NO_TARGET


def test_an_answer_that_is_late_reaches_no_target():
    late, fits = choice(0.9, 2.0, is_late=True), choice(0.9, 2.0)
    assert Choices((1.0, 3.0), ((late,), (fits,))).cheapest_budget(0.9, 0.0) == 1


def test_targets_span_what_can_be_reached_in_round_steps(choices):
    assert choices.targets[0] == 0.8
    assert choices.targets[-1] == 0.975
    assert np.allclose(np.diff(choices.targets), 0.005)


def test_loads_begin_with_none_and_end_above_what_any_choice_carries(choices):
    loads = choices.loads_rps
    assert loads[0] == 0.0
    assert loads[1] < choice(0.97, 10.0).most_rps
    assert loads[-1] > choice(0.8, 1.0).most_rps


def test_stages_that_take_no_time_carry_any_load():
    free = Choices((1.0, None), ((choice(0.9, 0.0),), (choice(0.9, 0.0),)))
    assert free.loads_rps == (0.0,)
    assert free.level_at(0, 1e9) == (0, True)


def test_texts_that_repeat_are_kept_once(choices):
    said = choice(0.9, 1.0, words="the plan\n  run it", paths=(("a > b", 1.0),), p99_ms=2.0)
    data = Choices((1.0, None), ((said,), (said,))).to_dict()
    assert data["lines"] == ["the plan", "  run it"]
    assert data["cells"][1]["words"] == [0, 1]
    assert data["paths"] == ["a > b"]
    assert data["cells"][0]["paths"] == [[0, 1.0, "100.0 %"]]
    assert data["cells"][0]["said"] == ["90.0 %", "88.0 to 91.0 %", "1 ms", "2 ms", "0.1", "800 a second"]


def test_of_many_paths_the_frequent_ones_are_named():
    many = tuple((f"path {i}", 0.05) for i in range(20))
    data = Choices((1.0,), ((choice(0.9, 1.0, paths=many),),)).to_dict()
    assert data["paths"] == [*(f"path {i}" for i in range(12)), "8 other paths"]
    assert data["cells"][0]["paths"][-1] == [12, 0.4, "40.0 %"]


def test_thinning_takes_prices_first_and_keeps_the_case_without_a_deadline(choices):
    once = choices.thinned()
    assert once.budgets == choices.budgets
    assert [len(levels) for levels in once.levels] == [1, 1, 2]
    assert once.thinned().levels[2] == choices.levels[2][:1]
    assert once.thinned().thinned().budgets == (2.0, None)


def test_the_dictionary_names_a_cell_for_every_budget_and_load(choices):
    data = json.loads(json.dumps(choices.to_dict(), allow_nan=False))
    assert data["budgets"] == ["2 ms", "10 ms", "no deadline"]
    for place in range(3):
        for load, load_rps in enumerate(choices.loads_rps):
            level, carries = choices.level_at(place, load_rps)
            assert data["cells"][data["at"][place][load]]["ms"] == choices.levels[place][level].mean_ms
            assert data["carries"][place][load] == carries


@pytest.mark.slow
def test_a_curve_offers_its_points_by_the_budget_they_need(ladder):
    curve, choices = ladder.curve, choices_of_curve(ladder.curve)
    assert choices.budgets[:-1] == tuple(np.unique(curve.budget_ms))
    assert choices.budgets[-1] is None
    assert len(choices.levels[-1]) == len(curve)
    for budget_ms, levels in zip(choices.budgets[:-1], choices.levels, strict=False):
        best = np.flatnonzero(curve.budget_ms <= budget_ms)[-1]
        assert levels[0].accuracy == curve.accuracy[best]
        assert levels[0].price == curve.price[best]
