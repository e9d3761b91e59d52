from dataclasses import replace

import soak
from harness.soak_traffic import Tally

from cascade.telemetry.counters import Counters

READ = [(float(s), 100.0) for s in range(100)]


def stats(**counts):
    return replace(Counters().snapshot(), **counts)


def tally_of(**endings):
    tally = Tally(64)
    for ending, n in endings.items():
        for _ in range(n):
            tally.end(tally.sent(), ending)
    return tally


def test_memory_that_rises_after_the_warm_up_is_not_flat():
    assert soak.flatness(READ)["is_flat"]
    warming = [(s, mb + (50.0 if s < 10.0 else 0.0)) for s, mb in READ]
    assert soak.flatness(warming)["is_flat"]
    rising = [(s, mb + 0.1 * s) for s, mb in READ]
    found = soak.flatness(rising)
    assert not found["is_flat"]
    assert found["slope_mb_per_minute"] == 6.0


def test_counts_agree_where_clients_and_predictor_saw_the_same():
    found = soak.account(tally_of(answered=5, rejected=2), stats(n_requests=5, n_rejected=2))
    assert found["each_ended_once"]
    assert found["counts_agree"]


def test_an_answer_that_the_predictor_counted_and_nobody_got_is_noticed():
    assert not soak.account(tally_of(answered=5), stats(n_requests=6))["counts_agree"]


def test_a_coroutine_that_left_while_its_answer_came_has_cancelled():
    tally = tally_of(answered=5, cancelled=2)
    tally.n_impatient = 2
    assert soak.account(tally, stats(n_requests=6, n_cancelled=1))["counts_agree"]
    assert not soak.account(tally, stats(n_requests=6, n_cancelled=2))["counts_agree"]


def test_faults_come_in_runs():
    runs = soak.Runs(2, 5)
    assert [call for call in range(10) if call in runs] == [3, 4, 8, 9]
