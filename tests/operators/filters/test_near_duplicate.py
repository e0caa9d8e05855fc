"""Recompressed and resized copies are found; other pictures, plain ones and gradients are told apart."""

import numpy as np
import pytest
from PIL import Image

from operators.filters.near_duplicate import COLS, ROWS, NearDuplicate, are_near, looks
from tests.operators.filters.making import dropped, grey, image, landscape, recompressed


def seen(*pictures):
    return [image(grey=grey(picture), digest=bytes([i])) for i, picture in enumerate(pictures)]


@pytest.mark.parametrize(("quality", "scale"), [(90, 1), (35, 1), (75, 0.4), (60, 1.7)])
def test_recompressed_and_resized_copies_are_dropped(quality, scale):
    assert NearDuplicate.reason == "filter-near-duplicate"
    pictures = [landscape(i) for i in range(12)]
    copies = [recompressed(picture, quality, scale) for picture in pictures]
    assert dropped(NearDuplicate(), *seen(*pictures, *copies)) == list(range(12, 24))


def test_pictures_that_differ_stay():
    assert dropped(NearDuplicate(), *seen(*map(landscape, range(40)))) == []


def test_plain_pictures_and_gradients_of_other_shades_stay():
    plain = [Image.new("L", (90, 80), shade) for shade in (0, 120, 255)]
    rising = [
        Image.fromarray(np.linspace(a, b, 90).astype(np.uint8)[None].repeat(60, 0)) for a, b in ((0, 90), (90, 250))
    ]
    assert len({looks(grey(picture)).hash for picture in (*plain, *rising)}) == 1
    assert dropped(NearDuplicate(), *seen(*plain, *rising)) == []


def test_the_later_one_goes_and_what_was_dropped_drops_nothing():
    first, far = landscape(1), landscape(2)
    assert dropped(NearDuplicate(), *seen(first, far, first, far, first)) == [2, 3, 4]


def test_the_hash_is_64_bits_of_neighbours_and_the_distance_counts_them():
    shades = np.zeros((ROWS, COLS), np.uint8)
    shades[:, ::2] = 10
    found = looks(shades)
    assert found.hash == int("10101010" * 8, 2)
    assert found.shades.tolist() == (shades.astype(int) * 1000).tolist()
    moved = shades.copy()
    moved[0, 0] = moved[3, 4] = 0  # the first stands in one comparison, the second in two, one of which is 0 already
    assert (looks(moved).hash ^ found.hash).bit_count() == 2
    assert are_near(looks(moved), found, 2)
    assert not are_near(looks(moved), found, 1)


def test_any_size_is_averaged_exactly():
    shades = np.random.default_rng(0).integers(0, 256, (ROWS, COLS), np.uint8)
    large = looks(shades.repeat(7, axis=0).repeat(3, axis=1))
    assert large.hash == looks(shades).hash
    assert np.array_equal(large.shades, looks(shades).shades)
    for height, width in ((1, 1), (2, 5), (13, 100)):
        assert np.array_equal(looks(np.full((height, width), 77, np.uint8)).shades, np.full((ROWS, COLS), 77_000))


def test_images_without_pixels_are_compared_with_nothing():
    assert dropped(NearDuplicate(), image(grey=None), image(grey=None)) == []
