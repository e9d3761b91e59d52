from math import inf

import numpy as np
import pytest
from ddsketch import LogCollapsingLowestDenseDDSketch
from hypothesis import given
from hypothesis import strategies as st

from cascade.telemetry.durations import (
    FIRST,
    LEAST_MS,
    MOST_MS,
    N_BUCKETS,
    PER_OCTAVE,
    RELATIVE_ACCURACY,
    Distribution,
    Durations,
    bucket_of,
    no_durations,
)

DURATIONS = st.lists(st.floats(LEAST_MS * 1.001, MOST_MS), min_size=1, max_size=60)


def counted(durations_ms):
    durations = Durations()
    for duration_ms in durations_ms:
        durations.note(duration_ms)
    return durations.snapshot()


@given(st.floats(LEAST_MS * 1.001, MOST_MS))
def test_a_duration_lies_between_the_edges_of_its_bucket(duration_ms):
    bucket = bucket_of(duration_ms)
    low, high = (2.0 ** ((edge - FIRST) / PER_OCTAVE) for edge in (bucket - 1, bucket))
    assert low * (1 - 1e-12) < duration_ms <= high * (1 + 1e-12)


@given(DURATIONS, st.floats(0.0, 1.0))
def test_a_quantile_is_off_by_no_more_than_the_accuracy(durations_ms, level):
    exact = np.quantile(durations_ms, level, method="lower")
    assert counted(durations_ms).quantile_ms(level) == pytest.approx(exact, rel=RELATIVE_ACCURACY * 1.001)


@given(DURATIONS, DURATIONS)
def test_merging_gives_what_counting_all_together_gives(some, others):
    merged = Distribution.merged([counted(some), counted(others)])
    together = counted([*some, *others])
    assert (merged.counts == together.counts).all()
    assert (merged.n, merged.max_ms) == (together.n, together.max_ms)
    assert merged.total_ms == pytest.approx(together.total_ms)


def test_adding_counters_gives_what_merging_their_snapshots_gives():
    some, others = Durations(), Durations()
    some.note(3.0)
    others.note(5.0)
    merged = Distribution.merged([some.snapshot(), others.snapshot()])
    some.add(others)
    assert (some.snapshot().counts == merged.counts).all()
    assert (some.total_ms, some.max_ms) == (8.0, 5.0)


def test_no_bucket_is_lost_on_the_way_to_the_sketch():
    durations_ms = [2.0 ** ((bucket - 0.5 - FIRST) / PER_OCTAVE) for bucket in range(1, N_BUCKETS)]
    sketch = counted(durations_ms).sketch()
    assert sketch.count == N_BUCKETS - 1
    assert len([n for n in sketch._store.bins if n == 1.0]) == N_BUCKETS - 1


def test_the_sketch_merges_with_one_that_was_filled_elsewhere():
    elsewhere = LogCollapsingLowestDenseDDSketch(RELATIVE_ACCURACY, N_BUCKETS)
    elsewhere.add(100.0)
    sketch = counted([1.0]).sketch()
    sketch.merge(elsewhere)
    assert (sketch.count, round(sketch.get_quantile_value(1.0), -1)) == (2.0, 100.0)


@pytest.mark.parametrize("duration_ms", [0.0, -1.0, 1e-9, 1e300, inf])
def test_what_is_out_of_range_counts_as_the_nearest_end(duration_ms):
    distribution = counted([duration_ms])
    assert distribution.n == 1
    assert distribution.counts[0 if duration_ms < 1.0 else -1] == 1


def test_the_number_up_to_a_power_of_two_is_exact():
    distribution = counted([0.5, 1.0, 1.0001, 2.0, 2.0001, 64.0])
    assert distribution.n_up_to([0.25, 0.5, 1.0, 2.0, 64.0, inf]) == [0, 1, 2, 4, 6, 6]


def test_memory_does_not_grow_with_what_is_counted():
    durations = Durations()
    before = durations.counts.buffer_info()[1], durations.counts.itemsize
    for duration_ms in np.random.default_rng(0).lognormal(0.0, 5.0, 5000).tolist():
        durations.note(duration_ms)
    assert (durations.counts.buffer_info()[1], durations.counts.itemsize) == before


def test_a_snapshot_stays_as_it_was():
    durations = Durations()
    durations.note(1.0)
    snapshot = durations.snapshot()
    durations.note(1.0)
    assert snapshot.n == 1
    with pytest.raises(ValueError, match="read-only"):
        snapshot.counts[0] = 1


def test_without_durations_every_figure_is_zero():
    nothing = no_durations()
    assert (nothing.n, nothing.mean_ms, nothing.quantile_ms(0.99)) == (0, 0.0, 0.0)
    assert repr(nothing) == "Distribution(n=0)"


def test_a_distribution_is_read_in_one_line():
    assert repr(counted([1.0] * 99 + [8.0])) == "Distribution(n=100, p50_ms=0.978, p99_ms=0.978, max_ms=8)"
