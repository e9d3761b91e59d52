"""The pictures of accuracy against time: what is drawn is what the records say."""

import sys

import numpy as np
import pytest

from cascade.core.frontier_points import ReferencePoint
from cascade.errors import MissingExtra
from cascade.explore.curves import OperatingPoint, budgets_in_words, plot_frontier, plot_operating_points
from cascade.explore.drawing import new_figure

pytestmark = pytest.mark.usefixtures("_closed_pictures")


def point(budget_ms, mean_ms):
    return OperatingPoint(budget_ms, mean_ms, 0.9, 0.88, 0.93)


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.slow
def test_the_curve_is_drawn_in_percent_with_the_stages_named(ladder):
    axes = plot_frontier(ladder.curve)
    (drawn,) = [line for line in axes.lines if line.get_label() == "cascade, out of fold"]
    np.testing.assert_allclose(drawn.get_xdata(), ladder.curve.mean_ms)
    np.testing.assert_allclose(drawn.get_ydata(), 100.0 * ladder.curve.accuracy)
    assert texts(axes) == list(ladder.policy.stages)
    assert "600 items" in axes.get_ylabel()
    assert "95 % intervals" in axes.get_ylabel()


@pytest.mark.slow
def test_the_band_spans_the_intervals(ladder):
    (band,) = plot_frontier(ladder.curve).collections[:1]
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(100.0 * ladder.curve.ci_low.min())
    assert corners[:, 1].max() == pytest.approx(100.0 * ladder.curve.ci_high.max())


@pytest.mark.slow
def test_operating_points_come_from_replays_and_carry_their_budgets(ladder):
    result = ladder.policy.replay(ladder.fresh, budget_ms=6.0)
    made = OperatingPoint.of(result, 6.0)
    assert (made.mean_ms, made.accuracy) == (result.mean_ms, result.accuracy)
    assert made.ci_low < result.accuracy < made.ci_high
    assert "within 6 ms" in texts(plot_frontier(ladder.curve, [made]))


def test_pictures_land_on_the_axes_that_are_given():
    axes = new_figure().add_subplot()
    single = ReferencePoint("only one", 1.0, 1.0, 0.8, 0.7, 0.9)
    assert plot_operating_points([point(2.0, 1.0)], [single], axes=axes) is axes
    assert texts(axes) == ["only one", "within 2 ms"]


def test_points_that_lie_close_share_a_label():
    axes = plot_operating_points([point(None, 1.2), point(5.0, 1.1), point(2.0, 1.0), point(0.5, 0.1)])
    assert texts(axes) == ["within 0.5 ms", "within 2 or 5 ms\nor no deadline"]


def test_a_lone_point_without_a_deadline_says_so():
    assert budgets_in_words([point(None, 1.0)]) == "no deadline"


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match="pip install 'cascade-inference\\[plots\\]'"):
        new_figure()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match="pip install 'cascade-inference\\[plots\\]'"):
        plot_operating_points([point(2.0, 1.0)])
