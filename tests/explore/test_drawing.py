"""Colours that everybody can tell apart, and words that can be read on them."""

import pytest

from cascade.explore.drawing import DASHES, HATCHES, MARKERS, PALETTE, ink_on


def luminance(colour):
    shares = [int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", PALETTE)
def test_bold_words_on_a_colour_have_enough_contrast(colour):
    ink = {"white": 1.0, "black": 0.0}[ink_on(colour)]
    low, high = sorted([ink, luminance(colour)])
    assert (high + 0.05) / (low + 0.05) >= 3.0


def test_colours_never_stand_alone():
    assert len(set(PALETTE)) == len(PALETTE) == len(set(MARKERS)) == len(set(HATCHES))
    assert len(set(DASHES)) == len(DASHES)
