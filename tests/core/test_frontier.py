"""The curve as a value: what it refuses, how it is read, saved and shown."""

from __future__ import annotations

import sys
from dataclasses import FrozenInstanceError, replace
from types import ModuleType

import numpy as np
import pytest

from cascade.core.frontier import Frontier, non_dominated
from cascade.core.frontier_points import FrontierPoint, ReferencePoint
from cascade.errors import ConfigurationError, DataError, MissingExtra


def single(name, mean_ms, accuracy):
    return ReferencePoint(name, mean_ms, 2.0 * mean_ms, accuracy, accuracy - 0.02, accuracy + 0.02)


def made(**changes):
    fields = {
        "price": [0.1, 0.01, 0.001],
        "budget_ms": [1.5, 6.5, 6.5],
        "mean_ms": [1.0, 2.0, 4.0],
        "mean_cost": [10.0, 30.0, 20.0],
        "accuracy": [0.7, 0.8, 0.84],
        "ci_low": [0.65, 0.76, 0.8],
        "ci_high": [0.75, 0.84, 0.88],
        "singles": (single("small", 1.0, 0.7), single("large, slow", 5.0, 0.8)),
        "oracle": single("oracle", 1.6, 0.9),
        "confidence": 0.9,
        "n_items": 500,
    }
    return Frontier(**(fields | changes))


def test_a_curve_cannot_be_changed():
    curve = made()
    with pytest.raises(FrozenInstanceError):
        curve.n_items = 3
    with pytest.raises(ValueError, match="read-only"):
        curve.accuracy[0] = 1.0


def test_curves_are_equal_by_value():
    assert made() == made()
    assert made() != made(ci_high=[0.75, 0.84, 0.89])
    assert made() != made(n_groups=500)
    assert made() != "a curve"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"mean_ms": [1.0, 1.0, 4.0]}, DataError, "expected mean_ms and accuracy to ascend"),
        ({"accuracy": [0.7, 0.8, 0.8]}, DataError, "leave out those dominated"),
        ({"price": [0.1, 0.01]}, ConfigurationError, r"expected price of shape \(3\), got shape \(2,\)"),
        ({"ci_low": [0.1, 0.2, np.nan]}, ValueError, "expected finite numbers in ci_low"),
    ],
)
def test_a_curve_that_is_none_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        made(**changes)


def test_points_read_off_between_two_are_their_mixture():
    assert made().at(mean_ms=3.0) == FrontierPoint(
        price=0.01,
        budget_ms=6.5,
        mean_ms=3.0,
        mean_cost=25.0,
        accuracy=pytest.approx(0.82),
        ci_low=pytest.approx(0.78),
        ci_high=pytest.approx(0.86),
    )


@pytest.mark.parametrize(("asked", "place"), [(1.0, 0), (2.0, 1), (4.0, 2), (9.0, 2), (np.inf, 2)])
def test_points_are_read_as_they_are_and_the_last_one_beyond_the_end(asked, place):
    curve, point = made(), made().at(mean_ms=asked)
    assert (point.price, point.mean_ms, point.accuracy) == (
        curve.price[place],
        curve.mean_ms[place],
        curve.accuracy[place],
    )


def test_a_curve_read_at_a_cost_leaves_out_what_another_point_beats_at_that_cost():
    # The point in the middle is the dearest, and less accurate than the last.
    assert made().at(cost=15.0).accuracy == pytest.approx(0.77)
    assert made().at(cost=15.0).mean_ms == pytest.approx(2.5)
    assert made().at(cost=30.0).accuracy == 0.84


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "expected one of mean_ms and cost, got mean_ms=None and cost=None"),
        ({"mean_ms": 1.0, "cost": 1.0}, "expected one of mean_ms and cost"),
        ({"mean_ms": 0.9}, "expected mean_ms of at least 1, where the curve begins, got 0.9"),
        ({"cost": 9.0}, "expected cost of at least 10, where the curve begins, got 9.0"),
        ({"mean_ms": float("nan")}, "expected mean_ms of at least 1, .* got nan"),
    ],
)
def test_what_cannot_be_read_off_is_refused_in_words(asked, message):
    with pytest.raises(ConfigurationError, match=message):
        made().at(**asked)


def test_points_that_another_equals_with_as_little_are_dominated():
    along = np.array([2.0, 1.0, 3.0, 1.0, 4.0, 5.0])
    accuracy = np.array([0.6, 0.5, 0.6, 0.4, 0.9, 0.8])
    assert non_dominated(along, accuracy).tolist() == [1, 0, 4]


def test_a_stage_that_is_never_right_is_a_point_too():
    assert non_dominated(np.array([1.0]), np.array([0.0])).tolist() == [0]


