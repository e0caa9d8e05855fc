"""Windows whose tokens look alike become one token, in each image for itself."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from operators.reduction.mustdrop_merge import MustDropMerge, windows
from tests.operators.reduction.merging_made import check_partition, constant, noise, of_picture, small_images, tokens

ALIKE = [1, 0, 0]


def image_with(merged):
    """24 x 24 tokens, the first so many windows of one look each; elsewhere nobody is like another."""
    features = np.eye(576, dtype=np.int64) * 5
    for number, places in enumerate(windows((24, 24), 3)[:merged]):
        features[places] = 0
        features[places, number] = 7
    return tokens(features, ((24, 24),))


@pytest.mark.parametrize(("merged", "left"), [(0, 576), (10, 496), (40, 256), (64, 64)])
def test_golden_counts(merged, left):
    plan = MustDropMerge().plan(image_with(merged))
    assert plan.num_kept == left == 576 - 8 * merged
    assert math.ceil(0.08 * left) == {576: 47, 496: 40, 256: 21, 64: 6}[left]


def test_a_constant_picture_merges_all_windows_and_noise_none():
    assert MustDropMerge().plan(of_picture(constant())).num_kept == 64
    for seed in range(3):
        assert MustDropMerge().plan(of_picture(noise(seed))).num_kept == 576


def test_only_the_flat_half_of_a_picture_is_merged():
    picture = noise()
    picture[:, :168] = 200
    plan = MustDropMerge().plan(of_picture(picture))
    assert plan.num_kept == 576 - 8 * 32
    assert (np.bincount(plan.groups).reshape(-1) == 9).sum() == 32


def test_each_image_has_its_own_windows_whoever_stands_beside_it():
    """The reference takes the fewest of a batch: here that would be none."""
    plans = [MustDropMerge().plan(image_with(merged)) for merged in (0, 40)]
    assert [plan.num_kept for plan in plans] == [576, 256]


def test_a_merged_token_has_the_place_of_its_windows_first():
    features = np.concatenate([np.tile([5, 0], (9, 1)), [[0, 5]] * 3])
    plan = MustDropMerge().plan(tokens(features, ((3, 3), (1, 3))))
    assert plan.kept.tolist() == [0, 9, 10, 11]
    assert plan.groups.tolist() == [0] * 9 + [1, 2, 3]


def test_rows_and_columns_that_are_left_over_stay():
    plan = MustDropMerge().plan(tokens([ALIKE] * 35, ((5, 7),)))
    assert plan.num_kept == 35 - 2 * 8
    assert windows((5, 7), 3).tolist()[1] == [3, 4, 5, 10, 11, 12, 17, 18, 19]
    assert MustDropMerge().plan(tokens([ALIKE] * 4, ((2, 2),))).num_kept == 4


def test_the_bound_itself_is_reached():
    """Two tokens of four at a right angle to the others: of 12 cosines 4 are 1, a third."""
    image = tokens([[3, 0], [3, 0], [0, 2], [0, 2]], ((2, 2),))
    assert MustDropMerge(window=2, threshold=0.333333).plan(image).num_kept == 1
    assert MustDropMerge(window=2, threshold=0.333334).plan(image).num_kept == 4
    exact = tokens([[3, 4], [3, 4], [4, 3], [4, 3]], ((2, 2),))  # 4 of 1 and 8 of .96: mean .97333
    assert MustDropMerge(window=2, threshold=0.9733).plan(exact).num_kept == 1
    assert MustDropMerge(window=2, threshold=0.9734).plan(exact).num_kept == 4


def test_settings_out_of_range_are_refused():
    for wrong in ({"window": 1}, {"threshold": 1.5}, {"r": 3}):
        with pytest.raises(ValidationError):
            MustDropMerge(**wrong)


@settings(max_examples=60, deadline=None)
@given(small_images())
def test_merges_partition(image):
    check_partition(image, MustDropMerge(window=2, threshold=0.5).plan(image))
