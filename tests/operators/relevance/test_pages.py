"""Generated pages say where their text is, and are the same for the same seed."""

import numpy as np
import pytest

from operators.relevance.pages import TEXTURES, page

SIDE = 96


def test_a_seed_gives_one_page():
    (grey, truth), (again, same) = (page(np.random.default_rng(3), SIDE) for _ in range(2))
    assert (grey.dtype, grey.shape, truth.dtype, truth.shape) == (np.uint8, (SIDE, SIDE), bool, (SIDE, SIDE))
    assert np.array_equal(grey, again)
    assert np.array_equal(truth, same)


def test_pages_have_text_and_much_that_is_none():
    rng = np.random.default_rng(0)
    shares = [page(rng, SIDE)[1].mean() for _ in range(60)]
    assert 0.1 < np.mean(shares) < 0.6
    assert min(shares) == 0


def test_text_is_where_pixels_differ():
    rng = np.random.default_rng(1)
    inside, outside = [], []
    for _ in range(60):
        grey, truth = page(rng, SIDE)
        steps = np.abs(np.diff(grey.astype(int), axis=1))
        inside.append(steps[truth[:, 1:]])
        outside.append(steps[~truth[:, 1:]])
    assert np.concatenate(inside).mean() > 2 * np.concatenate(outside).mean()


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_fill_their_rectangle(texture):
    assert texture(np.random.default_rng(0), 37, 21).size == (37, 21)
