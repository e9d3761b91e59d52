import numpy as np
import pytest

from cascade.errors import DataError
from cascade.scheduling.messages import Priority
from cascade.simulation.asked import drawn


def test_one_number_is_for_all_and_nothing_is_no_deadline():
    budget_ms, priority, item, is_strict = drawn(5, {"n_items": 3, "budget_ms": 20.0})
    assert budget_ms.tolist() == [20.0] * 5
    assert priority.tolist() == [Priority.NORMAL] * 5
    assert not is_strict.any()
    assert set(item.tolist()) <= {0, 1, 2}
    assert np.isinf(drawn(2, {"n_items": 1})[0]).all()


def test_mixtures_come_in_their_shares():
    n = 40_000
    budget_ms, priority, item, is_strict = drawn(
        n,
        {
            "n_items": 10,
            "budget_ms": {15.0: 0.3, 50.0: 0.7},
            "priority": {Priority.INTERACTIVE: 0.1, Priority.BACKGROUND: 0.9},
            "strict_share": 0.25,
            "seed": 7,
        },
    )
    assert np.mean(budget_ms == 15.0) == pytest.approx(0.3, abs=0.012)
    assert np.mean(priority == Priority.INTERACTIVE) == pytest.approx(0.1, abs=0.008)
    assert np.mean(is_strict) == pytest.approx(0.25, abs=0.011)
    assert np.bincount(item, minlength=10) / n == pytest.approx(np.full(10, 0.1), abs=0.008)
    # Drawn apart from each other: the mixture of budgets is the same in both classes.
    assert np.mean(budget_ms[priority == 0] == 15.0) == pytest.approx(0.3, abs=0.03)


def test_other_budgets_leave_items_and_classes_as_they_were():
    shares = {Priority.INTERACTIVE: 0.5, Priority.NORMAL: 0.5}
    one = drawn(100, {"n_items": 50, "priority": shares, "seed": 3})
    other = drawn(100, {"n_items": 50, "priority": shares, "seed": 3, "budget_ms": {1.0: 0.5, 2.0: 0.5}})
    assert one[1].tolist() == other[1].tolist()
    assert one[2].tolist() == other[2].tolist()


def test_another_seed_draws_other_items():
    items = [drawn(100, {"n_items": 50, "seed": seed})[2].tolist() for seed in (0, 0, 1)]
    assert items[0] == items[1] != items[2]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n_items": 0}, "n_items of at least 1"),
        ({"n_items": 1, "strict_share": 1.5}, "strict_share in"),
        ({"n_items": 1, "budget_ms": {}}, "shares of each budget_ms that sum to 1"),
        ({"n_items": 1, "budget_ms": {5.0: 0.5}}, "shares of each budget_ms that sum to 1"),
        ({"n_items": 1, "priority": {Priority.NORMAL: 2.0, Priority.BACKGROUND: -1.0}}, "shares of each priority"),
        ({"n_items": 1, "priority": "interactive"}, "such as Priority.INTERACTIVE, .* got 'interactive'"),
        ({"n_items": 1, "priority": {"normal": 1.0}}, "such as Priority.INTERACTIVE, .* got {'normal': 1.0}"),
    ],
)
def test_numbers_outside_their_range_are_errors(asked, message):
    with pytest.raises(DataError, match=message):
        drawn(3, asked)
