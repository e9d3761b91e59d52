"""Scripted stages on a virtual clock come back as the very table that was scripted."""

import gc
from contextlib import contextmanager
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.clock import VirtualClock
from cascade.core.service import LEVELS
from cascade.errors import ConfigurationError, EmptyBatch, NotFinite, StageError
from cascade.profiling.profile import profile, profile_brief

X = np.arange(10.0)[:, None]


class ScriptedStage:
    """Takes the scripted milliseconds per run, and remembers what it was given."""

    scores = "probs"
    classes = None
    fingerprint = "scripted"
    device = "cpu"

    def __init__(self, name, clock, times_ms, requires=None):
        self.name = name
        self.requires = requires
        self.clock = clock
        self.times_ms = times_ms
        self.runs = []
        self.thread_limit = None
        self.thread_limits_seen = set()

    def run(self, batch, carry=None):
        self.runs.append((batch, carry))
        self.thread_limits_seen.add(self.thread_limit)
        self.clock.wait(self.times_ms(len(batch)))
        return np.full((len(batch), 2), 0.5), None

    def take(self, carry, rows):
        return None

    def join(self, carries):
        return None

    def synchronise(self):
        pass

    def threads(self):
        return self.thread_limit or 2

    @contextmanager
    def limit_threads(self, n_threads):
        before, self.thread_limit = self.thread_limit, n_threads
        try:
            yield
        finally:
            self.thread_limit = before


class ExitOnce(ScriptedStage):
    """An exit whose carry can be continued from only once."""

    def run(self, batch, carry=None):
        if self.requires is not None:
            assert carry == {"of": self.requires, "rows": batch.tolist()}, "expected the predecessor's carry, unused"
            carry.clear()
        out, _ = super().run(batch)
        return out, {"of": self.name, "rows": batch.tolist()}


class AsynchronousStage(ScriptedStage):
    """Returns at once; the time passes when it is waited for."""

    pending_ms = 0.0

    def run(self, batch, carry=None):
        self.pending_ms += self.times_ms(len(batch))
        return np.full((len(batch), 2), 0.5), None

    def synchronise(self):
        self.clock.wait(self.pending_ms)
        self.pending_ms = 0.0


def quiet(stages, **options):
    return profile(stages, X, clock=stages[0].clock, progress=False, **options)


def batch_sizes_of(stage):
    return [len(batch) for batch, _ in stage.runs]


def test_the_measured_table_is_the_scripted_one():
    clock = VirtualClock()
    stages = [ScriptedStage("small", clock, lambda n: 0.5 + 0.25 * n), ScriptedStage("big", clock, lambda n: 4.0 * n)]
    table = quiet(stages, max_batch=8)
    assert table.stages == ("small", "big")
    assert table.batch_sizes == (1, 2, 4, 8)
    assert table.mean_ms.tolist() == [[0.75, 1.0, 1.5, 2.5], [4.0, 8.0, 16.0, 32.0]]
    assert all((quantile == table.mean_ms).all() for quantile in table.quantile_ms)
    assert table.costs.tolist() == [0.75, 4.0]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_quantiles_of_jitter_are_the_upper_order_statistics(seed):
    clock = VirtualClock()
    # multiples of 1/64 are added and subtracted without rounding
    jitter_ms = np.random.default_rng(seed).integers(64, 640, size=1000) / 64.0
    script = iter([*[1.0] * 3, *jitter_ms])
    spent, seen = np.cumsum(jitter_ms), []

    def times_ms(_):
        seen.append(next(script))
        return seen[-1]

    table = quiet([ScriptedStage("only", clock, times_ms)], max_batch=1)
    measured = np.array(seen[3:])
    assert measured.size == np.searchsorted(spent, 250.0) + 1
    assert table.quantile_ms[:, 0, 0].tolist() == np.quantile(measured, LEVELS, method="higher").tolist()
    assert table.mean_ms[0, 0] == pytest.approx(measured.mean())


@settings(max_examples=20)
@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=40))
def test_any_script_yields_a_table_that_never_falls(script):
    times = cycle(script)
    stage = ScriptedStage("only", VirtualClock(), lambda _: next(times))
    table = quiet([stage], max_batch=4, cell_ms=50.0)
    assert (np.diff(table.mean_ms, axis=1) >= 0.0).all()
    assert (table.mean_ms <= table.quantile_ms[-1]).all()


def test_a_larger_batch_is_never_promised_to_take_less_time():
    stage = ScriptedStage("only", VirtualClock(), lambda n: {1: 3.0, 2: 2.0, 4: 5.0}[n])
    assert quiet([stage], max_batch=4).mean_ms.tolist() == [[3.0, 3.0, 5.0]]


def test_a_largest_batch_between_powers_of_two_is_profiled_too():
    stage = ScriptedStage("only", VirtualClock(), float)
    assert quiet([stage], max_batch=6).batch_sizes == (1, 2, 4, 6)
    assert quiet([stage], max_batch=1).batch_sizes == (1,)


