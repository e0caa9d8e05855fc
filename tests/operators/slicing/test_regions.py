"""Regions tile the picture and its cells, stay within their number, and where they can be are copied as they are."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from operators.slicing.qwen import QwenConfig, smart_resize
from operators.slicing.regions import MAX_REGIONS, REGION_SIDE, cuts, plan_regions, shrunk
from pipeline.errors import InputError
from pipeline.types import SlicePlan
from tests.rendering import rendered

TOKENS = {"placeholder": "<|image_pad|>", "image_start": "<|vision_start|>", "image_end": "<|vision_end|>"}
QWEN25 = QwenConfig(patch=14, merge=2, min_pixels=3136, max_pixels=12845056)
QWEN3 = QwenConfig(patch=16, merge=2, min_pixels=65536, max_pixels=16777216)

sides = st.integers(1, 6000)
configs = st.sampled_from([QWEN25, QWEN3])


def plan_or_skip(width: int, height: int, config: QwenConfig, max_regions: int = MAX_REGIONS) -> SlicePlan:
    assume(max(width, height) <= 200 * min(width, height))
    return plan_regions(width, height, config, TOKENS, max_regions=max_regions)


def covers_once(rectangles, width: int, height: int) -> bool:
    """Whether (left, top, right, bottom) rectangles in raster order tile width x height: areas, corners, overlaps."""
    inside = all(0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height for x0, y0, x1, y1 in rectangles)
    area = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in rectangles)
    apart = all(
        a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        for i, a in enumerate(rectangles)
        for b in rectangles[:i]
    )
    return inside and apart and area == width * height


@settings(deadline=None)
@given(sides, sides, configs)
def test_transposed_image_has_the_transposed_plan(width, height, config):
    plan = plan_or_skip(width, height, config)
    turned = plan_regions(height, width, config, TOKENS)
    assert (plan.grid_h, plan.grid_w) == (turned.grid_w, turned.grid_h)
    swapped = {(v.col, v.row): (*(v.box[i] for i in (1, 0, 3, 2)), v.cols, v.rows) for v in turned.views}
    assert {(v.row, v.col): (*v.box, v.rows, v.cols) for v in plan.views} == swapped


@settings(deadline=None)
@given(sides, sides, configs, st.integers(1, 60))
def test_regions_tile_the_image_and_its_cells_exactly_once(width, height, config, max_regions):
    plan = plan_or_skip(width, height, config, max_regions)
    assert len(plan.views) <= max_regions
    assert covers_once([view.box for view in plan.views], width, height)
    cells = [(left, top, right, bottom) for top, left, bottom, right in (view.cells for view in plan.views)]
    assert covers_once(cells, plan.grid_w, plan.grid_h)
    assert [(v.row, v.col) for v in plan.views] == sorted((v.row, v.col) for v in plan.views)
    assert all(v.rows <= REGION_SIDE and v.cols <= REGION_SIDE and v.kind == "region" for v in plan.views)
    assert all((v.height, v.width) == (v.rows * config.factor, v.cols * config.factor) for v in plan.views)


@settings(deadline=None)
@given(sides, sides, configs, st.integers(1, 60))
def test_region_runs_stand_between_one_pair_of_markers(width, height, config, max_regions):
    plan = plan_or_skip(width, height, config, max_regions)
    start, *runs, end = plan.layout
    assert (start.token, end.token) == ("<|vision_start|>", "<|vision_end|>")
    assert [(run.view, run.count) for run in runs] == [(i, view.tokens) for i, view in enumerate(plan.views)]
    assert plan.placeholders == plan.grid_h * plan.grid_w == sum(view.tokens for view in plan.views)


@settings(deadline=None)
@given(sides, sides)
def test_image_that_fits_its_regions_keeps_its_native_grid(width, height):
    plan = plan_or_skip(width, height, QWEN25, 10**6)
    whole = QWEN25.plan(width, height, TOKENS)
    assert (plan.grid_h, plan.grid_w) == (whole.grid_h, whole.grid_w)


def test_picture_near_a_whole_number_of_tokens_is_cut_at_whole_tokens():
    plan = plan_regions(1281, 719, QWEN25, TOKENS)  # 45.75 and 25.68 tokens: 46 x 26
    assert sorted({view.box[0] for view in plan.views}) == [0, 15 * 28, 30 * 28]
    assert sorted({view.box[1] for view in plan.views}) == [0, 13 * 28]
    assert {view.box[2:] for view in plan.views if view.row and view.col == 2} == {(1281, 719)}


def test_picture_that_is_shrunk_is_cut_in_proportion():
    plan = plan_regions(4032, 3024, QWEN25, TOKENS)
    assert (plan.grid_h, plan.grid_w) == (100, 134)  # of 108 x 144
    assert sorted({view.box[1] for view in plan.views}) == [0, 604, 1209, 1814, 2419]  # fifths


@settings(max_examples=25, deadline=None)
@given(st.integers(14, 900), st.integers(14, 900))
@example(894, 562)  # 31.93 and 20.07 tokens: the last row of one region has 18 pixels more
def test_region_whose_box_has_its_size_is_copied_pixel_for_pixel(width, height):
    shades = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    picture = Image.fromarray(shades)
    plan = plan_or_skip(width, height, QWEN25)
    for view, image in zip(plan.views, rendered(picture, plan), strict=True):
        left, top, right, bottom = view.box
        if (right - left, bottom - top) == (view.width, view.height):
            assert image.tobytes() == picture.crop(view.box).tobytes()
        near = [2 * abs(side - count * 28) <= 28 for side, count in ((width, plan.grid_w), (height, plan.grid_h))]
        is_last = bottom == height or right == width
        assert (right - left, bottom - top) == (view.width, view.height) or is_last or not all(near)


@pytest.mark.parametrize(
    ("width", "height", "config", "max_regions", "grid"),
    [
        (4032, 3024, QWEN25, 36, (100, 134)),
        (3024, 4032, QWEN3, 9, (60, 45)),
        (1000, 50, QWEN25, 1, (1, 20)),
        (60, 1000, QWEN3, 1, (20, 1)),  # below its min_pixels
    ],
)
def test_image_of_too_many_regions_shrinks_just_enough(width, height, config, max_regions, grid):
    plan = plan_regions(width, height, config, TOKENS, max_regions=max_regions)
    assert (plan.grid_h, plan.grid_w) == grid
    assert len(plan.views) <= max_regions

    def fits(num_tokens: int) -> bool:
        area = num_tokens * config.factor**2
        w, h = smart_resize(width, height, config.factor, min(config.min_pixels, area), area)
        return -(-w // (20 * config.factor)) * -(-h // (20 * config.factor)) <= max_regions

    best = max(n for n in range(1, config.plan(width, height, TOKENS).placeholders + 1) if fits(n))
    area = best * config.factor**2
    expected = smart_resize(width, height, config.factor, min(config.min_pixels, area), area)
    assert (plan.views[-1].cells[3] * config.factor, plan.views[-1].cells[2] * config.factor) == expected


def test_speck_that_is_enlarged_has_pixels_in_every_region():
    greedy = QwenConfig(patch=14, merge=2, min_pixels=10**6, max_pixels=10**7)
    plan = plan_regions(1, 1, greedy, TOKENS)
    assert [view.box for view in plan.views] == [(0, 0, 1, 1)]
    assert plan.grid_h == plan.grid_w == 20


def test_regions_too_few_for_a_thin_image_are_refused():
    with pytest.raises(InputError, match="5600x28"):
        plan_regions(5600, 28, QWEN25, TOKENS, region_side=7, max_regions=1)


@given(st.integers(1, 500), st.integers(1, 40))
def test_cuts_are_the_fewest_equal_parts(length, side):
    parts = [after - before for before, after in pairwise(cuts(length, side))]
    assert sum(parts) == length
    assert max(parts) <= side
    assert max(parts) - min(parts) <= 1
    assert (len(parts) - 1) * side < length


@settings(deadline=None)
@given(sides, sides, configs, st.integers(1, 450))
def test_shrunk_region_never_exceeds_its_budget_and_wastes_no_column(width, height, config, budget):
    for before in plan_or_skip(width, height, config).views:
        after = shrunk(before, budget, config)
        size = {
            name: getattr(after, name) for name in ("height", "width", "grid_h", "grid_w", "rows", "cols", "tokens")
        }
        assert replace(before, **size) == after
        assert 1 <= after.rows <= before.rows
        assert 1 <= after.cols <= before.cols
        assert after.tokens == after.rows * after.cols <= min(budget, before.tokens)
        assert (after.height, after.width) == (after.rows * config.factor, after.cols * config.factor)
        assert (after.grid_t, after.grid_h, after.grid_w) == (1, after.rows * config.merge, after.cols * config.merge)
        # No column more would fit at this number of rows, unless all are there.
        assert after.cols == before.cols or after.rows * (after.cols + 1) > budget
        assert after == before or budget < before.tokens


@pytest.mark.parametrize(("budget", "side"), [(64, 8), (144, 12), (256, 16), (400, 20), (500, 20)])
def test_square_region_takes_square_budgets_whole(budget, side):
    (whole,) = plan_regions(560, 560, QWEN25, TOKENS).views
    view = shrunk(whole, budget, QWEN25)
    assert (view.rows, view.cols, view.tokens) == (side, side, side * side)
