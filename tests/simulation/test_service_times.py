import numpy as np
import pytest

from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.simulation.service_times import ServiceTimes, SlowDown

TABLE = ServiceTable.from_costs([2.0, 5.0])


def durations(times, n=20_000, seed=0, **batch):
    asked = {"lane": 0, "stage": 0, "n": 1, "now_ms": 0.0, **batch}
    drawn = times.drawn(seed)
    return np.array([drawn.duration_ms(asked["lane"], asked["stage"], asked["n"], asked["now_ms"]) for _ in range(n)])


def test_without_jitter_a_batch_takes_its_profiled_mean():
    mean_ms = np.array([[2.0, 3.0]])
    table = ServiceTable(
        stages=None, batch_sizes=(1, 5), mean_ms=mean_ms, quantile_ms=mean_ms[None], levels=(0.9,), costs=[1.0]
    )
    drawn = ServiceTimes(table, jitter=0.0).drawn(0)
    assert [drawn.duration_ms(0, 0, n, 0.0) for n in (5, 1, 3, 10)] == [3.0, 2.0, 2.5, 6.0]


def test_jitter_has_mean_one_and_the_deviation_that_was_asked():
    factors = durations(ServiceTimes(TABLE, jitter=0.3), stage=1) / 5.0
    assert factors.mean() == pytest.approx(1.0, abs=0.01)
    assert factors.std() == pytest.approx(0.3, abs=0.01)
    assert factors.min() > 0.0


def test_spikes_come_in_their_share_and_with_their_factor():
    factors = durations(ServiceTimes(TABLE, jitter=0.0, spike_share=0.02, spike_factor=3.0)) / 2.0
    assert set(factors.tolist()) == {1.0, 3.0}
    assert np.mean(factors == 3.0) == pytest.approx(0.02, abs=0.004)


def test_durations_repeat_with_the_seed():
    times = ServiceTimes(TABLE, jitter=0.1, spike_share=0.1)
    one, same, other = (durations(times, n=9000, seed=seed).tolist() for seed in (5, 5, 6))
    assert one == same != other


def test_a_slow_period_concerns_its_lanes_and_stages_only():
    slow = SlowDown(10.0, 20.0, 4.0, stages=(1,), lanes=(0, 2))
    drawn = ServiceTimes(TABLE, jitter=0.0, slowdowns=(slow,)).drawn(0)
    asked = [(0, 1, 15.0), (2, 1, 15.0), (1, 1, 15.0), (0, 0, 15.0), (0, 1, 9.9), (0, 1, 10.0), (0, 1, 20.0)]
    assert [drawn.duration_ms(lane, stage, 1, now_ms) for lane, stage, now_ms in asked] == [20, 20, 5, 2, 5, 20, 5]


def test_slow_periods_that_overlap_multiply():
    times = ServiceTimes(TABLE, jitter=0.0, slowdowns=(SlowDown(0.0, 20.0, 2.0), SlowDown(10.0, 30.0, 1.5)))
    drawn = times.drawn(0)
    assert [drawn.duration_ms(0, 0, 1, now_ms) for now_ms in (5.0, 15.0, 25.0, 35.0)] == [4.0, 6.0, 3.0, 2.0]


def test_between_two_slow_periods_times_are_as_usual():
    drawn = ServiceTimes(TABLE, jitter=0.0, slowdowns=(SlowDown(0.0, 10.0, 2.0), SlowDown(20.0, 30.0, 3.0))).drawn(0)
    assert [drawn.duration_ms(0, 0, 1, now_ms) for now_ms in (9.0, 10.0, 19.0, 20.0)] == [4.0, 2.0, 2.0, 6.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jitter": -0.1}, "jitter of at least 0"),
        ({"jitter": float("inf")}, "jitter of at least 0"),
        ({"spike_share": 1.1}, "spike_share in"),
        ({"spike_factor": 0.0}, "positive finite spike_factor"),
    ],
)
def test_numbers_outside_their_range_are_errors(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        ServiceTimes(TABLE, **changes)


def test_an_empty_period_and_a_factor_of_zero_are_errors():
    with pytest.raises(ConfigurationError, match="start_ms before end_ms, got 5.0 and 5.0"):
        SlowDown(5.0, 5.0, 2.0)
    with pytest.raises(ConfigurationError, match="positive finite factor, got 0.0"):
        SlowDown(0.0, 5.0, 0.0)
