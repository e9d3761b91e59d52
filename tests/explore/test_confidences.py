"""Reliability diagrams draw the bins that were counted."""

import numpy as np
import pytest

from cascade.calibration.reliability import reliability
from cascade.errors import ConfigurationError
from cascade.explore.confidences import plot_reliability

pytestmark = pytest.mark.usefixtures("_closed_pictures")


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.slow
def test_stages_and_answers_are_drawn_with_their_calibration_errors(ladder):
    found = reliability(ladder.fresh, ladder.policy)
    axes = plot_reliability(found)
    assert labels(axes)[1:] == [
        *(f"{name}, ECE {curve.ece:.3f}" for name, curve in found.stages.items()),
        f"answers, ECE {found.answers.ece:.3f}",
    ]


@pytest.mark.slow
def test_sources_differ_in_colour_and_marker(ladder):
    handles = plot_reliability(reliability(ladder.fresh)).get_legend().legend_handles[1:]
    assert len({handle.get_color() for handle in handles}) == len({handle.get_marker() for handle in handles}) == 3


@pytest.mark.slow
def test_a_marker_stands_in_every_bin_that_holds_items(ladder):
    found = reliability(ladder.fresh)
    axes = plot_reliability(found, ["middle"], min_items=1)
    curve = found.stages["middle"]
    markers = axes.collections[-1]
    some = curve.counts > 0
    np.testing.assert_allclose(markers.get_offsets(), np.column_stack([curve.mean_confidence, curve.accuracy])[some])
    assert np.argmax(markers.get_sizes()) == np.argmax(curve.counts[some])


@pytest.mark.slow
def test_bins_with_few_items_are_left_out(ladder):
    found = reliability(ladder.fresh)
    markers = plot_reliability(found, ["middle"], min_items=20).collections[-1]
    assert len(markers.get_offsets()) == (found.stages["middle"].counts >= 20).sum() < 15
    with pytest.raises(ConfigurationError, match="expected min_items of at least 1, got 0"):
        plot_reliability(found, min_items=0)


@pytest.mark.slow
def test_what_stages_say_together_is_drawn_on_request(ladder):
    found = reliability(ladder.fresh, ladder.policy)
    assert labels(plot_reliability(found, ["small + big"]))[1].startswith("small + big, ECE ")


def test_a_source_that_is_not_known_is_refused_with_those_that_are(ladder):
    with pytest.raises(ConfigurationError, match="expected sources among small, middle, big, got tiny"):
        plot_reliability(reliability(ladder.fresh), ["small", "tiny"])
