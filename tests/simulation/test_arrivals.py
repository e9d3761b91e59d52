import numpy as np
import pytest

from cascade.errors import DataError
from cascade.simulation.arrivals import (
    bursty_arrivals,
    compressed_arrivals,
    diurnal_arrivals,
    load_arrivals,
    modulated_arrivals,
)


def counts(arrival_ms, window_ms, duration_ms):
    """Arrivals in successive windows."""
    return np.histogram(arrival_ms, np.arange(0.0, duration_ms + 1.0, window_ms))[0]


@pytest.mark.parametrize("cv", [0.5, 1.0, 4.0])
def test_gaps_have_the_mean_and_the_variation_that_were_asked(cv):
    gaps_ms = np.diff(bursty_arrivals(500.0, 400_000.0, cv, np.random.default_rng(0)))
    # Standard errors of 200,000 gaps: of the mean cv / 450, of the variation below 2 % at cv 4.
    assert gaps_ms.mean() == pytest.approx(2.0, rel=5 * cv / 450)
    assert gaps_ms.std() / gaps_ms.mean() == pytest.approx(cv, rel=0.06)


def test_poisson_counts_vary_as_much_as_their_mean_and_bursty_ones_far_more():
    rng = np.random.default_rng(1)
    for cv, low, high in ((1.0, 0.85, 1.15), (4.0, 8.0, 20.0)):
        n = counts(bursty_arrivals(200.0, 500_000.0, cv, rng), 500.0, 500_000.0)
        assert low < n.var() / n.mean() < high


def test_arrivals_fill_the_duration_and_do_not_pass_its_end():
    for seed in range(20):
        arrival_ms = bursty_arrivals(1000.0, 2000.0, 4.0, np.random.default_rng(seed))
        assert arrival_ms[-1] < 2000.0
        assert (np.diff(arrival_ms) >= 0.0).all()
    assert bursty_arrivals(1000.0, 2000.0, 0.3, np.random.default_rng(0))[-1] > 1990.0


def test_a_modulated_process_is_at_each_of_its_rates_for_its_share_of_the_time():
    arrival_ms = modulated_arrivals([100.0, 900.0], [600.0, 200.0], 800_000.0, np.random.default_rng(2))
    assert len(arrival_ms) / 800.0 == pytest.approx(300.0, rel=0.07)
    n = counts(arrival_ms, 20.0, 800_000.0)
    # Windows of 20 ms hold about 2 arrivals in one state, in which three quarters of the time are spent, about 18 in the other.
    assert np.mean(n >= 9) == pytest.approx(0.25, abs=0.03)
    assert (np.diff(arrival_ms) >= 0.0).all()


def test_a_state_without_arrivals_is_a_pause():
    arrival_ms = modulated_arrivals([0.0, 1000.0], [500.0, 500.0], 20_000.0, np.random.default_rng(3))
    assert np.diff(arrival_ms).max() > 200.0


def test_the_rate_of_a_day_is_lowest_at_its_ends_and_highest_in_its_middle():
    arrival_ms = diurnal_arrivals(400.0, 300_000.0, 0.8, 300_000.0, np.random.default_rng(4))
    assert len(arrival_ms) / 300.0 == pytest.approx(400.0, rel=0.02)
    n = counts(arrival_ms, 10_000.0, 300_000.0) / 10.0
    assert n[[0, -1]] == pytest.approx([81.8, 81.8], rel=0.15)
    assert n[[14, 15]] == pytest.approx([718.0, 718.0], rel=0.08)


def test_without_a_swing_the_rate_of_a_day_is_constant():
    n = counts(diurnal_arrivals(400.0, 100_000.0, 0.0, 100_000.0, np.random.default_rng(5)), 10_000.0, 100_000.0)
    assert n / 10.0 == pytest.approx(np.full(10, 400.0), rel=0.08)


def test_recorded_arrivals_keep_their_shape_at_another_rate():
    times = compressed_arrivals([50.0, 60.0, 90.0, 250.0], 30.0, None)
    assert times[0] == 0.0
    assert times[-1] == pytest.approx(100.0)
    assert np.diff(times) / np.diff(times).sum() == pytest.approx([0.05, 0.15, 0.8])


def test_recorded_arrivals_stay_as_they_are_without_a_rate_and_are_cut_after_compression():
    assert compressed_arrivals([5, 6, 9], None, None).tolist() == [0.0, 1.0, 4.0]
    assert compressed_arrivals([0.0, 100.0, 200.0], 100.0, 15.0).tolist() == [0.0, 10.0]


