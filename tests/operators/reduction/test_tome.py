"""Tokens merge pair by pair, layer by layer, as many as the reference's schedule says."""

import numpy as np
import pytest
from hypothesis import given, settings

from operators.reduction.tome import ToMe, layer_merges
from tests.operators.reduction.merging_made import (
    check_partition,
    noise,
    of_picture,
    small_images,
    tokens,
)

GOLDEN = [({}, 385), ({"merges": 20}, 97), ({"merges": 20, "decreasing": True}, 108)]
"""Tokens that are left of 577, CLS among them."""


@pytest.mark.parametrize(("fields", "with_class_token"), GOLDEN)
def test_golden_counts_with_cls_and_without(fields, with_class_token):
    method = ToMe(**fields)
    assert method.plan(of_picture(noise())).num_kept == with_class_token - 1
    merges = layer_merges(576, method.layers, method.merges, method.decreasing)
    assert 1 + 576 - sum(merges) == with_class_token
    no_cls = layer_merges(577, method.layers, method.merges, method.decreasing)
    assert 577 - sum(no_cls) == with_class_token


def test_schedules():
    assert layer_merges(576, 24, 8, decreasing=False) == [8] * 24
    falling = layer_merges(576, 24, 20, decreasing=True)
    assert (falling[0], falling[-1], sum(falling)) == (40, 0, 469)
    assert falling == sorted(falling, reverse=True)
    assert layer_merges(10, 4, 8, decreasing=False) == [5, 2, 1, 1]  # half of what is left, down to one


def test_hand_example_of_one_layer():
    """Sources are every second token: with CLS in front those at odd places, without it those at even ones."""
    image = tokens([[1, 0], [4, 1], [0, 1], [1, 5], [9, 1]])
    plan = ToMe(merges=1, layers=1).plan(image)
    assert plan.kept.tolist() == [0, 2, 3, 4]  # 1 looks like 4 (cosine .991) more than 3 like 2 (.981)
    assert plan.groups.tolist() == [0, 3, 1, 2, 3]
    both = ToMe(merges=2, layers=1).plan(image)
    assert both.groups.tolist() == [0, 2, 1, 1, 2]
    others = ToMe(merges=1, layers=1, class_token=False).plan(image)
    assert others.groups.tolist() == [0, 1, 2, 3, 1]  # sources 0, 2, 4; 4 goes into 1


def merged_step_by_step(features, layers, merges):
    """The sets of tokens that the reference's own order of steps makes, in floats, with CLS in place 0."""
    rows = [(np.full(features.shape[1], np.nan), ())] + [(row, (i,)) for i, row in enumerate(features.astype(float))]
    for _ in range(layers):
        even, odd = rows[::2], rows[1::2]
        likeness = [[a @ b / np.sqrt((a @ a) * (b @ b)) for b, _ in odd] for a, _ in even[1:]]
        count = min(merges, (len(rows) - 1) // 2)
        chosen = sorted(range(len(likeness)), key=lambda i: -max(likeness[i]))[:count]
        for i in chosen:
            to = int(np.argmax(likeness[i]))
            (a, own), (b, other) = even[1 + i], odd[to]
            odd[to] = ((a * len(own) + b * len(other)) / (len(own) + len(other)), own + other)
        rows = [row for i, row in enumerate(even) if i - 1 not in chosen] + odd
    return {frozenset(members) for _, members in rows[1:]}


@pytest.mark.parametrize(("count", "layers", "merges"), [(40, 3, 5), (41, 4, 30), (96, 6, 9)])
def test_groups_are_those_of_the_references_steps(count, layers, merges):
    features = np.random.default_rng(count).integers(-500, 500, (count, 6))
    groups = ToMe(layers=layers, merges=merges).plan(tokens(features)).groups
    found = {frozenset(np.flatnonzero(groups == group).tolist()) for group in range(groups.max() + 1)}
    assert found == merged_step_by_step(features, layers, merges)


def test_a_token_that_has_merged_may_merge_on():
    """1 goes into 0, and the two of them, a source of the next layer, into 3: one mean of all three."""
    plan = ToMe(merges=1, layers=2).plan(tokens([[8, 0], [8, 0], [0, 9], [7, 1]]))
    assert plan.kept.tolist() == [2, 3]
    assert plan.groups.tolist() == [1, 1, 0, 1]
    assert plan.shares is None


def test_of_equals_the_first_pair_merges():
    plan = ToMe(merges=1, layers=1).plan(tokens([[1, 1]] * 6))
    assert plan.groups.tolist() == [0, 0, 1, 2, 3, 4]


@settings(max_examples=60, deadline=None)
@given(small_images())
def test_merges_partition(image):
    for class_token in (True, False):
        method = ToMe(merges=2, layers=3, class_token=class_token)
        plan = method.plan(image)
        check_partition(image, plan)
        count = image.num_tokens
        assert plan.num_kept == count - sum(layer_merges(count, 3, 2, decreasing=False))
        longer = tokens(2 * image.features, image.grids)
        assert np.array_equal(method.plan(longer).groups, plan.groups)


def test_likeness_decides_and_not_length():
    image = tokens(np.array([[100, 1], [3, 0], [0, 50], [0, 2]]))
    assert ToMe(merges=2, layers=1).plan(image).groups.tolist() == [0, 0, 1, 1]
