"""Pictures written by hand are PNG files that others read."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest

from cascade.explore.png import data_uri, is_image, pixels, png


@pytest.mark.parametrize("channels", [1, 3])
def test_matplotlib_reads_back_what_was_written(channels):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    read = np.rint(255.0 * imread(BytesIO(png(image)), format="png")).astype(np.uint8)
    np.testing.assert_array_equal(read.reshape(5, 7, -1)[..., :channels], image)
    assert b64decode(data_uri(image).removeprefix("data:image/png;base64,")) == png(image)


@pytest.mark.parametrize(
    ("shape", "image"),
    [((8, 8), True), ((3, 16, 20), True), ((16, 20, 3), True), ((64,), False), ((3, 8), False), ((5, 16, 20), False)],
)
def test_inputs_with_two_long_sides_are_pictures(shape, image):
    assert is_image(np.zeros(shape)) is image


def test_texts_are_no_pictures():
    assert not is_image(np.full((8, 8), "a"))


def test_channels_may_come_first():
    rows = np.random.default_rng(0).random((2, 3, 9, 5))
    np.testing.assert_array_equal(pixels(rows, 64), pixels(np.moveaxis(rows, 1, 3), 64))


def test_brightness_from_nought_to_one_is_kept_and_anything_else_is_stretched():
    dim = np.full((1, 4, 4), 0.5)
    assert pixels(dim, 64).max() == 128
    wide = np.linspace(-3.0, 5.0, 16).reshape(1, 4, 4)
    assert (pixels(wide, 64).min(), pixels(wide, 64).max()) == (0, 255)
    flat = np.full((1, 4, 4), 7.0)
    assert pixels(flat, 64).max() == 0


def test_bytes_are_taken_as_they_are():
    rows = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    np.testing.assert_array_equal(pixels(rows, 64)[0, :, :, 0], rows[0])


def test_a_large_picture_is_averaged_down_to_the_bound():
    rows = np.zeros((1, 200, 150))
    rows[0, :100, ::2] = 1.0
    small = pixels(rows, 64)
    assert small.shape == (1, 50, 37, 1)
    assert small[0, 0, 0, 0] == 128
    assert small[0, -1, 0, 0] == 0