@pytest.mark.parametrize("name", ["a.npy", "one.npz", "named.npz", "plain.csv", "headed.csv", "columns.csv"])
def test_arrivals_are_read_from_every_kind_of_file(name, tmp_path):
    times = np.array([1.5, 2.0, 7.25])
    np.save(tmp_path / "a.npy", times)
    np.savez(tmp_path / "one.npz", whatever=times)
    np.savez(tmp_path / "named.npz", arrival_ms=times, tokens=np.arange(3))
    (tmp_path / "plain.csv").write_text("1.5\n2.0\n7.25\n\n")
    (tmp_path / "headed.csv").write_text("ms\n1.5\n2.0\n7.25\n")
    (tmp_path / "columns.csv").write_text("user, arrival_ms\n9,1.5\n8,2.0\n7,7.25\n")
    assert load_arrivals(tmp_path / name).tolist() == times.tolist()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("times.txt", b"1", "ending in .npy, .npz or .csv"),
        (
            "broken.npy",
            b"no array",
            "cannot read instants of arrival from .*broken.npy': it does not read as arrays of numbers",
        ),
        ("empty.npy", b"", "cannot read instants of arrival from .*empty.npy"),
        ("words.csv", b"arrival_ms\nsoon\n", "cannot read instants of arrival from .*words.csv"),
        ("short.csv", b"user,arrival_ms\n1\n", "cannot read instants of arrival from .*short.csv"),
        ("broken.npz", b"PK broken", "cannot read instants of arrival from .*broken.npz"),
        ("cut.npz", b"PK\x03\x04 and no more", "cannot read instants of arrival from .*cut.npz"),
        ("latin.csv", b"arrival_ms\n\xff\n", "cannot read instants of arrival from .*latin.csv"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_arrivals(tmp_path / name)


def test_a_file_with_several_arrays_and_no_arrival_ms_lists_them(tmp_path):
    np.savez(tmp_path / "a.npz", b=np.zeros(2), a=np.zeros(2))
    with pytest.raises(DataError, match=r"a.npz.*arrival_ms, or a single one, got \['a', 'b'\]"):
        load_arrivals(tmp_path / "a.npz")


def test_numbers_outside_their_range_are_errors():
    rng = np.random.default_rng(0)
    for rate, duration in ((0.0, 10.0), (-1.0, 10.0), (float("nan"), 10.0), (10.0, 0.0), (10.0, float("inf"))):
        with pytest.raises(DataError, match="rate_rps and duration_ms finite and above 0"):
            bursty_arrivals(rate, duration, 1.0, rng)
    with pytest.raises(DataError, match="cv above 0"):
        bursty_arrivals(10.0, 10.0, 0.0, rng)
    with pytest.raises(DataError, match="take a shorter time"):
        bursty_arrivals(1e9, 1e9, 1.0, rng)
    with pytest.raises(DataError, match="two or more states"):
        modulated_arrivals([10.0], [10.0], 10.0, rng)
    with pytest.raises(DataError, match="finite rates"):
        modulated_arrivals([0.0, 0.0], [10.0, 10.0], 10.0, rng)
    with pytest.raises(DataError, match="finite stays above 0"):
        modulated_arrivals([1.0, 2.0], [10.0, 0.0], 10.0, rng)
    with pytest.raises(DataError, match=r"swing in \[0, 1\]"):
        diurnal_arrivals(10.0, 10.0, 1.5, 10.0, rng)
    with pytest.raises(DataError, match="period_ms above 0"):
        diurnal_arrivals(10.0, 10.0, 0.5, 0.0, rng)


@pytest.mark.parametrize(
    ("arrival_ms", "rate_rps", "duration_ms", "message"),
    [
        ([], None, None, "finite instants of shape"),
        ([[1.0]], None, None, "finite instants of shape"),
        (["now"], None, None, "finite instants of shape"),
        ([0.0, float("nan")], None, None, "finite instants of shape"),
        ([2.0, 1.0], None, None, "ascend: sort them"),
        ([1.0, 1.0], 5.0, None, "at two instants at least"),
        ([1.0, 2.0], 0.0, None, "rate_rps above 0"),
        ([1.0, 2.0], None, -1.0, "duration_ms above 0"),
    ],
)
def test_recorded_arrivals_that_cannot_be_used_are_errors(arrival_ms, rate_rps, duration_ms, message):
    with pytest.raises(DataError, match=message):
        compressed_arrivals(arrival_ms, rate_rps, duration_ms)
