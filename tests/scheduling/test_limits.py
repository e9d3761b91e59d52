"""What a scheduler can be made with."""

import pytest

from cascade.errors import ConfigurationError
from cascade.scheduling.limits import Limits


def limits(n_lanes=1, max_batch=32, max_waiting=1024, headroom=0.8, background_share=0.05):
    return Limits(n_lanes, max_batch, max_waiting, headroom, background_share)


def test_the_ends_of_every_range_work():
    assert limits(1, 1, 1, 1.0, 0.0).headroom == 1.0
    assert limits(background_share=1.0).background_share == 1.0


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("n_lanes", 0, "expected n_lanes of at least 1, got 0"),
        ("max_batch", 0, "expected max_batch of at least 1, got 0"),
        ("max_waiting", -3, "expected max_waiting of at least 1, got -3"),
        ("headroom", 0.0, "expected headroom in (0, 1], got 0.0"),
        ("headroom", 1.1, "expected headroom in (0, 1], got 1.1"),
        ("headroom", float("nan"), "expected headroom in (0, 1], got nan"),
        ("background_share", -0.1, "expected background_share in [0, 1], got -0.1"),
        ("background_share", 1.5, "expected background_share in [0, 1], got 1.5"),
    ],
)
def test_a_number_outside_its_range_is_named_with_what_it_should_be(name, value, expected):
    with pytest.raises(ConfigurationError) as caught:
        limits(**{name: value})
    assert str(caught.value) == expected
