"""Recalibrated confidences at the ends of their range."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.calibration.transitions import recalibrated

TOP = np.array([0.0, 1e-9, 0.3, 0.5, 0.9, 1.0])


@pytest.mark.parametrize("slope", [40.0, 1e6])
def test_a_steep_curve_does_not_overflow(slope):
    trust = recalibrated(TOP, np.array([slope, 0.0]))
    assert trust == pytest.approx([0.0, 0.0, 0.0, 0.5, 1.0, 1.0], abs=1e-12)


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_a_large_shift_does_not_overflow(shift):
    assert recalibrated(TOP, np.array([1.0, shift])).tolist() == [float(shift > 0)] * len(TOP)


def test_slope_one_without_shift_changes_nothing():
    assert recalibrated(TOP, np.array([1.0, 0.0])) == pytest.approx(TOP, abs=1e-11)


def test_a_rising_curve_keeps_the_order():
    trust = recalibrated(np.linspace(0.0, 1.0, 101), np.array([0.7, -0.4]))
    assert (np.diff(trust) > 0.0).all()
