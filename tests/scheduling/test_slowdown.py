"""How much longer stages take than profiled: followed quickly, not moved by one spike, and with a margin that is rarely exceeded."""

import numpy as np
import pytest

from cascade.core.service import ServiceTable
from cascade.scheduling.service_times import Times
from cascade.scheduling.slowdown import SlowDown

SMALL, LARGE = 0, 1


@pytest.fixture
def slow(pair):
    return lambda n_lanes=1: SlowDown(pair.times, n_lanes)


def mean_ms(stage, n=1):
    """As the pair of stages was profiled; what a run may take is 1.5 times that."""
    return (1.0 + n, 2.0 + 4.0 * n)[stage]


def settled(slowdown, ratio, *, lane=0, stage=SMALL, n_runs=60):
    for n in range(n_runs):
        slowdown.note(lane, stage, 1 + n % 4, ratio * mean_ms(stage, 1 + n % 4))
    return slowdown


def test_before_the_first_run_stages_take_what_was_profiled(slow, pair):
    slowdown = slow(2)
    assert slowdown.overall == slowdown.stretch == 1.0
    for lane in (0, 1):
        for stage in (SMALL, LARGE):
            assert slowdown.factor(lane, stage) == 1.0
            assert slowdown.upper(lane, stage).array().tolist() == pair.times.upper_ms[stage]


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.3, 2.0, 4.0])
def test_the_factor_is_measured_over_profiled_whatever_the_size_of_the_batches(slow, ratio):
    slowdown = settled(slow(), ratio)
    assert slowdown.factor(0, SMALL) == pytest.approx(ratio, rel=0.01)
    assert slowdown.overall == pytest.approx(ratio, rel=0.01)


def test_a_change_is_followed_within_a_few_runs(slow):
    slowdown = settled(slow(), 1.0)
    settled(slowdown, 2.0, n_runs=5)
    assert slowdown.factor(0, SMALL) == pytest.approx(2.0, rel=0.05)
    settled(slowdown, 1.0, n_runs=8)
    assert slowdown.factor(0, SMALL) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("spike", [3.0, 0.2])
def test_one_spike_moves_nothing_and_two_in_a_row_do(slow, spike):
    slowdown = settled(slow(), 1.0)
    before = slowdown.factor(0, SMALL)
    slowdown.note(0, SMALL, 1, spike * mean_ms(SMALL))
    assert slowdown.factor(0, SMALL) == before
    slowdown.note(0, SMALL, 1, spike * mean_ms(SMALL))
    assert abs(slowdown.factor(0, SMALL) - 1.0) > 0.3 * abs(spike - 1.0)


def test_interruptions_are_not_taken_for_a_slow_down_of_whole_batches(slow):
    slowdown, interruption_ms, limit = settled(slow(), 1.0), 5000.0, 4
    for _ in range(3):
        slowdown.note(0, SMALL, 1, mean_ms(SMALL) + interruption_ms)
    assert slowdown.upper(0, SMALL)[limit] < interruption_ms


def test_spikes_with_ordinary_runs_between_them_move_nothing(slow):
    slowdown = settled(slow(), 1.0)
    for _ in range(10):
        slowdown.note(0, SMALL, 1, 3.0 * mean_ms(SMALL))
        slowdown.note(0, SMALL, 1, mean_ms(SMALL))
    assert slowdown.factor(0, SMALL) == pytest.approx(1.0, abs=0.02)


def test_what_a_lane_shows_stands_for_a_stage_that_has_hardly_run_there(slow):
    slowdown = settled(slow(), 2.0)
    slowdown.note(0, LARGE, 1, mean_ms(LARGE))
    # One run of its own beside four that its lane counts for: (1 + 4 * 2) / 5.
    assert slowdown.factor(0, LARGE) == pytest.approx(1.8, rel=0.01)
    settled(slowdown, 1.0, stage=LARGE, n_runs=40)
    assert slowdown.factor(0, LARGE) == pytest.approx(1.0, rel=0.05)