def test_every_batch_size_is_warm_before_any_is_measured():
    clock = VirtualClock()
    n_slow = {1: 3, 2: 3, 4: 3}

    def times_ms(n):
        n_slow[n] -= 1
        return 1000.0 if n_slow[n] >= 0 else 1.0

    stage = ScriptedStage("only", clock, times_ms)
    table = quiet([stage], max_batch=4)
    assert table.mean_ms.tolist() == [[1.0, 1.0, 1.0]]
    assert batch_sizes_of(stage)[:9] == [1, 1, 1, 2, 2, 2, 4, 4, 4]


def test_a_settled_quantile_ends_the_repeats_early():
    stage = ScriptedStage("only", VirtualClock(), lambda _: 0.125)
    assert quiet([stage], max_batch=1, cell_ms=1000.0).stamp["n_repeats_max"] == 300


def test_an_unsettled_quantile_is_repeated_until_the_time_is_used_up():
    growing = iter(range(1, 10_000))
    stage = ScriptedStage("only", VirtualClock(), lambda _: next(growing) / 1024.0)
    table = quiet([stage], max_batch=1, cell_ms=1000.0)
    assert table.stamp["n_repeats_max"] > 1000


def test_slow_runs_are_repeated_twenty_times():
    stage = ScriptedStage("only", VirtualClock(), lambda _: 16.0)
    assert quiet([stage], max_batch=1).stamp["n_repeats_min"] == 20


def test_very_slow_runs_stop_at_four_times_the_time_of_a_cell():
    stage = ScriptedStage("only", VirtualClock(), lambda _: 100.0)
    assert quiet([stage], max_batch=1).stamp["n_repeats_max"] == 10
    stage.times_ms = lambda _: 5000.0
    assert quiet([stage], max_batch=1).stamp["n_repeats_max"] == 1


def test_only_the_continuation_of_a_multi_exit_network_is_timed():
    clock = VirtualClock()
    stages = [
        ExitOnce("first", clock, lambda n: 1.0 * n),
        ExitOnce("second", clock, lambda n: 2.0 * n, requires="first"),
        ExitOnce("third", clock, lambda n: 4.0 * n, requires="second"),
    ]
    assert quiet(stages, max_batch=2).mean_ms.tolist() == [[1.0, 2.0], [2.0, 4.0], [4.0, 8.0]]


def test_time_on_the_device_is_waited_for():
    stage = AsynchronousStage("only", VirtualClock(), lambda n: 2.0 * n)
    assert quiet([stage], max_batch=2).mean_ms.tolist() == [[2.0, 4.0]]


