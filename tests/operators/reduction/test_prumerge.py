"""Outliers of salience stay, and everything else goes into them or into one more token."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.reduction.prumerge import PruMerge, outliers, spread
from tests.operators.reduction.merging_made import check_partition, constant, noise, of_picture, small_images, tokens


def salient(count, *places):
    values = np.arange(count) % 4
    values[list(places)] = 100
    return values


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_outliers_are_those_of_numpys_percentiles(values):
    values = np.array(values)
    low, high = np.percentile(values, [25, 75])
    assert outliers(values).tolist() == np.flatnonzero(values > high + 1.5 * (high - low)).tolist()


def test_a_value_on_the_bound_is_none():
    """Quartiles 2 and 4, bound 7."""
    assert outliers(np.array([1, 2, 3, 4, 7])).tolist() == []
    assert outliers(np.array([1, 2, 3, 4, 8])).tolist() == [4]


@pytest.mark.parametrize(("num_outliers", "samples"), [(12, 36), (36, 115), (72, 287)])
def test_samples_of_plus_are_those_of_the_reference(num_outliers, samples):
    step = 576 // num_outliers
    found = spread(576, num_outliers)
    assert len(found) == samples
    assert found.tolist() == list(range(step // 6, 575, step // 3))


def test_as_many_stay_as_there_are_outliers_and_one():
    features = np.random.default_rng(1).integers(-9, 10, (576, 8))
    places = (5, 77, 300, 301)
    plan = PruMerge().plan(tokens(features, salience=salient(576, *places)))
    assert plan.num_kept == 5
    assert set(places) < set(plan.kept)
    assert (np.bincount(plan.groups) <= 33).sum() >= 4  # each took in 32 at most; the rest is in the extra token
    plus = PruMerge(plus=True).plan(tokens(features, salience=salient(576, *places)))
    assert plus.num_kept == 1 + len(set(places) | set(range(24, 575, 48)))


def test_hand_example():
    """0 and 1 are kept; each takes its two nearest of those that are free, the rest goes into the extra one, 7."""
    looks = [[9, 0], [0, 9], [9, 1], [8, 1], [1, 9], [1, 8], [-5, 0], [0, -5], [-5, -5]]
    stand = np.array([99, 99, 1, 1, 1, 1, 1, 3, 2])
    plan = PruMerge(neighbours=2).plan(tokens(looks, salience=stand))
    assert outliers(stand).tolist() == [0, 1]
    assert plan.kept.tolist() == [0, 1, 7]
    assert plan.groups.tolist() == [0, 1, 0, 0, 1, 1, 2, 2, 2]
    total = int((stand - 1 + 1).sum())
    assert np.allclose(plan.shares[[0, 2, 3]], [total / (total + 2), 1 / (total + 2), 1 / (total + 2)])
    assert np.allclose(plan.shares[6:], [1 / 6, 3 / 6, 2 / 6])
    sums = PruMerge(neighbours=2, sums=True).plan(tokens(looks, salience=stand))
    assert sums.shares[0] == 1
    assert np.allclose(sums.shares[6:], np.array([1, 3, 2]) / total)


def test_a_picture_without_outliers_is_one_token_or_sampled():
    image = of_picture(constant())
    assert PruMerge().plan(image).num_kept == 1
    assert PruMerge(plus=True).plan(image).num_kept == 3 + 1  # 96, 288, 480 and the rest
    assert PruMerge().plan(tokens([[1, 2]], salience=np.array([5]))).kept.tolist() == [0]


def test_outliers_of_a_picture_are_what_stands_out():
    """Noise in the last three columns, and one red token."""
    picture = noise()
    picture[:, :294] = 200
    picture[112:126, 42:56] = (255, 0, 0)
    image = of_picture(picture)
    expected = {row * 24 + col for row in range(24) for col in (21, 22, 23)} | {8 * 24 + 3}
    assert set(outliers(image.salience)) == expected
    assert expected < set(PruMerge().plan(image).kept)


@settings(max_examples=60, deadline=None)
@given(small_images())
def test_merges_partition(image):
    for plus in (False, True):
        check_partition(image, PruMerge(plus=plus, neighbours=3).plan(image))
