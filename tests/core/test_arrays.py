"""Arrays as fields of a frozen value."""

import numpy as np
import pytest

from cascade.core.arrays import check_never_falls, frozen_amounts
from cascade.errors import ConfigurationError, NotFinite


def test_amounts_are_a_read_only_copy():
    given = np.array([1.0, 2.0])
    kept = frozen_amounts(given, "costs", (None,))
    given[0] = 9.0
    assert kept.tolist() == [1.0, 2.0]
    assert not kept.flags.writeable


@pytest.mark.parametrize("values", [[], [[1.0]], 1.0, None, ["a"], [-1.0]])
def test_amounts_of_another_kind_or_shape_are_refused(values):
    with pytest.raises(ConfigurationError, match="costs"):
        frozen_amounts(values, "costs", (1,))


def test_the_first_number_that_is_not_finite_is_shown():
    with pytest.raises(NotFinite, match="finite numbers in costs, got inf"):
        frozen_amounts([1.0, np.inf, np.nan], "costs", (3,))


def test_a_fall_is_refused_along_the_given_axis_only():
    values = np.array([[1.0, 2.0], [0.5, 3.0]])
    check_never_falls(values, 1, "mean_ms", "batch size")
    with pytest.raises(ConfigurationError, match=r"mean_ms never to fall as the level grows, got a step of -0.5"):
        check_never_falls(values, 0, "mean_ms", "level")
