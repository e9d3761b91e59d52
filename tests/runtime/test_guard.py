import numpy as np
import pytest

from cascade.errors import ConfigurationError
from cascade.runtime.guard import HighQuantile, StrictGuard, Strictness


@pytest.mark.parametrize("miss_rate", [0.001, 0.01])
@pytest.mark.parametrize("draw", [lambda rng: rng.exponential(1.0), lambda rng: rng.pareto(2.0), lambda rng: 3.0])
def test_the_stated_share_of_durations_is_longer(miss_rate, draw):
    """Whatever the distribution: the steps cancel at that rate, so this holds for every run, not only on average."""
    rng, late, n_misses, n = np.random.default_rng(0), HighQuantile(miss_rate, 0.5), 0, 20_000
    for _ in range(n):
        duration_ms = float(draw(rng))
        n_misses += duration_ms > late.value_ms
        late.note(duration_ms)
    assert n_misses / n <= 2.0 * miss_rate


def test_a_change_is_followed_within_a_few_misses():
    late = HighQuantile(0.001, 0.5)
    for n_misses in range(1, 20):  # noqa: B007 - counted
        late.note(6.0)
        if late.value_ms >= 6.0:
            break
    assert n_misses <= 8


def test_the_guard_leaves_half_of_a_short_budget():
    guard = StrictGuard(0.001)
    for _ in range(20):
        guard.note(50.0)
    assert guard.guard_ms > 10.0
    assert guard.due_ms(100.0, 104.0) == 102.0
    assert guard.due_ms(100.0, 99.0) == 99.0


@pytest.mark.parametrize("miss_rate", [0.0, 1.0, float("nan")])
def test_a_miss_rate_that_is_no_share_is_refused(miss_rate):
    with pytest.raises(ConfigurationError, match="expected strict_miss_rate in"):
        Strictness(True, miss_rate)