def test_the_hull_leaves_out_stages_that_a_mixture_of_others_beats():
    stages = [
        ("b", 2.0, 0.62),
        ("a", 1.0, 0.6),
        ("c", 3.0, 0.8),
        ("d", 4.0, 0.7),
        ("e", 5.0, 0.85),
        ("twin", 3.0, 0.75),
    ]
    curve = made(singles=tuple(single(*stage) for stage in stages))
    assert [corner.name for corner in curve.hull] == ["a", "c", "e"]


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
@pytest.mark.parametrize("changes", [{}, {"n_groups": 40}, {"accuracy": [0.1 + 0.2, 2.0 / 3.0, 1.0]}])
def test_a_saved_curve_comes_back_equal(tmp_path, suffix, changes):
    path = tmp_path / f"curve{suffix}"
    curve = made(**changes)
    curve.save(path)
    assert Frontier.load(path) == curve


def test_a_curve_of_one_point_comes_back_equal(tmp_path):
    point = {name: getattr(made(), name)[:1] for name in ("price", "budget_ms", "mean_ms", "mean_cost", "accuracy")}
    curve = replace(made(), **point, ci_low=[0.6], ci_high=[0.8])
    curve.save(tmp_path / "one.csv")
    assert Frontier.load(tmp_path / "one.csv") == curve


def test_a_saved_table_names_what_its_rows_are(tmp_path):
    made().save(tmp_path / "curve.csv")
    lines = (tmp_path / "curve.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == (
        "kind,name,price,budget_ms,mean_ms,mean_cost,accuracy,ci_low,ci_high,confidence,n_items,n_groups"
    )
    assert lines[1] == "cascade,,0.1,1.5,1.0,10.0,0.7,0.65,0.75,0.9,500,"
    assert lines[5].startswith('single,"large, slow",,,5.0,10.0,0.8,')
    assert lines[6].startswith("oracle,oracle,,,1.6,")


@pytest.mark.parametrize("name", ["curve.json", "curve"])
def test_other_kinds_of_files_are_refused(tmp_path, name):
    with pytest.raises(ConfigurationError, match="expected a path that ends in .csv or .npz"):
        made().save(tmp_path / name)
    with pytest.raises(ConfigurationError, match="expected a path that ends in .csv or .npz"):
        Frontier.load(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "kind,name\n",
        "a,b\n1,2\n",
        "kind,name,price\ncascade,,x\n",
        "kind,name,price\ncurve,,1\n",
    ],
)
def test_a_table_that_is_no_curve_is_refused(tmp_path, text):
    (tmp_path / "curve.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="expected a (frontier as Frontier.save writes it|table) at .*curve.csv"):
        Frontier.load(tmp_path / "curve.csv")


def test_a_curve_whose_points_were_edited_out_of_order_is_refused_with_the_file(tmp_path):
    path = tmp_path / "curve.csv"
    made().save(path)
    path.write_text(path.read_text(encoding="utf-8").replace("0.01,6.5,2.0", "0.01,6.5,9.0"), encoding="utf-8")
    with pytest.raises(DataError, match=r"curve.csv, got a damaged one: .*to ascend"):
        Frontier.load(path)


def test_a_curve_in_few_words_and_in_a_table():
    assert repr(made()) == "Frontier(3 points, 1 to 4 ms, accuracy 0.7000 to 0.8400, 500 items)"
    lines = str(made()).splitlines()
    assert lines[1].split() == [
        "mean",
        "ms",
        "mean",
        "cost",
        "accuracy",
        "90",
        "%",
        "interval",
        "price",
        "budget",
        "ms",
    ]
    assert lines[2].split() == ["1", "10", "70.00", "%", "65.00", "to", "75.00", "0.1", "1.5"]
    assert lines[5].endswith("small, on the hull of single stages")
    assert lines[7].endswith("oracle: the cheapest right stage for every item")


def test_a_notebook_shows_the_same_rows_as_a_table(html_words):
    words = html_words(made(singles=(single("<small>", 1.0, 0.7), single("big", 5.0, 0.8)))._repr_html_())
    assert words[0] == repr(made())
    assert words[5:8] == ["price", "budget ms", "cascade"]
    assert words[8:14] == ["1", "10", "70.00 %", "65.00 to 75.00", "0.1", "1.5"]
    assert "<small>, on the hull" in words
    assert words[-5] == "oracle"


def test_a_long_curve_is_shown_in_a_dozen_lines():
    m = 200
    rising = {name: np.linspace(0.1, 0.9, m) for name in ("price", "budget_ms", "mean_ms", "mean_cost", "accuracy")}
    curve = made(**rising, ci_low=np.zeros(m), ci_high=np.ones(m))
    assert len(curve) == m
    assert len(str(curve).splitlines()) == 1 + 1 + 12 + 2 + 1
    assert curve._repr_html_().count("<tr>") == 1 + 12 + 2 + 1


def test_a_data_frame_is_made_of_the_columns(monkeypatch):
    pandas = ModuleType("pandas")
    pandas.DataFrame = dict
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    frame = made().to_frame()
    assert frame["kind"] == ["cascade"] * 3 + ["single"] * 2 + ["oracle"]
    assert frame["price"] == [0.1, 0.01, 0.001, None, None, None]
    assert frame["accuracy"] == [0.7, 0.8, 0.84, 0.7, 0.8, 0.9]
    assert frame["n_groups"] == [None] * 6


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"pip install pandas, or use columns\(\)"):
        made().to_frame()
