"""Slices become one raster and slices again, bit by bit; the whole view stays; what makes no raster is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.reduction.hires_restore import HiresRestore, slice_raster
from operators.reduction.plan import ImageTokens
from operators.reduction.self_mining import SelfMining
from pipeline.errors import InputError

FOUR = ((0, 0), (0, 1), (1, 0), (1, 1))


def hires(grid=(24, 24), places=FOUR, *, whole=True):
    count = len(places)
    return ImageTokens(
        ((24, 24),) * whole + (grid,) * count,
        ("whole",) * whole + ("tile",) * count,
        ((0, 0),) * whole + places,
    )


def test_golden_four_slices_of_24_x_24_are_one_raster_of_48_x_48():
    plan = HiresRestore().plan(hires(whole=False))
    assert plan.num_tokens == 2304
    third = 2 * 576
    assert plan.restore[1152] == third  # slice (1, 0), token (0, 0): row 24, column 0
    assert np.argsort(plan.restore)[third] == 24 * 48
    assert (plan.restore[np.argsort(plan.restore)] == np.arange(2304)).all()
    assert plan.restore[:48].tolist() == [*range(24), *range(576, 600)]


def test_merge_and_split_give_back_every_bit():
    features = np.random.default_rng(0).standard_normal((2304, 3), np.float32)
    restore = HiresRestore().plan(hires(whole=False)).restore
    assert (features[restore][np.argsort(restore)] == features).all()


def test_the_whole_view_stays_where_it_is():
    plan = HiresRestore().plan(hires())
    assert plan.restore[:576].tolist() == list(range(576))
    assert (plan.restore[576:] - 576 == HiresRestore().plan(hires(whole=False)).restore).all()
    behind = ImageTokens(((2, 2), (2, 2), (1, 3)), ("tile", "tile", "whole"), ((0, 0), (0, 1), (0, 0)))
    assert HiresRestore().plan(behind).restore.tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("places", [(), ((0, 0),)])
def test_a_picture_without_two_slices_is_left_alone(places):
    assert HiresRestore().plan(hires(places=places)).restore is None


@pytest.mark.parametrize("places", [FOUR[:3], ((0, 0), (0, 0)), ((0, 0), (1, 1))])
def test_slices_with_a_gap_are_refused(places):
    with pytest.raises(InputError, match="one slice at each place expected") as caught:
        HiresRestore().plan(hires(places=places))
    assert caught.value.reason == "reduction-grid"


def test_slices_that_differ_along_a_row_are_refused():
    with pytest.raises(InputError, match="slice 0, 1 has 23 x 24 tokens"):
        slice_raster([(24, 24), (23, 24)], [(0, 0), (0, 1)])


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
)
def test_any_raster_of_slices_in_any_order_is_a_permutation_that_inverts(heights, widths, random):
    slices = [((row, col), (high, wide)) for row, high in enumerate(heights) for col, wide in enumerate(widths)]
    random.shuffle(slices)
    raster = slice_raster([grid for _, grid in slices], [place for place, _ in slices])
    assert (raster[np.argsort(raster)] == np.arange(len(raster))).all()
    picture = np.arange(sum(heights) * sum(widths)).reshape(sum(heights), sum(widths))
    tops, lefts = np.cumsum([0, *heights]), np.cumsum([0, *widths])
    cut = [
        picture[tops[row] : tops[row] + grid[0], lefts[col] : lefts[col] + grid[1]].ravel()
        for (row, col), grid in slices
    ]
    assert (np.concatenate(cut)[raster] == picture.ravel()).all()


def test_golden_self_mining_of_the_raster_has_144_queries_of_16_tokens():
    plan = SelfMining().plan(ImageTokens(((48, 48),), ("tile",), ((0, 0),)))
    assert plan.num_kept == 144
    assert np.bincount(plan.groups).tolist() == [16] * 144
    assert (plan.groups[plan.kept] == np.arange(144)).all()
    assert plan.kept[:3].tolist() == [0, 4, 8]
    assert plan.kept[12] == 4 * 48


def test_regions_of_the_raster_are_those_of_the_slices():
    tokens = hires()
    plan = HiresRestore().plan(tokens)
    raster = ImageTokens(((24, 24), (48, 48)), ("whole", "tile"), ((0, 0), (0, 0)))
    sliced, whole = SelfMining().plan(tokens), SelfMining().plan(raster)

    def regions(groups, names):
        return {frozenset(names[groups == group].tolist()) for group in range(groups.max() + 1)}

    assert regions(sliced.groups, np.arange(2880)) == regions(whole.groups, plan.restore)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3), st.integers(1, 4))
def test_self_mining_partitions_the_tokens(blocks, region):
    grids = tuple((rows * region, cols * region) for rows, cols in blocks)
    plan = SelfMining(region=region).plan(ImageTokens(grids, ("whole",) * len(grids), ((0, 0),) * len(grids)))
    assert np.bincount(plan.groups).tolist() == [region * region] * plan.num_kept
    assert (np.diff(plan.kept) > 0).all()
    assert (plan.groups[plan.kept] == np.arange(plan.num_kept)).all()


def test_self_mining_refuses_regions_that_do_not_divide():
    with pytest.raises(InputError, match="27 x 27 tokens has no whole blocks of 4 x 4; 24 x 24 would do"):
        SelfMining().plan(ImageTokens(((27, 27),), ("whole",), ((0, 0),)))
    assert SelfMining().refuses(24, 24) is None
