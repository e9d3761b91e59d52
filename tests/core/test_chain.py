"""What counts as thresholds set by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core.chain import checked_thresholds
from cascade.errors import ConfigurationError


def test_thresholds_come_back_as_floats():
    assert checked_thresholds(np.array([0, 1], np.int64), 3) == (0.0, 1.0)
    assert checked_thresholds([], 1) == ()


@pytest.mark.parametrize(
    ("thresholds", "n_stages", "message"),
    [
        ([0.5], 3, "expected 2 threshold\\(s\\), one for each of 3 stages but the last, got 1"),
        ([0.5, 0.5], 2, "expected 1 threshold"),
        ([1.0000001], 2, r"in \[0, 1\], got \[1.0000001\]"),
        ([-0.1], 2, r"in \[0, 1\]"),
        ([float("nan")], 2, r"in \[0, 1\], got \[nan\]"),
        (0.5, 2, "expected a sequence of numbers as thresholds, got 0.5"),
        (["high"], 2, "expected a sequence of numbers"),
        ([0.5] * 15, 16, "expected at most 15 stages in a chain, got 16"),
    ],
)
def test_other_thresholds_are_refused_in_words(thresholds, n_stages, message):
    with pytest.raises(ConfigurationError, match=message):
        checked_thresholds(thresholds, n_stages)
