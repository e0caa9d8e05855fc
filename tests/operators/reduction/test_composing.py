"""Methods follow each other where they decide different things; what one leaves is what the next one sees."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import adaptive_avg_pool2d

from operators.reduction import AnyMethod
from operators.reduction.composing import composition_fault, from_row, left_of, reduce_tokens, to_row
from operators.reduction.method import STAGES
from operators.reduction.plan import Clusters, Reduction
from pipeline.schema import REDUCTION
from tests.operators.reduction.making import SETTINGS, method, tokens

NAMES = sorted(SETTINGS)
STAGE = {name: method(name).stage for name in NAMES}


def equal(one, other):
    """Of any part of a Reduction."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, Clusters):
        return all(equal(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def is_same(one, other):
    return all(equal(getattr(one, part.name), getattr(other, part.name)) for part in fields(Reduction))


def test_every_method_of_the_union_is_tried_here():
    assert {kind.model_fields["method"].default for kind in get_args(get_args(AnyMethod)[0])} == set(NAMES)
    assert set(STAGE.values()) == set(STAGES)


@pytest.mark.parametrize("earlier", NAMES)
@pytest.mark.parametrize("later", NAMES)
def test_two_methods_follow_each_other_just_where_the_second_acts_later(earlier, later):
    fault = composition_fault([method(earlier), method(later)])
    is_allowed = STAGES.index(STAGE[earlier]) < STAGES.index(STAGE[later]) and earlier != "wico_plus"
    assert (fault is None) == is_allowed
    if fault is not None:
        assert "\n" not in fault
        assert earlier in fault
        assert later in fault


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (("wico", "tome"), "wico and tome decide the same: each decides which tokens have a place in the sequence"),
        (("rank", "rank"), "rank and rank decide the same"),
        (("rank", "wico"), "which comes before what rank does: .*; name wico first"),
        (("wico_plus", "rank"), "wico_plus adds tokens again in a deep layer, of which rank knows nothing"),
        (("hires_restore", "wico", "rank", "mustdrop"), "rank and mustdrop decide the same"),
    ],
)
def test_why_a_composition_is_refused_is_said_in_a_line(names, fault):
    assert re.search(fault, composition_fault([method(name) for name in names]))


def test_one_of_each_stage_is_allowed_and_so_is_none():
    four = [method(name) for name in ("hires_restore", "mustdrop_merge", "rank", "dyrate")]
    assert composition_fault(four) is None
    assert composition_fault([]) is None
    found = reduce_tokens(four, tokens())
    assert found.methods == ("hires_restore", "mustdrop_merge", "rank", "dyrate")
    assert found.restore is not None
    assert found.num_kept < found.num_tokens
    assert len(found.order) == found.num_kept
    assert all(left <= found.num_kept for _, left in (*found.schedule, *found.decay))
    assert found.grids == tokens().grids


def test_a_later_method_sees_what_the_earlier_one_left():
    merge, rank = method("mustdrop_merge"), method("rank")
    both = reduce_tokens([merge, rank], tokens())
    alone = merge.plan(tokens())
    assert is_same(both, alone.then(rank.plan(left_of(tokens(), alone))))
    assert np.array_equal(both.kept, alone.kept)


def test_the_order_of_the_first_that_ranks_stays():
    rank, decay = method("rank"), method("dyrate")
    both = reduce_tokens([rank, decay], tokens())
    assert np.array_equal(both.order, rank.plan(tokens()).order)
    assert both.decay == decay.plan(tokens()).decay


def pools(found):
    """The tokens of each pool as torch has them: those whose one enters its mean."""
    numbers, start = [], 0
    for (rows, cols), (high, wide) in zip(found.grids, found.pools, strict=True):
        one_hot = torch.eye(rows * cols).reshape(1, rows * cols, rows, cols)
        seen = adaptive_avg_pool2d(one_hot, (high, wide)).reshape(rows * cols, high * wide).T
        numbers += [start + np.flatnonzero(row) for row in seen.numpy()]
        start += rows * cols
    return numbers


@pytest.mark.parametrize("name", [name for name in NAMES if STAGE[name] == "merge"])
def test_a_merged_token_has_the_mean_of_what_it_stands_for(name):
    image = tokens()
    found = method(name).plan(image)
    left = left_of(image, found)
    assert left.grids == ((1, found.num_kept),)
    assert left.num_tokens == found.num_kept == len(left.scores) == len(left.salience) == len(left.features)
    pooled = pools(found) if found.pools is not None else None
    for place, token in enumerate(found.kept):
        members = [token] if pooled is None else pooled[place]
        if found.groups is not None:
            members = np.flatnonzero(found.groups == place)
        elif found.window is not None:
            members = found.window[place]
        assert left.scores[place] == sum(int(image.scores[one]) for one in members) // len(members)
        assert (left.features[place] == image.features[members].sum(axis=0) // len(members)).all()


def test_what_keeps_all_tokens_leaves_them_as_they_are():
    image = tokens()
    assert left_of(image, method("hires_restore").plan(image)) is image


@settings(max_examples=60)
@given(st.sampled_from(NAMES), st.integers(0, 99), st.sampled_from([((4, 4),), ((2, 6), (4, 2)), ((2, 2),) * 3]))
def test_a_stored_reduction_is_read_back_as_it_was(name, seed, grids):
    found = method(name).plan(tokens(seed, grids, ("whole", "tile", "tile")[: len(grids)]))
    stored = pa.array([to_row(found)], REDUCTION).to_pylist()[0]
    assert is_same(from_row(stored), found)
    assert pa.array([stored], REDUCTION).to_pylist()[0] == to_row(from_row(stored)) | {"shares": stored["shares"]}
