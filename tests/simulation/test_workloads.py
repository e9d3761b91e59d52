from dataclasses import replace

import numpy as np
import pytest

from cascade.errors import DataError
from cascade.simulation.workloads import diurnal, from_file, gamma, mmpp, poisson, recorded

MAKERS = {
    "poisson": lambda **asked: poisson(300.0, 20_000.0, **asked),
    "gamma": lambda **asked: gamma(300.0, 20_000.0, cv=2.0, **asked),
    "mmpp": lambda **asked: mmpp([100.0, 500.0], [50.0, 50.0], 20_000.0, **asked),
    "diurnal": lambda **asked: diurnal(300.0, 20_000.0, swing=0.5, **asked),
    "recorded": lambda **asked: recorded(np.arange(6000.0) ** 1.5, rate_rps=300.0, **asked),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_pattern_has_the_rate_that_was_asked(name):
    workload = MAKERS[name](n_items=5, seed=1)
    assert workload.mean_rate_rps == pytest.approx(300.0, rel=0.12)
    assert workload.n_requests == len(workload.item) == len(workload.budget_ms)


@pytest.mark.parametrize("name", set(MAKERS) - {"recorded"})
def test_the_seed_decides_when_requests_arrive(name):
    one, same, other = (MAKERS[name](n_items=5, seed=seed).arrival_ms.tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_what_requests_ask_for_does_not_change_when_they_arrive():
    plain = poisson(100.0, 5000.0, n_items=5, seed=2)
    mixed = poisson(100.0, 5000.0, n_items=9, budget_ms={1.0: 0.5, 2.0: 0.5}, strict_share=0.5, seed=2)
    assert plain.arrival_ms.tolist() == mixed.arrival_ms.tolist()


def test_poisson_is_gamma_with_a_variation_of_one():
    assert (
        poisson(50.0, 900.0, n_items=3).arrival_ms.tolist() == gamma(50.0, 900.0, cv=1.0, n_items=3).arrival_ms.tolist()
    )


def test_a_day_has_the_period_that_was_asked():
    workload = diurnal(400.0, 40_000.0, swing=1.0, period_ms=10_000.0, n_items=1)
    n = np.histogram(workload.arrival_ms, np.arange(0.0, 40_001.0, 1000.0))[0].reshape(4, 10).sum(axis=0)
    assert n[[0, 9]].max() < 0.1 * n[[4, 5]].min()


def test_a_file_gives_the_workload_of_its_arrivals(tmp_path):
    np.save(tmp_path / "a.npy", [3.0, 5.0, 11.0])
    workload = from_file(tmp_path / "a.npy", rate_rps=1000.0, duration_ms=1.9, n_items=4, budget_ms=9.0)
    assert workload.arrival_ms.tolist() == [0.0, 0.5]
    assert workload.budget_ms.tolist() == [9.0, 9.0]


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        from_file(tmp_path / "no.npy", n_items=1)


def test_no_request_at_all_is_an_error():
    with pytest.raises(DataError, match="raise the rate or the duration"):
        poisson(0.001, 1.0, n_items=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arrival_ms": np.array([1.0, 0.5])}, "ascend from 0"),
        ({"arrival_ms": np.array([-1.0, 0.5])}, "ascend from 0"),
        ({"arrival_ms": np.array([0.0, np.inf])}, "all finite"),
        ({"budget_ms": np.array([5.0, 0.0])}, "budgets above 0 ms, got 0.0"),
        ({"budget_ms": np.array([5.0, np.nan])}, "budgets above 0 ms, got nan"),
        ({"priority": np.array([1, 3])}, r"priorities of \[0, 1, 2\], got \[1, 3\]"),
        ({"item": np.array([-2, 0])}, "items from 0, got -2"),
        ({"item": np.array([0])}, r"of 2 requests, got the lengths \[2, 2, 1, 2\]"),
    ],
)
def test_a_workload_checks_itself(changes, message):
    good = recorded([0.0, 1.0], n_items=2)
    with pytest.raises(DataError, match=message):
        replace(good, **changes)


def test_what_is_shown_of_a_workload_is_one_line():
    assert repr(recorded([0.0, 500.0, 1500.0], n_items=2, budget_ms=5.0)) == "Workload(3 requests in 1.5 s)"
