"""Llama 4 plans equal the reference's, tile by tile with separators and the whole picture last."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.profiles import load_profile
from operators.slicing.llama4 import Llama4Config, resize_on_canvas, select_canvas
from pipeline.types import Canvas

GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden" / "slicing.yaml").read_text("utf-8"))["llama4"]
CASES = [pytest.param(*map(int, image.split("x")), expected, id=image) for image, expected in GOLDEN.items()]
PROFILE = load_profile("llama4")
TOKENS = PROFILE.tokens.by_role()

sides = st.integers(1, 5000)


@pytest.mark.parametrize(("width", "height", "expected"), CASES)
def test_plan_equals_the_reference(width, height, expected):
    plan = PROFILE.slicing.plan(width, height, TOKENS)
    assert [plan.canvas.height // 336, plan.canvas.width // 336] == expected["grid"]
    assert len(plan.views) == expected["views"]
    assert plan.tokens == expected["tokens"]


def test_canvas_is_the_documented_example():
    assert select_canvas(300, 200, 224, 16) == (2, 1)


def test_picture_is_never_enlarged_beyond_one_tile():
    assert resize_on_canvas(400, 300, (672, 336), 336) == (400, 300)
    assert resize_on_canvas(100, 50, (336, 336), 336) == (336, 168)
    assert resize_on_canvas(5000, 3000, (1680, 1008), 336) == (1680, 1008)


def test_picture_lies_in_the_upper_left_corner_on_black():
    plan = PROFILE.slicing.plan(400, 300, TOKENS)
    assert plan.canvas == Canvas(672, 336, 400, 300, 0, 0)
    assert [view.box for view in plan.views] == [(0, 0, 336, 300), (336, 0, 400, 300), (0, 0, 400, 300)]


def test_separators_stand_between_tiles_and_after_rows():
    plan = PROFILE.slicing.plan(800, 600, TOKENS)
    patch, across, down = "<|patch|>", "<|tile_x_separator|>", "<|tile_y_separator|>"
    row = [patch, across, patch, across, patch, down]
    assert [run.token for run in plan.layout] == ["<|image_start|>", *row, *row, "<|image|>", patch, "<|image_end|>"]


def test_single_tile_is_the_whole_view_with_its_padding():
    plan = PROFILE.slicing.plan(100, 50, TOKENS)
    assert [(view.kind, view.box) for view in plan.views] == [("whole", (0, 0, 100, 50))]
    assert plan.canvas.has_whole
    assert [(run.token, run.count) for run in plan.layout][1:3] == [("<|image|>", 1), ("<|patch|>", 144)]
    assert plan.tokens == 147


@settings(deadline=None)
@given(sides, sides)
def test_tiles_cover_picture_and_grid_exactly_once_row_major(width, height):
    plan = PROFILE.slicing.plan(width, height, TOKENS)
    *tiles, whole = plan.views
    assert (whole.kind, whole.cells) == ("whole", (0, 0, plan.grid_h, plan.grid_w))
    assert all(0 <= l <= r <= width and 0 <= t <= b <= height for l, t, r, b in (view.box for view in plan.views))
    shown = tiles or [whole]
    order = [(view.row, view.col) for view in tiles]
    assert order == sorted(set(order))
    assert sum((r - l) * (b - t) for l, t, r, b in (view.box for view in shown)) == width * height
    assert sum((b - t) * (r - l) for t, l, b, r in (view.cells for view in shown)) == plan.grid_h * plan.grid_w


@settings(deadline=None)
@given(sides, sides)
def test_placeholders_are_the_views_tokens(width, height):
    plan = PROFILE.slicing.plan(width, height, TOKENS)
    assert plan.placeholders == sum(view.tokens for view in plan.views) == 144 * len(plan.views)
    rows, cols = plan.grid_h // 12, plan.grid_w // 12
    assert plan.tokens - plan.placeholders == (3 if rows * cols == 1 else 3 + rows * cols)


@settings(deadline=None)
@given(sides, sides)
def test_transposed_picture_has_the_transposed_canvas(width, height):
    assert select_canvas(width, height, 336, 16) == select_canvas(height, width, 336, 16)[::-1]


@settings(deadline=None)
@given(sides, sides)
def test_picture_fits_its_canvas(width, height):
    canvas = PROFILE.slicing.plan(width, height, TOKENS).canvas
    assert 1 <= canvas.resized_width <= canvas.width
    assert 1 <= canvas.resized_height <= canvas.height
    assert canvas.width * canvas.height <= 16 * 336**2


@pytest.mark.parametrize("wrong", [{"tile": 20}, {"max_tiles": 0}, {"pinpoints": ()}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        Llama4Config(**wrong)
