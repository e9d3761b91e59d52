import numpy as np
import pytest

from cascade.cli.digits import split_digits


def rows_of(part):
    return {image.tobytes() for image in part.images}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_parts_are_disjoint_and_hold_every_image(seed):
    digits = split_digits(seed)
    parts = (digits.train, digits.calibration, digits.held_out)
    assert sum(len(part) for part in parts) == 1797
    assert len(set.union(*map(rows_of, parts))) == sum(len(rows_of(part)) for part in parts)


def test_every_digit_has_the_same_share_in_every_part():
    digits = split_digits(0)
    shares = [np.bincount(part.labels) / len(part) for part in (digits.train, digits.calibration, digits.held_out)]
    assert np.ptp(shares, axis=0).max() < 0.005


def test_the_seed_draws_the_split():
    assert np.array_equal(split_digits(3).held_out.images, split_digits(3).held_out.images)
    assert not np.array_equal(split_digits(3).held_out.images, split_digits(4).held_out.images)


def test_brightness_is_between_nought_and_one():
    images = split_digits(0).train.images
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0.0, 1.0)
