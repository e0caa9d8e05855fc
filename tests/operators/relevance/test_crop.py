"""Regions are cut where their places say and brought to one size, whatever the picture's."""

import numpy as np
from PIL import Image

from operators.relevance.crop import crop, grid


def test_each_region_is_the_part_of_the_picture_under_its_place():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
    found = crop(Image.fromarray(pixels), grid(2, 3), 12)
    assert found.dtype == np.uint8
    assert found.shape == (6, 12, 12, 3)
    for number in range(6):
        row, col = divmod(number, 3)
        assert np.array_equal(found[number], pixels[row * 12 : row * 12 + 12, col * 12 : col * 12 + 12])


def test_regions_of_any_size_come_to_one_side():
    pixels = np.full((50, 7, 3), 90, np.uint8)
    pixels[25:] = 200
    found = crop(Image.fromarray(pixels), np.array([[0, 0, 1, 0.5], [0, 0.5, 1, 1], [0, 0, 1, 1]]), 8)
    assert set(found[0, :7].ravel().tolist()) == {90}  # the last row is smoothed with what lies beyond
    assert set(found[1, 1:].ravel().tolist()) == {200}
    assert found[2, 0, 0, 0] == 90
    assert found[2, 7, 7, 0] == 200


def test_a_region_without_area_is_black_and_what_lies_outside_is_cut_off():
    picture = Image.new("RGB", (10, 10), (255, 255, 255))
    found = crop(picture, np.array([[0.5, 0, 0.5, 1], [0.9, 0.9, 1.2, 1.2]]), 4)
    assert not found[0].any()
    assert found[1].min() == 255


def test_a_grid_tiles_the_picture_row_by_row():
    places = grid(2, 4)
    assert places[0].tolist() == [0, 0, 0.25, 0.5]
    assert places[5].tolist() == [0.25, 0.5, 0.5, 1]
    assert np.isclose(((places[:, 2] - places[:, 0]) * (places[:, 3] - places[:, 1])).sum(), 1)
