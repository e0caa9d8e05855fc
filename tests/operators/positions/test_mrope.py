"""M-RoPE ids equal the reference's, and thinned views keep the places of the cells they stand for."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from operators.positions import Image, Text, Video
from operators.positions.mrope import MRope
from operators.slicing.qwen import QwenConfig
from operators.slicing.regions import plan_regions
from pipeline.types import SlicePlan
from tests.operators.shrinking import shrunk_plan

QWEN = QwenConfig(patch=14, merge=2, min_pixels=784, max_pixels=12845056)
MARKED = {"placeholder": "<|image_pad|>", "image_start": "<|vision_start|>", "image_end": "<|vision_end|>"}
BARE = {"placeholder": "<|image_pad|>"}

positions = MRope().positions

sides = st.integers(1, 2000)


def image_of(plan: SlicePlan) -> Image:
    return Image([asdict(view) for view in plan.views], [asdict(run) for run in plan.layout])


def test_image_between_texts_equals_the_reference():
    plan = QWEN.plan(84, 56, BARE)
    assert (plan.views[0].grid_t, plan.views[0].grid_h, plan.views[0].grid_w) == (1, 4, 6)
    found = positions([Text(3), image_of(plan), Text(2)])
    expected = [(0, 0, 0), (1, 1, 1), (2, 2, 2)]
    expected += [(3, 3, 3), (3, 3, 4), (3, 3, 5), (3, 4, 3), (3, 4, 4), (3, 4, 5)]
    expected += [(6, 6, 6), (7, 7, 7)]
    assert [tuple(column) for column in found.T] == expected
    assert found.max() + 1 - found.shape[1] == -3
    assert found.dtype == np.int32


def test_markers_of_an_image_advance_like_text():
    found = positions([image_of(QWEN.plan(84, 56, MARKED)), Text(1)])
    bare = positions([Text(1), image_of(QWEN.plan(84, 56, BARE)), Text(2)])
    assert np.array_equal(found, bare)


def test_text_alone_counts_all_three_alike():
    assert np.array_equal(positions([Text(2), Text(0), Text(3)]), np.tile(np.arange(5), (3, 1)))
    assert positions([]).shape == (3, 0)


def test_adjacent_images_follow_one_another():
    plan = QWEN.plan(84, 56, BARE)
    found = positions([image_of(plan), image_of(plan)])
    assert np.array_equal(found[:, 6:], found[:, :6] + 3)


@settings(max_examples=50, deadline=None)
@given(sides, sides)
def test_native_regions_have_the_positions_of_the_whole_image(width, height):
    assume(max(width, height) <= 200 * min(width, height))
    whole = QWEN.plan(width, height, BARE)
    regions = plan_regions(width, height, QWEN, BARE, max_regions=10**6)
    found = positions([image_of(regions), Text(1)])
    expected = positions([image_of(whole), Text(1)])
    assert sorted(map(tuple, found.T)) == sorted(map(tuple, expected.T))
    assert tuple(found[:, -1]) == tuple(expected[:, -1])


@settings(max_examples=50, deadline=None)
@given(sides, sides, st.integers(1, 400))
def test_thinned_token_sits_at_the_floored_centre_of_its_cell(width, height, budget):
    assume(max(width, height) <= 200 * min(width, height))
    plan = plan_regions(width, height, QWEN, BARE)
    plan = shrunk_plan(plan, [budget] * len(plan.views), QWEN)
    found = iter(positions([image_of(plan)]).T.tolist())
    for view in plan.views:
        top, left, bottom, right = view.cells
        for row in range(view.rows):
            for col in range(view.cols):
                h = int(top + (row + 0.5) * (bottom - top) / view.rows + 1e-9)
                w = int(left + (col + 0.5) * (right - left) / view.cols + 1e-9)
                assert next(found) == [0, h, w]
    assert next(found, None) is None


def test_thinned_view_spreads_over_its_cells():
    plan = shrunk_plan(plan_regions(560, 560, QWEN, BARE, max_regions=1), [4], QWEN)
    found = positions([image_of(plan), Text(1)])
    assert found.T.tolist() == [[0, 5, 5], [0, 5, 15], [0, 15, 5], [0, 15, 15], [16, 16, 16]]


@pytest.mark.parametrize("change", [-1, 1])
def test_layout_that_does_not_hold_the_views_tokens_is_refused(change):
    image = image_of(QWEN.plan(84, 56, BARE))
    image.runs[0]["count"] += change
    with pytest.raises(ValueError, match="visual tokens"):
        positions([image])


def grid(times, rows, cols):
    return [(t, h, w) for t in times for h in range(rows) for w in range(cols)]


@pytest.mark.parametrize(
    ("rule", "seconds", "times", "delta"),
    [
        pytest.param(MRope(), 1.0, [0, 1, 2], -9, id="Qwen2-VL: a step is one position"),
        pytest.param(MRope(tokens_per_second=2), 1.0, [0, 2, 4], -7, id="Qwen2.5-VL: two a second"),
        pytest.param(MRope(tokens_per_second=25), 2.0, [0, 50, 100], 89, id="its docstring: 25 a second, two seconds"),
        pytest.param(MRope(tokens_per_second=2), 0.7, [0, 1, 2], -9, id="times are floored"),
    ],
)
def test_video_equals_the_reference(rule, seconds, times, delta):
    found = rule.positions([Video(3, 2, 2, seconds), Text(5)])
    following = max(times[-1], 1) + 1
    expected = grid(times, 2, 2) + [(following + i,) * 3 for i in range(5)]
    assert [tuple(column) for column in found.T] == expected
    assert found.max() + 1 - found.shape[1] == delta
