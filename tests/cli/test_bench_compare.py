from dataclasses import replace

import numpy as np
import pytest

from cascade.cli.bench_compare import compared
from cascade.cli.bench_runs import BenchRun
from cascade.errors import DataError

N_ROUNDS, N_ROWS = 10, 60


def run_of(rng, *, factor=1.0, machine=1.0, noise=0.2, late=0.0, wrong=0.1, labelled=True):
    """Rows that differ tenfold, rounds that meet the machine at different times."""
    rows = np.geomspace(1.0, 10.0, N_ROWS)
    pace = machine * rng.lognormal(0.0, 0.1, N_ROUNDS)
    latency_ms = factor * rows * pace[:, None] * rng.lognormal(0.0, noise, (N_ROUNDS, N_ROWS))
    in_time = rng.random((N_ROUNDS, N_ROWS)) >= late
    correct = np.tile(np.arange(N_ROWS) >= wrong * N_ROWS, (N_ROUNDS, 1)) if labelled else None
    return BenchRun(("a", "b"), 5.0, "rows", latency_ms, in_time, pace, correct, {})


def worse(baseline, now, tolerance=0.05, seed=0):
    changes = compared(baseline, now, tolerance=tolerance, rng=np.random.default_rng(seed))
    return {change.figure for change in changes if change.is_worse}


@pytest.mark.slow
def test_runs_that_differ_by_chance_alone_fail_no_more_often_than_stated():
    """Without a tolerance, so that only chance is at work; of 10 pairs, one in a hundred of which may fail, more than 1 do once in 250 tries."""
    rng = np.random.default_rng(0)
    n_failed = sum(bool(worse(run_of(rng), run_of(rng), 0.0, seed)) for seed in range(10))
    assert n_failed <= 1


@pytest.mark.slow
def test_a_real_slow_down_is_found_and_one_within_the_tolerance_is_not():
    rng = np.random.default_rng(1)
    baseline = run_of(rng)
    assert "latency, typical" in worse(baseline, run_of(rng, factor=1.3))
    assert worse(baseline, run_of(rng, factor=1.3), tolerance=0.5) == set()


@pytest.mark.slow
def test_a_machine_that_is_slower_altogether_is_no_regression():
    rng = np.random.default_rng(2)
    assert worse(run_of(rng), run_of(rng, machine=3.0)) == set()


@pytest.mark.slow
def test_late_and_wrong_answers_are_told_apart_from_slow_ones():
    rng = np.random.default_rng(3)
    baseline = run_of(rng)
    assert worse(baseline, run_of(rng, late=0.2)) == {"in time"}
    assert worse(baseline, run_of(rng, wrong=0.4)) == {"accuracy"}


@pytest.mark.slow
def test_faster_is_never_worse_and_says_by_how_much():
    rng = np.random.default_rng(4)
    changes = compared(run_of(rng), run_of(rng, factor=0.5), tolerance=0.05, rng=rng)
    typical = next(change for change in changes if change.figure == "latency, typical")
    assert not typical.is_worse
    assert typical.low < typical.change < typical.high < 0.0
    assert typical.change == pytest.approx(-0.5, abs=0.05)


@pytest.mark.slow
def test_without_labels_the_accuracy_is_left_out():
    rng = np.random.default_rng(5)
    changes = compared(run_of(rng, labelled=False), run_of(rng), tolerance=0.05, rng=rng)
    assert [change.figure for change in changes] == ["latency, typical", "latency, 0.95 quantile", "in time"]


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"stages": ("a",)}, r"\('a',\)"),
        ({"budget_ms": None}, "and None"),
        ({"data": "others"}, "pass the same --data"),
    ],
)
def test_runs_on_something_else_are_not_compared(other, named):
    baseline = run_of(np.random.default_rng(0))
    with pytest.raises(DataError, match=named):
        compared(baseline, replace(baseline, **other), tolerance=0.05, rng=np.random.default_rng(0))
