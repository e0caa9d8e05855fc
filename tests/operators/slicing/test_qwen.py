"""Qwen-VL plans equal the reference's; regions and budgets keep what they promise."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from operators.slicing import SCHEMES, SchemeConfig
from operators.slicing.qwen import QwenConfig, plan_regions, smart_resize, with_budgets
from pipeline.errors import InputError, Reason
from pipeline.types import Modality, Run, SlicePlan

GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden" / "slicing.yaml").read_text("utf-8"))["qwen"]
CASES = [
    pytest.param(table, *map(int, image.split("x")), expected, id=f"{table['patch']}-{table['min_pixels']}-{image}")
    for table in GOLDEN
    for image, expected in table["images"].items()
]
TOKENS = {"placeholder": "<|image_pad|>", "image_start": "<|vision_start|>", "image_end": "<|vision_end|>"}
QWEN25 = QwenConfig(patch=14, merge=2, min_pixels=3136, max_pixels=12845056)
QWEN3 = QwenConfig(patch=16, merge=2, min_pixels=65536, max_pixels=16777216)

sides = st.integers(1, 6000)
configs = st.sampled_from([QWEN25, QWEN3])


def plan_or_skip(width: int, height: int, config: QwenConfig, max_regions: int) -> SlicePlan:
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


@pytest.mark.parametrize(("table", "width", "height", "expected"), CASES)
def test_plan_equals_the_reference(table, width, height, expected):
    config = QwenConfig(patch=table["patch"], merge=2, min_pixels=table["min_pixels"], max_pixels=table["max_pixels"])
    plan = config.plan(width, height, TOKENS)
    (view,) = plan.views
    assert [view.width, view.height] == expected["size"]
    assert [view.grid_t, view.grid_h, view.grid_w] == expected["grid"]
    assert view.tokens == plan.placeholders == expected["tokens"]
    assert plan.tokens == expected["tokens"] + 2
    assert plan.patches == 4 * expected["tokens"]


def test_plan_is_one_whole_view_between_its_markers():
    plan = QWEN25.plan(640, 480, TOKENS)
    (view,) = plan.views
    assert (plan.scheme, plan.grid_h, plan.grid_w, plan.canvas) == ("qwen", 17, 23, None)
    assert (view.kind, view.box, view.cells) == ("whole", (0, 0, 640, 480), (0, 0, 17, 23))
    assert plan.layout == (
        Run("<|vision_start|>", Modality.MARKER, -1, 1),
        Run("<|image_pad|>", Modality.IMAGE, 0, 391),
        Run("<|vision_end|>", Modality.MARKER, -1, 1),
    )


def test_rounding_is_half_to_even():
    assert smart_resize(70, 98, 28, 1, 10**9) == (56, 112)  # 2.5 -> 2, 3.5 -> 4


def test_side_that_the_reference_rounds_to_nothing_is_one_token():
    assert smart_resize(5600, 28, 28, 4 * 784, 64 * 784) == (3164, 28)  # the reference says 3164 x 0
    assert smart_resize(28, 5600, 28, 4 * 784, 64 * 784) == (28, 3164)
    assert 3164 * 28 > 64 * 784  # and so exceeds max_pixels: the documented price


def test_sliver_over_200_to_1_is_refused():
    QWEN25.plan(200, 1, TOKENS)
    for width, height in [(201, 1), (1, 201), (4001, 20)]:
        with pytest.raises(InputError) as caught:
            QWEN25.plan(width, height, TOKENS)
        assert caught.value.reason == Reason.IMAGE_SLIVER
        assert f"{width}x{height}" in caught.value.detail


@settings(deadline=None)
@given(sides, sides, configs)
def test_transposed_image_has_the_transposed_plan(width, height, config):
    plan = plan_or_skip(width, height, config, 36)
    turned = plan_regions(height, width, config, TOKENS, max_regions=36)
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
    assert all(v.rows <= 20 and v.cols <= 20 and v.kind == "region" for v in plan.views)
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
    plan = plan_regions(1, 1, greedy, TOKENS, max_regions=36)
    assert [view.box for view in plan.views] == [(0, 0, 1, 1)]
    assert plan.grid_h == plan.grid_w == 20


def test_regions_too_few_for_a_thin_image_are_refused():
    with pytest.raises(InputError, match="5600x28"):
        plan_regions(5600, 28, QWEN25, TOKENS, region_side=7, max_regions=1)


@settings(deadline=None)
@given(sides, sides, configs, st.data())
def test_budgets_are_never_exceeded_and_are_exact(width, height, config, data):
    plan = plan_or_skip(width, height, config, 36)
    each = st.integers(1, 450)
    budgets = data.draw(st.lists(each, min_size=len(plan.views), max_size=len(plan.views)))
    thinned = with_budgets(plan, budgets, [7] * len(budgets), config.patch, config.merge)
    for before, after, budget in zip(plan.views, thinned.views, budgets, strict=True):
        assert (after.budget, after.relevance) == (budget, 7)
        assert (after.cells, after.box, after.row, after.col) == (before.cells, before.box, before.row, before.col)
        assert 1 <= after.rows <= before.rows
        assert 1 <= after.cols <= before.cols
        assert after.tokens == after.rows * after.cols <= min(budget, before.tokens)
        assert (after.height, after.width) == (after.rows * config.factor, after.cols * config.factor)
        assert (after.grid_t, after.grid_h, after.grid_w) == (1, after.rows * config.merge, after.cols * config.merge)
        # No row or column more would fit at this number of the other, unless all are there.
        assert after.cols == before.cols or after.rows * (after.cols + 1) > budget
        if budget >= before.tokens:
            assert after == replace(before, budget=budget, relevance=7)
    assert thinned.placeholders == sum(view.tokens for view in thinned.views)
    assert thinned.tokens == thinned.placeholders + 2
    assert (thinned.grid_h, thinned.grid_w) == (plan.grid_h, plan.grid_w)


@pytest.mark.parametrize(("budget", "side"), [(64, 8), (144, 12), (256, 16), (400, 20), (500, 20)])
def test_square_region_takes_square_budgets_whole(budget, side):
    plan = plan_regions(560, 560, QWEN25, TOKENS, max_regions=36)
    (view,) = with_budgets(plan, [budget], [255], 14, 2).views
    assert (view.rows, view.cols, view.tokens) == (side, side, side * side)


def test_budget_for_each_view_is_required():
    with pytest.raises(ValueError, match="zip"):
        with_budgets(QWEN25.plan(640, 480, TOKENS), [64, 64], [1, 2], 14, 2)


def test_profile_section_validates_to_its_scheme():
    section = {"scheme": "qwen", "patch": 14, "merge": 2, "min_pixels": 3136, "max_pixels": 12845056}
    assert TypeAdapter(SchemeConfig).validate_python(section) == QWEN25
    assert SCHEMES["qwen"] is QwenConfig


@pytest.mark.parametrize(
    "wrong",
    [{"scheme": "qwen2"}, {"patch": 0}, {"side": 3}, {"min_pixels": 12845057}, {"min_pixels": 1, "max_pixels": 783}],
)
def test_wrong_profile_section_is_refused(wrong):
    section = {"scheme": "qwen", "patch": 14, "merge": 2, "min_pixels": 3136, "max_pixels": 12845056}
    with pytest.raises(ValidationError):
        TypeAdapter(SchemeConfig).validate_python(section | wrong)
