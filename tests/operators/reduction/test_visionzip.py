"""What stands out stays; everything else goes into targets at even distances, by likeness."""

import numpy as np
import pytest
from hypothesis import given, settings

from operators.reduction.visionzip import VisionZip
from tests.operators.reduction.merging_made import check_partition, constant, noise, of_picture, small_images, tokens


@pytest.mark.parametrize(("dominant", "contextual", "left"), [(54, 10, 64), (191, 30, 221), (108, 20, 128)])
def test_golden_counts(dominant, contextual, left):
    method = VisionZip(dominant=dominant, contextual=contextual)
    for picture in (noise(), constant()):
        plan = method.plan(of_picture(picture))
        assert plan.num_kept == left
    assert VisionZip() == VisionZip(dominant=191, contextual=30)


def test_other_numbers_of_tokens_have_counts_in_proportion():
    method = VisionZip(dominant=54, contextual=10)
    assert method.counts(576) == (54, 10)
    assert method.counts(2880) == (270, 50)
    assert method.counts(144) == (13, 2)
    assert method.counts(1) == (1, 0)
    assert method.counts(2) == (1, 1)
    assert VisionZip(dominant=600, contextual=5).counts(10) == (10, 0)


def test_hand_example():
    """Of the six that are not salient, every third is a target; the others join the one that looks like them."""
    looks = {"a": [4, 0], "b": [0, 4], "x": [9, 9]}
    image = tokens([looks[name] for name in "axbabbxb"], salience=np.array([1, 9, 1, 1, 1, 1, 8, 1]))
    plan = VisionZip(dominant=2, contextual=2, of=8).plan(image)
    assert plan.kept.tolist() == [0, 1, 4, 6]  # 0 and 4 are targets (b), 1 and 6 dominant
    assert plan.groups.tolist() == [0, 1, 2, 0, 2, 2, 3, 2]
    assert np.allclose(plan.shares, [1 / 2, 1, 1 / 6, 1 / 2, 1 / 2, 1 / 6, 1, 1 / 6])
    sums = VisionZip(dominant=2, contextual=2, of=8, sums=True).plan(image)
    assert np.allclose(sums.shares, [1, 1, 1 / 3, 1, 1, 1 / 3, 1, 1 / 3])


def test_the_most_salient_are_kept_as_they_are():
    image = of_picture(noise(3))
    plan = VisionZip(dominant=54, contextual=10).plan(image)
    best = np.argsort(-image.salience, kind="stable")[:54]
    assert set(best) <= set(plan.kept)
    assert (np.bincount(plan.groups)[plan.groups[best]] == 1).all()


@settings(max_examples=60, deadline=None)
@given(small_images())
def test_merges_partition(image):
    method = VisionZip(dominant=3, contextual=2, of=10)
    plan = method.plan(image)
    check_partition(image, plan)
    assert plan.num_kept == sum(method.counts(image.num_tokens))
