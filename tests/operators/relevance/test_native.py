"""Luminance lies on the cells of the native grid: pixel for pixel where tokens are, reduced where there are many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from operators.relevance.native import MOST_PIXELS, on_grid
from operators.slicing.qwen import QwenConfig, border
from operators.slicing.regions import plan_regions

SLICING = QwenConfig(patch=14, merge=2, min_pixels=3136, max_pixels=12845056)
TOKENS = {"placeholder": "<|image_pad|>"}
SIDE = SLICING.factor


def noise(width, height):
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width), np.uint8))


def grid_of(width, height):
    plan = plan_regions(width, height, SLICING, TOKENS)
    return plan.grid_h, plan.grid_w


def bicubic(grey, box, size):
    return np.asarray(grey.resize(size, Image.Resampling.BICUBIC, box=box))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_cell_has_as_many_pixels_as_a_token_and_those_of_its_box(width, height):
    if max(width, height) > 200 * min(width, height):
        return
    grey, (rows, cols) = noise(width, height), grid_of(width, height)
    found, cell, reduction = on_grid(grey, grey.size, (rows, cols), SIDE)
    assert (found.shape, found.dtype, cell, reduction) == ((rows * SIDE, cols * SIDE), np.uint8, SIDE, 1)
    for row in range(rows - 1):
        for col in range(cols - 1):
            left, right = (border(width, cols, SIDE, col + step) for step in (0, 1))
            top, bottom = (border(height, rows, SIDE, row + step) for step in (0, 1))
            if (right - left, bottom - top) == (SIDE, SIDE):
                own = found[row * SIDE : (row + 1) * SIDE, col * SIDE : (col + 1) * SIDE]
                assert np.array_equal(own, np.asarray(grey)[top:bottom, left:right])


def test_last_cells_alone_are_resampled():
    grey = noise(97, 70)  # 3.46 and 2.5 tokens: 3 x 2
    found, _, _ = on_grid(grey, grey.size, (2, 3), SIDE)
    assert np.array_equal(found[:28, :56], np.asarray(grey)[:28, :56])
    assert np.array_equal(found[:28, 56:], bicubic(grey, (56, 0, 97, 28), (28, 28)))
    assert np.array_equal(found[28:, :56], bicubic(grey, (0, 28, 56, 70), (56, 28)))
    assert np.array_equal(found[28:, 56:], bicubic(grey, (56, 28, 97, 70), (28, 28)))


def test_picture_of_whole_tokens_is_kept_as_it_is():
    grey = noise(112, 84)
    found, _, _ = on_grid(grey, grey.size, (3, 4), SIDE)
    assert np.array_equal(found, np.asarray(grey))


@pytest.mark.parametrize(
    ("size", "reduction", "cell"),
    [
        ((1932, 1092), 1, 28),  # a full HD screen, 69 x 39 tokens
        ((1960, 1176), 2, 14),  # 2,304,960 pixels
        ((3024, 3024), 2, 14),
        ((3360, 3360), 4, 7),
    ],
)
def test_large_grid_is_looked_at_with_a_half_or_quarter_of_its_pixels(size, reduction, cell):
    grid = (size[1] // SIDE, size[0] // SIDE)
    assert (size[0] * size[1] <= MOST_PIXELS) == (reduction == 1)
    grey = noise(60, 60).resize(size)
    found, found_cell, found_reduction = on_grid(grey, size, grid, SIDE)
    assert (found_cell, found_reduction, found.shape) == (cell, reduction, (grid[0] * cell, grid[1] * cell))
    assert np.array_equal(found, bicubic(grey, (0, 0, *size), (grid[1] * cell, grid[0] * cell)))


def test_luminance_that_was_reduced_before_is_laid_on_the_grid_whole():
    grey = noise(56, 42)
    found, cell, reduction = on_grid(grey, (112, 84), (3, 4), SIDE)
    assert (cell, reduction) == (28, 1)
    assert np.array_equal(found, bicubic(grey, (0, 0, 56, 42), (112, 84)))