def test_lanes_are_followed_apart_and_the_overall_factor_is_their_mean(slow):
    slowdown = settled(slow(2), 2.0, lane=0)
    assert slowdown.factor(1, SMALL) == 1.0
    assert slowdown.overall == pytest.approx(1.5, rel=0.01)


def test_what_a_batch_may_take_follows_the_factor(slow, pair):
    slowdown, usual = settled(slow(), 2.0), settled(slow(), 1.0)
    upper_ms = slowdown.upper(0, SMALL).array()
    assert upper_ms[1:] == pytest.approx(2.0 * usual.upper(0, SMALL).array()[1:], rel=0.1)
    assert upper_ms[0] == 0.0
    assert upper_ms.tolist() == [slowdown.upper(0, SMALL)[n] for n in range(len(pair.times.upper_ms[SMALL]))]


def test_the_margin_of_a_steady_lane_shrinks_but_not_below_its_mean(slow, pair):
    slowdown = settled(slow(), 1.0, n_runs=600)
    upper, mean = slowdown.upper(0, SMALL).array()[1:], pair.times.means[SMALL][1:]
    assert (upper < 1.2 * mean).all()
    assert (upper > mean).all()


def margin_after(slowdown, last):
    """What a run may take beyond its mean, after runs that scatter by a twentieth and a last one."""
    for ratio in [0.95, 1.05] * 300:
        slowdown.note(0, SMALL, 1, ratio * mean_ms(SMALL))
    slowdown.note(0, SMALL, 1, last * mean_ms(SMALL))
    return slowdown.upper(0, SMALL)[1] / (slowdown.factor(0, SMALL) * mean_ms(SMALL)) - 1.0


def test_a_run_beyond_its_margin_widens_it_and_a_spike_does_not(slow):
    """Beside runs that are as far off, but fast."""
    assert 0.1 < margin_after(slow(), 1.0) < 0.19
    assert margin_after(slow(), 1.2) > 1.15 * margin_after(slow(), 0.8)
    assert margin_after(slow(), 2.0) == pytest.approx(margin_after(slow(), 0.1), rel=0.01)


@pytest.mark.parametrize("spread", [0.03, 0.15])
def test_few_runs_take_longer_than_they_may_whatever_the_spread(slow, spread):
    """One in 500 is meant; with 4,000 runs 30 are more than six standard deviations above that."""
    rng, slowdown, n_over, uppers = np.random.default_rng(0), slow(), 0, []
    for ratio in 1.4 * np.exp(spread * rng.normal(size=4500)):
        n_over += len(uppers) >= 500 and ratio * mean_ms(SMALL) > uppers[-1]
        slowdown.note(0, SMALL, 1, ratio * mean_ms(SMALL))
        uppers.append(slowdown.upper(0, SMALL)[1])
    assert n_over <= 30
    # Nor by giving everything all the time in the world: five standard deviations are enough.
    assert np.median(uppers) < 1.4 * mean_ms(SMALL) * np.exp(5.0 * spread)


def test_the_time_left_is_stretched_by_how_much_more_a_run_may_take_than_profiled(slow):
    slowdown = settled(slow(), 2.0, n_runs=600)
    assert slowdown.stretch == pytest.approx(slowdown.upper(0, SMALL)[1] / (1.5 * mean_ms(SMALL)), rel=1e-6)
    half = settled(slow(2), 2.0, n_runs=600)
    assert half.stretch < slowdown.stretch


def test_batches_beyond_the_limit_are_compared_with_their_share_of_the_largest(slow):
    slowdown = slow()
    slowdown.note(0, SMALL, 16, 2 * mean_ms(SMALL, 8))
    assert slowdown.factor(0, SMALL) == 1.0


def test_a_stage_that_takes_no_time_tells_nothing():
    slowdown = SlowDown(Times(ServiceTable.from_costs([0.0, 1.0]), 0.99, 4), 1)
    slowdown.note(0, 0, 1, 0.01)
    assert slowdown.overall == slowdown.factor(0, 0) == 1.0
