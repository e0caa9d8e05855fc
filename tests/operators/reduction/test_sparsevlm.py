"""`sparsevlm`: raters, the rank rule, the lists of each version, and clusters without noise."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from operators.reduction.clustering import density_peaks
from operators.reduction.flops import tokens_by_layer
from operators.reduction.plan import ImageTokens
from operators.reduction.sparsevlm import (
    LIST_LAYERS,
    SparseVLM,
    num_clusters,
    num_recycled,
    rank_of,
    rated,
    raters,
    strongest_heads,
)


def image(total, seed=0):
    random = np.random.default_rng(seed)
    return ImageTokens(
        ((1, total),),
        ("whole",),
        ((0, 0),),
        scores=random.integers(0, 10_000, total),
        features=random.integers(0, 256, (total, 6)),
    )


def by_step(plan):
    counts = tokens_by_layer(plan, 32)
    return [counts[layer] for layer, _ in plan.schedule]


@pytest.mark.parametrize(
    ("tokens", "chain"),
    [(192, [309, 204, 113]), (128, [312, 117, 39]), (96, [249, 55, 27]), (64, [82, 32, 18])],
)
def test_576_tokens_are_left_and_recycled_along_the_chain_of_the_code(tokens, chain):
    assert by_step(SparseVLM(tokens=tokens).plan(image(576))) == chain


def test_the_first_step_of_the_chain_recycles_83_of_276_tokens_in_9_clusters():
    assert (num_recycled(276), num_clusters(83)) == (83, 9)
    assert (num_recycled(109), num_clusters(33)) == (33, 4)
    assert (num_recycled(94), num_clusters(29)) == (29, 3)
    assert (num_recycled(0), num_clusters(0)) == (0, 0)


@pytest.mark.parametrize(
    ("tokens", "keeps"), [(192, [300, 200, 118]), (128, [238, 108, 60]), (96, [246, 54, 28]), (64, [66, 34, 20])]
)
def test_plus_keeps_its_lists_and_recycles_nothing(tokens, keeps):
    plan = SparseVLM(version="plus", tokens=tokens).plan(image(576))
    assert plan.schedule == tuple(zip(LIST_LAYERS, keeps, strict=True))
    assert plan.clusters == ()


def test_other_numbers_of_tokens_are_kept_in_proportion():
    assert [left for _, left in SparseVLM().plan(image(1152)).schedule] == [600, 400, 220]
    assert [left for _, left in SparseVLM().plan(image(100)).schedule] == [52, 34, 19]
    assert [left for _, left in SparseVLM().plan(image(1)).schedule] == []


def test_a_matrix_of_rank_1_keeps_13_tokens():
    attention = np.outer([1, 2, 3], np.arange(1, 577))
    assert rank_of(attention) == 1
    plan = SparseVLM(version="1", rank=rank_of(attention)).plan(image(576))
    assert plan.schedule == ((2, 13), (6, 13))
    assert by_step(plan) == [13 + 17, 13]  # 563 dropped: 169 recycled in 17 clusters, until the next step


def test_the_rank_rule_drops_nothing_where_it_would_recycle_one_token_alone_or_rank_is_full():
    assert SparseVLM(version="1", rank=50).plan(image(576)).schedule == ()  # min(int(675), 575) and one cluster of one
    assert SparseVLM(version="1", rank=20).plan(image(20)).schedule == ()
    assert SparseVLM(version="1", rank=42).plan(image(576)).schedule[0] == (2, 567)
    assert SparseVLM(version="1", rank=3, scale=2.5, bias=0.5).plan(image(50)).schedule[0] == (2, 8)


def test_raters_of_a_toy_are_those_found_by_hand():
    visual = np.log([[1, 2, 1], [4, 1, 1], [1, 1, 2], [5, 2, 1]])
    # softmax over text: 1/4 2/4 1/4; 4/6 1/6 1/6; 1/4 1/4 2/4; 5/8 2/8 1/8: means 43/96, 28/96, 25/96; a third is 32/96
    assert raters(visual, np.eye(3)).tolist() == [0]
    assert raters(visual[[0, 2]], np.eye(3)).tolist() == [1, 2]  # means 2/8, 3/8, 3/8


def test_where_all_words_look_alike_all_of_them_rate():
    assert raters(np.ones((4, 3)), np.ones((5, 3))).tolist() == [0, 1, 2, 3, 4]


def test_another_query_keeps_other_tokens():
    random = np.random.default_rng(3)
    visual = random.integers(-4, 5, (60, 8))
    kept = []
    for _ in range(2):
        text = random.integers(-4, 5, (7, 8))
        attention = text @ visual.T
        scores = rated(attention, raters(visual / 4, text / 4))
        plan = SparseVLM(version="plus", tokens=64).plan(
            ImageTokens(((6, 10),), ("whole",), ((0, 0),), scores=scores, features=visual)
        )
        kept.append(set(plan.order[: plan.schedule[0][1]].tolist()))
    assert kept[0] != kept[1]


def test_the_scores_are_the_sum_of_what_raters_give():
    assert rated(np.array([[1, 2], [30, 40], [500, 600]]), np.array([0, 2])).tolist() == [501, 602]


def test_the_strongest_heads_come_first():
    attention = np.array([[[1, 1]], [[5, 0]], [[2, 3]], [[9, 9]]])
    assert strongest_heads(attention, 3).tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"version": "1", "tokens": 64}, "does not read tokens"),
        ({"version": "1.5", "rank": 4}, "does not read rank"),
        ({"version": "plus", "scale": 2.0}, "does not read scale"),
        ({"tokens": 100}, "192, 128, 96 or 64"),
        ({"version": "2"}, "version"),
    ],
)
def test_settings_that_a_version_does_not_read_are_errors(given, why):
    with pytest.raises(ValidationError, match=why):
        SparseVLM(**given)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 70),
    st.integers(0, 5),
    st.one_of(
        st.builds(SparseVLM, version=st.sampled_from(["1.5", "plus"]), tokens=st.sampled_from([192, 128, 96, 64])),
        st.builds(SparseVLM, version=st.just("1"), rank=st.integers(1, 8)),
    ),
)
def test_keep_sets_are_nested_and_clusters_are_made_of_what_their_layer_drops(total, seed, method):
    tokens = image(total, seed)
    plan = method.plan(tokens)
    assert sorted(plan.order.tolist()) == list(range(total))
    lefts = [total, *(left for _, left in plan.schedule)]
    assert lefts == sorted(lefts, reverse=True)
    assert all(earlier[0] < later[0] for earlier, later in itertools.pairwise(plan.schedule))
    dropped = {
        layer: set(plan.order[left:before].tolist())
        for before, (layer, left) in zip(lefts, plan.schedule, strict=False)
    }
    for one in plan.clusters:
        assert set(one.members.tolist()) <= dropped[one.layer]
        assert len(set(one.members.tolist())) == len(one.members) == len(one.groups)
        assert sorted(set(one.groups.tolist())) == list(range(num_clusters(len(one.members))))


def test_two_heaps_are_two_clusters_and_the_middle_of_each_is_its_centre():
    heaps = np.array([[0, 0], [1, 0], [0, 1], [100, 100], [101, 100], [100, 101]])
    groups = density_peaks(heaps, 2).tolist()
    assert groups[:3] == [groups[0]] * 3
    assert groups[3:] == [groups[3]] * 3
    assert groups[0] != groups[3]


def test_tokens_that_are_all_alike_are_told_apart_by_their_place():
    assert density_peaks(np.full((5, 3), 7), 2).tolist() == [0, 1, 0, 0, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9).flatmap(lambda m: arrays(np.int64, (m, 2), elements=st.integers(0, 12))), st.integers(1, 9))
def test_clusters_are_those_of_the_formula_in_floats_where_no_two_are_nearly_equal(features, num):
    num = min(num, len(features))
    squares = ((features[:, None] - features[None]) ** 2).sum(-1).astype(float)
    spread = np.sort(squares, axis=1)[:, :num].mean(axis=1) / 2
    density = np.exp(-spread)
    if np.unique(spread.round(9)).size < len(spread):
        return
    apart = [
        min((squares[i, j] for j in range(len(features)) if density[j] > density[i]), default=squares.max())
        for i in range(len(features))
    ]
    scores = np.sqrt(apart) * density
    if np.unique(scores.round(12)).size < len(scores):
        return
    centres = np.argsort(-scores)[:num]
    expected = squares[:, centres].argmin(axis=1)
    expected[centres] = np.arange(num)
    assert density_peaks(features, num).tolist() == expected.tolist()


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-9, 9)),
    st.integers(1, 3),
)
def test_the_rank_is_that_of_linear_algebra(matrix, times):
    stacked = np.concatenate([matrix] * times)
    assert rank_of(stacked) == rank_of(matrix) == np.linalg.matrix_rank(matrix)
