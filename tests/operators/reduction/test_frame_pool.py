"""Dynamic-VLM's table of tokens a frame, and never more than the budget, whatever the number of frames."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.reduction.frame_pool import FramePool
from operators.reduction.plan import ImageTokens
from pipeline.errors import InputError

GOLDEN_3200 = {
    1: 576,
    2: 576,
    3: 576,
    4: 576,
    5: 576,
    6: 529,
    8: 400,
    16: 196,
    32: 100,
    64: 49,
    100: 25,
    120: 25,
    256: 9,
}
GOLDEN_12000 = {32: 361, 64: 169, 100: 100, 120: 100, 256: 36}


def frame(count, *grids, **given):
    grids = grids or ((24, 24),)
    return ImageTokens(grids, ("whole",) * len(grids), ((0, 0),) * len(grids), count=count, **given)


@pytest.mark.parametrize(("total", "golden"), [(3200, GOLDEN_3200), (12000, GOLDEN_12000)])
def test_golden_tokens_a_frame(total, golden):
    method = FramePool(total=total)
    assert {count: method.plan(frame(count)).num_kept for count in golden} == golden


@settings(max_examples=40)
@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 700), st.booleans(), st.integers(0, 9))
def test_all_frames_together_are_within_the_budget(count, total, most, draws, seed):
    method = FramePool(total=total, most=most, draw=draws, least=min(most, 100), seed=seed)
    try:
        kept = method.plan(frame(count, document="d")).num_kept
    except InputError:
        assert count > total
        return
    assert 1 <= kept <= most
    assert kept * count <= total


@settings(max_examples=40)
@given(st.integers(1, 300), st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=5))
def test_so_are_frames_of_any_views(count, grids):
    try:
        kept = FramePool().plan(frame(count, *grids)).num_kept
    except InputError:
        assert 3200 // count < len(grids)
        return
    assert kept <= min(3200 // count, 576)


def test_an_image_that_is_small_enough_is_left_as_it_is():
    assert FramePool().plan(frame(1, (9, 60))).pools == ((9, 60),)
    assert FramePool().plan(frame(1, (10, 60))).pools == ((10, 24),)


def test_more_frames_than_tokens_are_refused_in_one_line():
    with pytest.raises(InputError, match="3201 images share 3200 tokens") as caught:
        FramePool().plan(frame(3201))
    assert caught.value.reason == "reduction-grid"
    assert "\n" not in caught.value.detail


def test_draws_lie_in_their_range_and_are_shared_by_a_document():
    method = FramePool(draw=True, total=12000)
    kept = [method.plan(frame(1, document=str(number))).num_kept for number in range(150)]
    assert set(kept) == {side**2 for side in range(10, 25)}
    assert kept == [method.plan(frame(1, document=str(number), identity="i")).num_kept for number in range(150)]
    assert kept != [
        FramePool(draw=True, total=12000, seed=1).plan(frame(1, document=str(n))).num_kept for n in range(150)
    ]
    with pytest.raises(ValidationError):
        FramePool(draw=True, least=577)
