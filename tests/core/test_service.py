"""The table of service times: what it accepts, how it is read between points, and that it survives a file."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.service import LEVELS, ServiceTable
from cascade.errors import CascadeError, ConfigurationError, NotFinite


@st.composite
def tables(draw):
    n_stages = draw(st.integers(1, 3))
    batch_sizes = tuple(sorted({1, *draw(st.sets(st.integers(2, 64), max_size=4))}))
    steps = st.floats(0.0, 50.0)
    shape = (len(LEVELS), n_stages, len(batch_sizes))
    flat = draw(st.lists(steps, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    quantile_ms = np.cumsum(np.cumsum(np.reshape(flat, shape), axis=0), axis=2)
    share = draw(st.floats(0.0, 1.0))
    return ServiceTable(
        stages=tuple(f"stage {i}" for i in range(n_stages)),
        batch_sizes=batch_sizes,
        mean_ms=share * quantile_ms[0] + (1.0 - share) * quantile_ms[-1],
        quantile_ms=quantile_ms,
        costs=np.arange(1.0, n_stages + 1.0),
        stamp={"machine": "toy", "n_cpus": 2, "load": 0.5},
    )


def two_stages(**changes):
    fields = {
        "stages": ("small", "big"),
        "batch_sizes": (1, 4),
        "mean_ms": [[1.0, 2.5], [10.0, 16.0]],
        "quantile_ms": [[[1.0, 2.5], [10.0, 16.0]], [[2.0, 3.5], [12.0, 18.0]]],
        "levels": (0.5, 0.99),
        "costs": [1.0, 10.0],
    }
    return ServiceTable(**{**fields, **changes})


def test_profiled_batch_sizes_are_read_as_they_are():
    table = two_stages()
    assert [table.mean_at(0, 1), table.mean_at(0, 4), table.mean_at(1, 1)] == [1.0, 2.5, 10.0]
    assert table.quantile_at(1, 4, 0.99) == 18.0


def test_between_batch_sizes_times_are_linear():
    assert two_stages().mean_at(0, 2) == 1.5
    assert two_stages().quantile_at(1, 3, 0.5) == 14.0


def test_beyond_the_largest_batch_times_are_proportional_to_the_rows():
    assert two_stages().mean_at(1, 8) == 32.0
    assert two_stages().quantile_at(0, 6, 0.99) == 5.25


def test_between_levels_quantiles_are_linear():
    assert two_stages().quantile_at(0, 1, 0.745) == pytest.approx(1.5)


def test_below_the_lowest_level_its_quantile_serves():
    assert two_stages().quantile_at(0, 1, 0.1) == 1.0


@pytest.mark.parametrize("level", [0.0, -0.5, 0.995, 1.0, float("nan")])
def test_a_level_that_was_not_profiled_is_refused(level):
    with pytest.raises(ConfigurationError, match=r"a level in \(0, 0.99\], the highest profiled"):
        two_stages().quantile_at(0, 1, level)


@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_batch_without_rows_is_refused(batch_size):
    for read in (
        lambda: two_stages().mean_at(0, batch_size),
        lambda: two_stages().quantile_at(0, batch_size, 0.5),
        lambda: two_stages().atoms(batch_size),
    ):
        with pytest.raises(ConfigurationError, match=f"at least 1, got {batch_size}"):
            read()


@given(tables(), st.integers(1, 200), st.floats(0.001, 0.999))
def test_quantiles_never_fall_as_level_or_batch_grows(table, batch_size, level):
    now = table.quantile_at(0, batch_size, level)
    rounding = 1e-9 * now + 1e-12
    assert table.quantile_at(0, batch_size + 1, level) >= now - rounding
    assert table.quantile_at(0, batch_size, min(0.999, level * 1.01)) >= now - rounding


@given(tables(), st.data())
def test_readings_lie_between_the_profiled_batch_sizes_around_them(table, data):
    batch_size = data.draw(st.integers(1, table.batch_sizes[-1]))
    below = max(i for i, size in enumerate(table.batch_sizes) if size <= batch_size)
    above = min(i for i, size in enumerate(table.batch_sizes) if size >= batch_size)
    assert table.mean_ms[0, below] <= table.mean_at(0, batch_size) <= table.mean_ms[0, above]


@given(tables(), st.integers(1, 100))
def test_atoms_keep_the_mean_and_ascend(table, batch_size):
    values, weights = table.atoms(batch_size)
    means = [table.mean_at(i, batch_size) for i in range(table.n_stages)]
    assert values.shape == (table.n_stages, 3)
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(values @ weights, means, rtol=1e-9, atol=1e-12)
    assert (np.diff(values, axis=1) >= -1e-9 * values.max()).all()
    assert (values >= 0.0).all()


@given(tables(), st.integers(1, 100), st.sampled_from(LEVELS))
def test_scaling_by_two_doubles_every_time_and_no_cost(table, batch_size, level):
    slow = table.scaled(2.0)
    assert slow.mean_at(0, batch_size) == 2.0 * table.mean_at(0, batch_size)
    assert slow.quantile_at(0, batch_size, level) == pytest.approx(2.0 * table.quantile_at(0, batch_size, level))
    np.testing.assert_array_equal(slow.costs, table.costs)


def test_each_stage_may_have_its_own_slow_down():
    slow = two_stages().scaled([1.0, 3.0])
    assert (slow.mean_at(0, 1), slow.mean_at(1, 1)) == (1.0, 30.0)
    assert slow.quantile_at(1, 1, 0.99) == 36.0


@pytest.mark.parametrize(
    ("factors", "message"),
    [(0.0, "positive finite"), (float("inf"), "positive finite"), ([1.0, 2.0, 3.0], r"one factor or 2.*shape \(3,\)")],
)
def test_impossible_slow_downs_are_refused(factors, message):
    with pytest.raises(ConfigurationError, match=message):
        two_stages().scaled(factors)


@given(tables())
def test_a_table_survives_json(table):
    assert ServiceTable.from_dict(json.loads(json.dumps(table.to_dict()))) == table


def test_a_table_survives_a_file(tmp_path):
    table = two_stages(mean_ms=[[1.0 / 3.0, 2.5], [10.0, 16.0]], stamp={"machine": "toy"})
    table.save(tmp_path / "service.json")
    assert ServiceTable.load(tmp_path / "service.json") == table


def test_tables_are_equal_by_value_and_differ_by_any_field():
    assert two_stages() == two_stages()
    assert two_stages() != two_stages(stages=None)
    assert two_stages() != two_stages(costs=[1.0, 11.0])
    assert two_stages() != two_stages(stamp={})
    assert two_stages() != "a table"


def test_a_table_can_be_copied_deeply():
    table = two_stages(stamp={"machine": "toy"})
    assert copy.deepcopy(table) == table


def test_a_table_cannot_be_written_into_and_copies_what_it_is_given():
    mean_ms = np.array([[1.0, 2.5], [10.0, 16.0]])
    stamp = {"machine": "toy"}
    table = two_stages(mean_ms=mean_ms, stamp=stamp)
    mean_ms[0, 0] = 0.0
    stamp["machine"] = "other"
    assert table == two_stages(stamp={"machine": "toy"})
    with pytest.raises(ValueError, match="read-only"):
        table.mean_ms[0, 0] = 0.0


def test_costs_serve_as_times_when_there_are_none():
    table = ServiceTable.from_costs([0.5, 2.0])
    assert (table.mean_at(1, 1), table.mean_at(1, 32), table.quantile_at(1, 7, 0.999)) == (2.0, 64.0, 14.0)
    assert (table.stages, table.stamp, table.n_stages) == (None, None, 2)


def test_costs_and_times_may_be_in_different_units():
    table = ServiceTable.from_costs([3, 10], time_ms=[20.0, 5.0], stages=["one", "two"])
    assert table.costs.tolist() == [3.0, 10.0]
    assert (table.mean_at(0, 1), table.stages) == (20.0, ("one", "two"))


def test_atoms_of_an_exact_time_are_that_time():
    values, _ = ServiceTable.from_costs([0.5, 2.0]).atoms(4)
    np.testing.assert_allclose(values, [[2.0] * 3, [8.0] * 3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_sizes": ()}, "ascending batch sizes that begin with 1"),
        ({"batch_sizes": (2, 4)}, "ascending batch sizes that begin with 1"),
        ({"batch_sizes": (1, 1)}, "ascending batch sizes that begin with 1"),
        ({"levels": (0.99, 0.5)}, r"ascending levels, each in \(0, 1\)"),
        ({"levels": (0.5, 1.0)}, r"ascending levels, each in \(0, 1\)"),
        ({"levels": ()}, "ascending levels"),
        ({"mean_ms": [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]}, r"mean_ms of shape \(any, 2\), got shape \(2, 3\)"),
        ({"mean_ms": []}, r"mean_ms of shape \(any, 2\)"),
        ({"mean_ms": [[1.0], [1.0, 2.0]]}, r"mean_ms as numbers of shape \(any, 2\)"),
        ({"mean_ms": [[-1.0, 2.5], [10.0, 16.0]]}, "no negative number in mean_ms, got -1.0"),
        ({"mean_ms": [[3.0, 2.5], [10.0, 16.0]]}, "mean_ms never to fall as the batch size grows"),
        ({"quantile_ms": [[[1.0, 2.0], [1.0, 2.0]]]}, r"quantile_ms of shape \(2, 2, 2\), got shape \(1, 2, 2\)"),
        ({"quantile_ms": [[[1.0, 2.0]] * 2, [[0.5, 3.0]] * 2]}, "quantile_ms never to fall as the level grows"),
        ({"costs": [1.0]}, r"costs of shape \(2\), got shape \(1,\)"),
        ({"costs": [1.0, "dear"]}, "costs as numbers"),
        ({"stages": ("small",)}, "2 different stage names"),
        ({"stages": ("small", "small")}, "2 different stage names"),
        ({"stages": "ab"}, "2 different stage names"),
        ({"stamp": {"machine": None}}, "strings and finite numbers in the stamp, got None for 'machine'"),
        ({"stamp": {"load": float("nan")}}, "strings and finite numbers"),
    ],
)
def test_an_impossible_table_is_refused(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        two_stages(**changes)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_times_that_are_not_finite_are_refused(value):
    with pytest.raises(NotFinite, match=f"finite numbers in mean_ms, got {value}"):
        two_stages(mean_ms=[[1.0, 2.5], [10.0, value]])


def test_costs_must_be_one_number_per_stage():
    with pytest.raises(ConfigurationError, match=r"costs of shape \(any\), got shape \(1, 2\)"):
        ServiceTable.from_costs([[1.0, 2.0]])
    with pytest.raises(ConfigurationError, match=r"time_ms of shape \(2\), got shape \(3,\)"):
        ServiceTable.from_costs([1.0, 2.0], time_ms=[1.0, 2.0, 3.0])


@pytest.mark.parametrize("data", [None, [], {}, {"format": "cascade.ServiceTable/9"}])
def test_another_format_is_refused(data):
    with pytest.raises(ConfigurationError, match="expected a service table of format"):
        ServiceTable.from_dict(data)


@pytest.mark.parametrize("name", ["stages", "batch_sizes", "mean_ms", "quantile_ms", "levels", "costs", "stamp"])
def test_a_missing_field_is_named(name):
    data = two_stages().to_dict()
    del data[name]
    with pytest.raises(ConfigurationError, match=f"incomplete or damaged: '{name}'"):
        ServiceTable.from_dict(data)


@given(st.sampled_from(["batch_sizes", "mean_ms", "quantile_ms", "levels", "costs"]), st.sampled_from([None, "x", 3]))
def test_a_damaged_field_is_a_clear_error(name, value):
    with pytest.raises(ConfigurationError, match="incomplete or damaged"):
        ServiceTable.from_dict({**two_stages().to_dict(), name: value})


@pytest.mark.parametrize("text", ["", "{", '{"format": 1}', "\x00", pytest.param("[" * 100_000, id="deep")])
def test_an_unreadable_file_is_named(tmp_path, text):
    path = tmp_path / "service.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CascadeError, match=r"cannot read a service table from .*service\.json"):
        ServiceTable.load(path)
