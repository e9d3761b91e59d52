from dataclasses import replace

import numpy as np
import pytest

from cascade.errors import DataError
from cascade.simulation.clients import closed_loop


def test_clients_think_for_the_mean_that_was_asked_and_start_apart():
    clients = closed_loop(2000, 8.0, 20_000, n_items=3, budget_ms=5.0, seed=1)
    assert clients.n_requests == 20_000
    assert clients.think_ms.mean() == pytest.approx(8.0, rel=0.04)
    assert clients.first_ms.mean() == pytest.approx(8.0, rel=0.12)
    assert (np.diff(clients.first_arrivals_ms()) >= 0.0).all()


def test_clients_that_do_not_think_all_start_at_once():
    clients = closed_loop(3, 0.0, 5, n_items=1)
    assert clients.first_ms.tolist() == [0.0] * 3
    assert clients.think_ms.tolist() == [0.0] * 5


@pytest.mark.parametrize(("n_clients", "think_ms"), [(0, 1.0), (11, 1.0), (2, -1.0), (2, float("inf"))])
def test_numbers_outside_their_range_are_errors(n_clients, think_ms):
    with pytest.raises(DataError, match="expected 1 to 10 clients"):
        closed_loop(n_clients, think_ms, 10, n_items=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first_ms": np.zeros(0)}, "at least one client"),
        ({"first_ms": np.zeros(4)}, "at least one client and a request for each, got 4 and 3"),
        ({"first_ms": np.array([1.0, 0.0])}, "first_ms ascending"),
        ({"first_ms": np.array([-1.0, 0.0])}, "first_ms finite and not negative"),
        ({"think_ms": np.array([0.0, np.inf, 0.0])}, "think_ms finite and not negative"),
        ({"item": np.zeros(2, int)}, "of 3 requests, got the lengths"),
    ],
)
def test_clients_check_themselves(changes, message):
    with pytest.raises(DataError, match=message):
        replace(closed_loop(2, 1.0, 3, n_items=1), **changes)
