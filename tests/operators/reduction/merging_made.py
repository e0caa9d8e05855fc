"""Tokens and properties that every merging method's tests share."""

import numpy as np
from hypothesis import strategies as st

from operators.reduction.features import salience, texture
from operators.reduction.plan import ImageTokens
from operators.relevance.crop import grid


def tokens(features, grids=None, salience=None):
    features = np.asarray(features, np.int64)
    grids = ((1, len(features)),) if grids is None else grids
    return ImageTokens(grids, ("whole",) * len(grids), ((0, 0),) * len(grids), salience=salience, features=features)


def of_picture(picture, rows=24, cols=24):
    """The tokens of an RGB picture in one view, with what they show."""
    boxes = grid(rows, cols).astype(np.float64)
    shades = picture.mean(axis=2).astype(np.uint8)
    shown, stand = texture(shades, picture, boxes), salience(shades, picture, boxes)
    return tokens(shown, ((rows, cols),), stand)


def noise(seed=0, side=336):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def constant(side=336):
    return np.full((side, side, 3), (90, 160, 30), np.uint8)


@st.composite
def small_images(draw):
    """Up to 30 tokens of one or two views, of few different looks and saliences, so that ties are frequent."""
    grids = tuple(draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=2)))
    count = sum(rows * cols for rows, cols in grids)
    numbers = st.lists(st.integers(-3, 3), min_size=2 * count, max_size=2 * count)
    features = np.array(draw(numbers), np.int64).reshape(count, 2)
    stand = np.array(draw(st.lists(st.integers(0, 9), min_size=count, max_size=count)), np.int64)
    return tokens(features, grids, stand**3)


def check_partition(image, plan):
    """Every token goes into one kept token, kept ones into themselves, and shares of each add up to 1."""
    count = image.num_tokens
    assert plan.num_tokens == count
    assert plan.grids == image.grids
    assert 0 < plan.num_kept <= count
    assert (np.diff(plan.kept) > 0).all()
    assert plan.groups.shape == (count,)
    assert np.array_equal(plan.groups[plan.kept], np.arange(plan.num_kept))
    assert set(plan.groups) == set(range(plan.num_kept))
    if plan.shares is not None:
        assert plan.shares.dtype == np.float32
        assert np.allclose(np.bincount(plan.groups, plan.shares), 1, atol=1e-6)
        assert (plan.shares > 0).all()
