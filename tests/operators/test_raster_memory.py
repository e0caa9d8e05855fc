"""A raster and Pillow's image are the same memory, whatever the size."""

import numpy as np
import pytest
from PIL import Image

from operators.raster import picture_of, raster_of


def noise(width, height):
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (640, 480), (3000, 2100)])
def test_pictures_come_back(size):
    picture = noise(*size)
    raster = raster_of(picture)
    assert np.array_equal(raster[..., :3], np.asarray(picture))
    assert picture_of(raster).tobytes() == picture.tobytes()
    assert picture_of(raster).mode == "RGB"


def test_nothing_is_copied():
    raster = raster_of(noise(640, 480))
    assert raster_of(picture_of(raster)).ctypes.data == raster.ctypes.data


def test_a_part_of_a_raster_is_a_picture():
    picture = noise(64, 48)
    part = raster_of(picture)[10:30, 5:45]
    assert picture_of(part).tobytes() == picture.crop((5, 10, 45, 30)).tobytes()


def test_a_raster_outlives_its_picture():
    picture = noise(64, 48)
    raster, expected = raster_of(picture), np.asarray(picture).copy()
    del picture
    noise(64, 49)
    assert np.array_equal(raster[..., :3], expected)
