"""Shrinking and enlarging as one matrix is what Pillow's two resamplings do."""

from itertools import product

import numpy as np
import pytest
from PIL import Image

from operators.relevance.legibility import SAMPLINGS, SCALES
from operators.relevance.resampling import ONE, there_and_back

SIZES = sorted({cell // r + 2 * s.context for cell, (r, s) in product((28, 32), SAMPLINGS.items())})


@pytest.mark.parametrize(("size", "scale"), list(product(SIZES, SCALES)))
def test_each_row_keeps_a_flat_line_and_sums_stay_exact(size, scale):
    matrix = np.array(there_and_back(size, max(1, round(size * scale))))
    assert (matrix.sum(axis=1) == ONE).all()
    assert 128 * np.abs(matrix).sum(axis=1).max() ** 2 < 1 << 24


def test_nothing_changes_at_native_size():
    assert np.array_equal(there_and_back(40, 40), ONE * np.eye(40))


@pytest.mark.parametrize("shrunk", [34, 29, 24, 20, 16, 12, 8, 5])
def test_a_picture_comes_out_as_from_pillow(shrunk):
    grey = np.random.default_rng(0).integers(32, 224, (40, 40), np.uint8)
    matrix = np.array(there_and_back(40, shrunk))
    ours = np.clip(np.round(matrix @ grey @ matrix.T / ONE**2), 0, 255)
    small = Image.fromarray(grey).resize((shrunk, shrunk), Image.Resampling.BICUBIC)
    pillow = np.asarray(small.resize((40, 40), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(ours - pillow).max() <= 3  # Pillow rounds after each of its four passes