def test_rows_are_drawn_in_a_shuffled_order_again_and_again():
    stage = ScriptedStage("only", VirtualClock(), float)
    quiet([stage], max_batch=16, seed=1)
    drawn = np.concatenate([batch for batch, _ in stage.runs])[:, 0]
    rounds = drawn[: drawn.size // 10 * 10].reshape(-1, 10)
    assert (rounds == rounds[0]).all()
    assert sorted(rounds[0]) == X[:, 0].tolist()
    assert rounds[0].tolist() != X[:, 0].tolist()


def test_the_same_seed_draws_the_same_rows():
    stages = [ScriptedStage("only", VirtualClock(), float) for _ in range(3)]
    for stage, seed in zip(stages, [4, 4, 5], strict=True):
        quiet([stage], max_batch=2, seed=seed)
    first, same, other = (stage.runs[0][0].item() for stage in stages)
    assert first == same != other


def test_a_list_of_objects_is_profiled_like_an_array():
    stage = ScriptedStage("only", VirtualClock(), float)
    profile([stage], ["a question", "another"], max_batch=4, clock=stage.clock, progress=False)
    assert all(isinstance(batch, list) for batch, _ in stage.runs)


def test_threads_are_limited_meanwhile_and_restored():
    stage = ScriptedStage("only", VirtualClock(), float)
    assert quiet([stage], max_batch=2, threads=3).stamp["threads:only"] == 3
    assert stage.thread_limits_seen == {3}
    assert stage.thread_limit is None


def test_threads_can_be_left_alone():
    stage = ScriptedStage("only", VirtualClock(), float)
    assert quiet([stage], max_batch=2, threads="leave").stamp["threads:only"] == 2
    assert stage.thread_limits_seen == {None}


def test_a_failing_stage_is_named_with_its_batch_size_and_threads_are_restored():
    clock = VirtualClock()
    stages = [ScriptedStage("sound", clock, float), ScriptedStage("fragile", clock, lambda n: {1: 1.0}[n])]
    with pytest.raises(
        StageError, match="stage 'fragile' raised KeyError when it was profiled at batch size 2"
    ) as info:
        quiet(stages, max_batch=2)
    assert isinstance(info.value.__cause__, KeyError)
    assert [stage.thread_limit for stage in stages] == [None, None]


def test_a_failing_predecessor_is_named_itself():
    clock = VirtualClock()
    times = iter([1.0] * 3)
    stages = [ExitOnce("first", clock, lambda _: next(times)), ExitOnce("second", clock, float, requires="first")]
    with pytest.raises(StageError, match="stage 'first' raised StopIteration"):
        quiet(stages, max_batch=1)


def test_a_heated_machine_has_run_every_stage_before_it_is_measured():
    clock = VirtualClock()
    heated_after_ms = 500.0
    stages = [
        ScriptedStage("small", clock, lambda _: 1.0 if clock.now_ms() < heated_after_ms else 2.0),
        ScriptedStage("big", clock, lambda _: 2.0 if clock.now_ms() < heated_after_ms else 3.0),
    ]
    table = quiet(stages, max_batch=2, heat_ms=600.0)
    assert table.mean_ms.tolist() == [[2.0, 2.0], [3.0, 3.0]]
    assert table.stamp["heat_ms"] == 600.0


def test_the_stamp_counts_the_collections_during_measurement_only():
    stage = ScriptedStage("only", VirtualClock(), lambda n: gc.collect(0) * 0.0 + 16.0)
    callbacks = list(gc.callbacks)
    gc.disable()
    try:
        assert quiet([stage], max_batch=1).stamp["n_gc_collections"] == 20
    finally:
        gc.enable()
    assert gc.callbacks == callbacks


def test_costs_of_another_unit_are_kept():
    clock = VirtualClock()
    stages = [ScriptedStage("small", clock, float), ScriptedStage("big", clock, float)]
    assert quiet(stages, max_batch=1, costs=[0.25, 10]).costs.tolist() == [0.25, 10.0]


def test_a_brief_profile_takes_about_a_second():
    clock = VirtualClock()
    stages = [ScriptedStage("small", clock, lambda n: 0.25 * n), ScriptedStage("big", clock, lambda n: 0.5 * n)]
    table = profile_brief(stages, X, clock=clock)
    assert table.mean_ms[1].tolist() == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
    assert 400.0 < clock.now_ms() < 1200.0


def test_a_brief_profile_of_a_slow_stage_runs_each_batch_size_twice():
    clock = VirtualClock()
    stage = ScriptedStage("slow", clock, lambda n: 1000.0 * n)
    profile_brief([stage], X, max_batch=2, clock=clock)
    assert batch_sizes_of(stage) == [1, 2, 1, 2]


def test_no_bar_is_shown_for_short_work(capsys):
    stage = ScriptedStage("only", VirtualClock(), float)
    profile([stage], X, max_batch=2, clock=stage.clock)
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_shown_on_stderr_for_long_work(capsys, monkeypatch):
    monkeypatch.setattr("cascade.core.progress._SHOWN_AFTER_S", 0.0)
    stage = ScriptedStage("only", VirtualClock(), float)
    profile([stage], X, max_batch=2, clock=stage.clock)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "profile" in shown.err


@pytest.mark.parametrize("door", [profile, profile_brief])
@pytest.mark.parametrize("nothing", [np.empty((0, 3)), []])
def test_sample_inputs_without_rows_are_refused(door, nothing):
    with pytest.raises(EmptyBatch, match="got no rows: one row is enough"):
        door([ScriptedStage("only", VirtualClock(), float)], nothing)


@pytest.mark.parametrize("door", [profile, profile_brief])
def test_a_profile_of_no_stages_is_refused(door):
    with pytest.raises(ConfigurationError, match="at least one stage to profile, got none"):
        door([], X)


def test_repeated_names_are_refused():
    clock = VirtualClock()
    with pytest.raises(ConfigurationError, match="different stage names, got 'net' twice"):
        quiet([ScriptedStage("net", clock, float), ScriptedStage("net", clock, float)])


def test_a_stage_before_its_predecessor_is_refused():
    clock = VirtualClock()
    stages = [ScriptedStage("second", clock, float, requires="first"), ScriptedStage("first", clock, float)]
    with pytest.raises(ConfigurationError, match="'second' continues from 'first': expected that stage before it"):
        quiet(stages)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch": 0}, "a positive max_batch, got 0"),
        ({"max_batch": -4}, "a positive max_batch, got -4"),
        ({"cell_ms": 0.0}, "a positive cell_ms, got 0.0"),
        ({"cell_ms": float("nan")}, "a positive cell_ms, got nan"),
        ({"heat_ms": -1.0}, "heat_ms of at least 0, got -1.0"),
        ({"threads": 0}, 'threads as an integer of at least 1 or "leave", got 0'),
        ({"threads": "all"}, "threads as an integer of at least 1 or \"leave\", got 'all'"),
        ({"costs": [1.0, 2.0]}, r"costs of shape \(1\), got shape \(2,\)"),
    ],
)
def test_impossible_options_are_refused_before_anything_runs(options, message):
    stage = ScriptedStage("only", VirtualClock(), float)
    with pytest.raises(ConfigurationError, match=message):
        quiet([stage], **options)
    assert stage.runs == []


def test_costs_that_are_not_finite_are_refused():
    with pytest.raises(NotFinite, match="finite numbers in costs, got nan"):
        quiet([ScriptedStage("only", VirtualClock(), float)], costs=[float("nan")])
