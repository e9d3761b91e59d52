"""A policy at every price: expected runs, look-ups, and the levels that rule without load and under a guarantee."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from cascade.core.guarantee import Guarantee
from cascade.core.policy import Policy
from cascade.core.table import STOP_BYTE
from cascade.scheduling.outlook import Outlook


@pytest.fixture(scope="module")
def fitted(pair):
    return Outlook(pair.fitted, 8)


@pytest.fixture(scope="module")
def chain(pair):
    return Outlook(pair.chain, 8)


def guaranteed(policy, price):
    promise = Guarantee(price, "error", None, 0.1, 0.05, "binomial", 500, None, 3.0, None, (price,), 0.05, 1)
    return Outlook(replace(policy, guarantee=promise), 8)


def test_expected_runs_are_those_counted_by_hand(fitted):
    """Half of the requests are unsure after the small stage; up to a price of 0.4 / 6 these run the large one."""
    assert fitted.prices[25] < 0.4 / 6 < fitted.prices[26]
    for level in (0, 25):
        assert fitted.runs[level, 0b00, 0].tolist() == [1.0, 0.5]
        assert fitted.runs[level, 0b01].tolist() == [[0.0, 1.0], [0.0, 0.0]]
    for level in (26, 32):
        assert fitted.runs[level, 0b00, 0].tolist() == [1.0, 0.0]
        assert not fitted.runs[level, 0b01:].any()
    assert not fitted.runs[:, 0b10:].any()


def test_expected_runs_are_those_of_going_through_every_path(parts):
    outlook, statistics, decisions = Outlook(parts.policy, 8), parts.policy.statistics, parts.policy.decisions()
    n_bins = statistics.accuracy.shape[1]

    def runs(level, known, at):
        j = int(decisions.actions[known, level, -1, at])
        if j < 0:
            return np.zeros(3)
        row = statistics.transitions[known, j, at if known else 0]
        onward = sum(row[b] * runs(level, known | 1 << j, b) for b in range(n_bins))
        return onward + np.eye(3)[j]

    for level in (0, 20, 32):
        assert outlook.runs[level, 0, 0] == pytest.approx(runs(level, 0, 0), abs=1e-5)
        assert outlook.runs[level, 1, 2] == pytest.approx(runs(level, 1, 2), abs=1e-5)
    # So that the test is about something: at some price the plan branches.
    assert ((outlook.runs[:, 0, 0] > 0.05) & (outlook.runs[:, 0, 0] < 0.95)).any()


def test_the_highest_price_expects_the_least_work(parts):
    outlook = Outlook(parts.policy, 8)
    work_ms = outlook.runs[:, 0, 0] @ parts.mean_ms[:, 1]
    assert work_ms[-1] == pytest.approx(parts.mean_ms[0, 1])
    assert (np.diff(work_ms) <= 1e-5).all()


@pytest.mark.parametrize(("budget_ms", "level"), [(-1.0, 32), (0.0, 32), (8.9, 32), (9.0, 24), (11.0, 25), (inf, 25)])
def test_without_load_the_price_is_the_highest_that_gives_nothing_up_within_the_budget(fitted, budget_ms, level):
    """Below 9 only the small stage fits; up to 11 only one of both, the large one up to a price of 0.15 / 4; then all."""
    assert fitted.unloaded_level(budget_ms) == level
    assert fitted.prices[24] < 0.15 / 4 < fitted.prices[25]


def test_look_ups_follow_the_price(fitted):
    for level, stage in [(0, 1), (25, 1), (26, STOP_BYTE), (32, STOP_BYTE)]:
        assert fitted.lookup(level).action(0b01, 0.3, inf) == stage
        assert fitted.lookup(level).action(0b01, 0.95, inf) == STOP_BYTE
    assert fitted.lookup(26) is fitted.lookup(26)


def test_without_load_requests_are_decided_as_direct_answers_are(pair, parts):
    for policy in (pair.fitted, parts.policy):
        outlook = Outlook(policy, 8)
        level = outlook.unloaded_level(inf)
        table = policy.table()
        rng = np.random.default_rng(0)
        for confidence, left_ms in zip(rng.random(200).tolist(), rng.uniform(0.0, 30.0, 200).tolist(), strict=True):
            expected = table.action(1, confidence, left_ms) & 0xFF
            assert outlook.lookup(level).action(1, confidence, left_ms) == expected


@pytest.mark.parametrize(("confidence", "number"), [(0.0, 0), (0.79, 0), (0.8, 1), (1.0, 1)])
def test_a_confidence_at_the_edge_of_a_bin_lies_above_it(fitted, chain, confidence, number):
    assert fitted.bin_of(0b01, confidence) == number
    assert fitted.bin_of(0, confidence) == 0
    assert chain.bin_of(0b01, confidence) == 0


def test_under_degrade_any_price_may_be_asked(pair):
    assert guaranteed(pair.fitted, 0.01).highest_level("degrade") == 32


def test_under_shed_no_price_above_the_certified_one_may_be_asked(pair, fitted):
    prices = fitted.prices
    assert guaranteed(pair.fitted, prices[10]).highest_level("shed") == 10
    assert guaranteed(pair.fitted, prices[10] * 1.2).highest_level("shed") == 10
    assert guaranteed(pair.fitted, prices[10] * 0.99).highest_level("shed") == 9
    assert guaranteed(pair.fitted, prices[0] * 0.5).highest_level("shed") == 0


def test_without_a_guarantee_shedding_caps_no_price(fitted):
    assert fitted.highest_level("shed") == 32


def test_a_chain_has_one_price_and_expects_every_stage_that_is_left(pair, linear):
    names = ("a", "b", "c")
    three = Policy.from_thresholds([0.5, 0.5], linear([(1.0, 1.0)] * 3, names)).for_classes((0, 1))
    outlook = Outlook(three, 8)
    assert outlook.n_levels == 1
    assert outlook.prices.tolist() == [0.0]
    assert outlook.runs[0, [0b000, 0b001, 0b011, 0b111], 0].tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert outlook.highest_level("shed") == outlook.highest_level("degrade") == 0
    assert outlook.unloaded_level(inf) == outlook.unloaded_level(-1.0) == 0


def test_a_chain_is_looked_up_by_its_thresholds(chain):
    lookup = chain.lookup(0)
    assert lookup.action(0, 0.0, inf) == 0
    assert lookup.action(0b01, 0.79, inf) == 1
    assert lookup.action(0b01, 0.8, inf) == STOP_BYTE
    assert lookup.action(0b01, 0.3, 8.9) == STOP_BYTE
