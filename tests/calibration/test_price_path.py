"""Following prices: decisions are those of tables that have not seen the item, and nothing between neighbours is missed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cascade.calibration import price_path
from cascade.calibration.evidence import assign_folds, fit_evidence
from cascade.calibration.price_path import PRICE_STEP, PricePath, answered_from, starting_prices, sums_over
from cascade.calibration.transitions import count_statistics
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.core.table import decision_table, table_actions
from cascade.core.times import stage_times

SERVICE = ServiceTable(
    stages=None,
    batch_sizes=(1,),
    mean_ms=[[1.0], [4.0], [9.0]],
    quantile_ms=[[[0.9], [3.8], [8.0]], [[1.5], [5.0], [12.0]]],
    costs=[1.0, 2.0, 3.0],
    levels=(0.5, 0.99),
)
TIMES = stage_times(SERVICE, 1, 0.99, 0.0)
FREE = (-1, -1, -1)


@pytest.fixture(scope="module")
def held_out():
    """Confidence, rightness and folds of 600 items, sorted by fold."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 600)
    logits = rng.normal(size=(600, 3, 4))
    logits[np.arange(600), :, labels] += np.linspace(1.0, 3.0, 3) + rng.normal(size=(600, 1))
    found = fit_evidence(Outcomes.from_probs(np.exp(logits), labels), assign_folds(labels, 5, rng))[1]
    order = np.argsort(found.folds, kind="stable")
    return found.confidence[order], found.correct[order], found.folds[order]


@pytest.fixture(scope="module")
def path(held_out):
    return PricePath.of(*held_out, FREE, TIMES)


def sets_at(path, price):
    return path.visits([price])[0].sets


def one_by_one(held_out, price):
    """The set each item is answered from: item after item through the table that a policy without its fold looks up."""
    confidence, correct, folds = held_out
    answers = np.zeros(len(folds), np.uint8)
    for i, fold in enumerate(folds):
        if i == 0 or fold != folds[i - 1]:
            outside = folds != fold
            counted = count_statistics(confidence[outside], correct[outside], FREE, float(correct[:, 0].mean()))
            table = decision_table(counted, TIMES, price)
        here = 0
        while (action := table.action(here, confidence[i, here], np.inf)) >= 0:
            here |= 1 << action
        answers[i] = here
    return answers


@pytest.mark.parametrize("price", [1e-5, 0.01, 0.05])
def test_items_are_decided_by_the_tables_of_a_policy_without_their_fold(held_out, path, price):
    assert np.array_equal(sets_at(path, price), one_by_one(held_out, price))


def test_a_fold_is_decided_the_same_whatever_its_own_answers_were(held_out, path):
    confidence, correct, folds = held_out
    own = path.parts[0]
    turned = correct.copy()
    turned[own, 1:] = ~turned[own, 1:]
    other = PricePath.of(confidence, turned, folds, FREE, TIMES)
    for price in (0.005, 0.02):
        assert np.array_equal(sets_at(other, price)[own], sets_at(path, price)[own])
        assert not np.array_equal(sets_at(other, price), sets_at(path, price))


def test_neighbours_that_decide_alike_spare_the_work_and_change_nothing(path, monkeypatch):
    low, middle, high = path.visits([0.011, 0.01105, 0.01111])
    parts = [p for p in path.parts if not np.array_equal(low.sets[p], high.sets[p])]
    assert 0 < len(parts) < 5
    solved = []
    monkeypatch.setattr(price_path, "table_actions", lambda *args: solved.append(args) or table_actions(*args))
    (again,) = path.visits([0.01105], [(low, high)])
    assert np.array_equal(again.sets, middle.sets)
    assert len(solved) == len(parts)


@pytest.mark.slow
def test_neighbours_are_alike_or_close_or_stand_at_a_jump(path):
    visits = sorted(path.follow(0.02), key=lambda visit: visit.price)
    times = [path.mean_ms(visit) for visit in visits]
    step_ms = 0.02 * (max(times) - min(times))
    assert len(visits) > 40
    for low, high in pairwise(visits):
        close = abs(path.mean_ms(low) - path.mean_ms(high)) <= step_ms * (1.0 + 1e-9)
        assert low.price < high.price
        assert close or np.array_equal(low.sets, high.sets) or high.price <= low.price * (1.0 + PRICE_STEP)


@pytest.mark.slow
def test_prices_in_between_lead_to_nothing_that_was_not_seen(path):
    visits = sorted(path.follow(0.01), key=lambda visit: visit.price)
    prices = np.array([visit.price for visit in visits])
    times = np.array([path.mean_ms(visit) for visit in visits])
    slack_ms = 0.01 * np.ptp(times)
    for price in np.geomspace(prices[0], prices[-1], 61)[1:-1]:
        at = int(np.searchsorted(prices, price))
        low, high = sorted(times[at - 1 : at + 1])
        assert low - slack_ms <= path.mean_ms(path.visits([float(price)])[0]) <= high + slack_ms


def test_the_path_ends_where_only_the_cheapest_stage_runs():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    # The dearer stage is far better and takes hardly longer.
    right = rng.random((300, 2)) < [0.55, 0.99]
    probs = np.eye(2)[np.where(right, labels[:, None], 1 - labels[:, None])] * 0.8 + 0.1
    found = fit_evidence(Outcomes.from_probs(probs, labels), assign_folds(labels, 5, rng))[1]
    order = np.argsort(found.folds, kind="stable")
    times = stage_times(ServiceTable.from_costs([1.0, 1.001]), 1, 0.99, 0.0)
    path = PricePath.of(found.confidence[order], found.correct[order], found.folds[order], (-1, -1), times)
    last = max(path.follow(0.1), key=lambda visit: visit.price)
    assert set(last.sets.tolist()) == {0b01}


def test_stages_that_take_no_time_need_no_higher_price():
    times = stage_times(ServiceTable.from_costs([1.0, 2.0], time_ms=[0.0, 0.0]), 1, 0.99, 0.0)
    assert np.all(np.diff(starting_prices(times)) > 0.0)


def test_an_item_is_answered_from_where_the_actions_stop():
    actions = np.full((4, 2), -1, np.int8)
    actions[0], actions[1, 0] = 0, 1
    cells = np.array([[0, 0, 0, 0], [0, 1, 0, 0]], np.uint8)
    assert answered_from(actions, cells).tolist() == [0b11, 0b01]


def test_amounts_are_added_over_the_stages_of_a_set():
    assert sums_over(np.array([1.0, 10.0, 100.0])).tolist() == [0.0, 1.0, 10.0, 11.0, 100.0, 101.0, 110.0, 111.0]
