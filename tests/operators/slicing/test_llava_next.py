"""LLaVA-NeXT plans equal the reference's, and each token of the layout has its place."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.slicing.anyres import resize_and_pad, select_best, unpad
from operators.slicing.llava_next import LlavaNextConfig
from pipeline.types import Canvas, Modality

GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden" / "slicing.yaml").read_text("utf-8"))["llava_next"]
CASES = [pytest.param(*map(int, image.split("x")), expected, id=image) for image, expected in GOLDEN.items()]
TOKENS = {"placeholder": "<image>"}
NEXT = LlavaNextConfig()

sides = st.integers(1, 5000)


@pytest.mark.parametrize(("width", "height", "expected"), CASES)
def test_plan_equals_the_reference(width, height, expected):
    plan = NEXT.plan(width, height, TOKENS)
    assert [plan.canvas.width, plan.canvas.height] == expected["canvas"]
    assert [plan.views[-1].col + 1, plan.views[-1].row + 1] == expected["tiles"]
    assert [plan.grid_w, plan.grid_h] == expected["unpadded"]
    assert plan.placeholders == plan.tokens == expected["placeholders"]
    assert plan.patches == 576 * (1 + expected["tiles"][0] * expected["tiles"][1])


def test_small_image_takes_the_first_of_equal_canvases():
    assert select_best(100, 100, NEXT.pinpoints) == (336, 672)
    assert select_best(100, 100, NEXT.pinpoints[1:]) == (672, 336)


def test_pinpoints_read_height_first_turn_the_canvas_of_a_small_image():
    swapped = LlavaNextConfig(pinpoint_order="height_first")
    assert swapped.canvases == tuple((w, h) for h, w in NEXT.canvases)
    assert NEXT.plan(300, 200, TOKENS).placeholders == 976
    assert swapped.plan(300, 200, TOKENS).placeholders == 1464


def test_whole_view_comes_first_and_ignores_aspect():
    whole = NEXT.plan(640, 480, TOKENS).views[0]
    assert (whole.kind, whole.box, whole.height, whole.width) == ("whole", (0, 0, 640, 480), 336, 336)
    assert (whole.grid_h, whole.grid_w, whole.rows, whole.cols, whole.tokens) == (24, 24, 24, 24, 576)


def test_canvas_is_resized_and_centred():
    assert NEXT.plan(640, 480, TOKENS).canvas == Canvas(672, 672, 672, 504, 0, 84)
    assert resize_and_pad(1000, 333, (672, 672)) == Canvas(672, 672, 672, 224, 0, 224)  # 223.8, rounded up
    assert resize_and_pad(333, 1000, (672, 672)) == Canvas(672, 672, 224, 672, 224, 0)


def test_unpadding_takes_as_much_on_either_side():
    assert unpad(640, 480, 48, 48) == (6, 0)
    assert unpad(480, 640, 48, 48) == (0, 6)
    assert unpad(1000, 687, 48, 48) == (8, 0)  # 32.98: 32 rows of picture stay
    assert unpad(1000, 688, 48, 48) == (7, 0)  # 33.02: 33 rows, and one of padding with them


def test_unpadding_forgives_float_noise_as_transformers_does():
    assert 49 * (48 / 147) < 16
    assert unpad(147, 49, 48, 48) == (16, 0)


def test_layout_goes_row_by_row_through_the_stitched_grid():
    plan = NEXT.plan(640, 480, TOKENS)
    first, *rows = [(run.view, run.count, run.modality) for run in plan.layout]
    assert first == (0, 576, Modality.IMAGE)
    newline = (-1, 1, Modality.MARKER)
    upper = [(1, 24, Modality.IMAGE), (2, 24, Modality.IMAGE), newline]
    lower = [(3, 24, Modality.IMAGE), (4, 24, Modality.IMAGE), newline]
    assert rows == upper * 18 + lower * 18
    assert {run.token for run in plan.layout} == {"<image>"}


def test_markers_enclose_the_layout_where_a_family_has_them():
    plan = NEXT.plan(640, 480, TOKENS | {"image_start": "<im_start>", "image_end": "<im_end>"})
    assert (plan.layout[0].token, plan.layout[-1].token) == ("<im_start>", "<im_end>")
    assert (plan.placeholders, plan.tokens) == (2340, 2342)


def test_tile_of_padding_alone_is_still_a_view():
    wide = LlavaNextConfig(pinpoints=((336, 1008),))
    plan = wide.plan(1000, 100, TOKENS)
    assert [(view.rows, view.tokens) for view in plan.views[1:]] == [(0, 0), (2, 48), (0, 0)]
    assert [view.box for view in plan.views[1:]] == [(0, 0, 1000, 0), (0, 0, 1000, 100), (0, 100, 1000, 100)]
    assert {run.view for run in plan.layout} == {-1, 0, 2}
    assert plan.placeholders == 576 + 2 * 25


def test_sliver_may_lose_every_column_but_never_its_newlines():
    plan = NEXT.plan(1, 1000, TOKENS)
    assert (plan.grid_h, plan.grid_w) == (72, 0)
    assert plan.placeholders == 576 + 72  # as rows * (columns + 1) of the reference
    assert NEXT.plan(1000, 1, TOKENS).placeholders == 576


@settings(deadline=None)
@given(sides, sides)
def test_tiles_cover_the_canvas_once_row_major(width, height):
    plan = NEXT.plan(width, height, TOKENS)
    painted = np.zeros((plan.canvas.height // 336, plan.canvas.width // 336), int)
    order = [(view.row, view.col) for view in plan.views[1:]]
    for row, col in order:
        painted[row, col] += 1
    assert (painted == 1).all()
    assert order == sorted(order)
    assert all((view.height, view.width, view.kind) == (336, 336, "tile") for view in plan.views[1:])


@settings(deadline=None)
@given(sides, sides)
def test_tile_boxes_and_cells_cover_image_and_grid_exactly_once(width, height):
    plan = NEXT.plan(width, height, TOKENS)
    boxes = [view.box for view in plan.views[1:]]
    assert sum((right - left) * (bottom - top) for left, top, right, bottom in boxes) == width * height
    grid = np.zeros((plan.grid_h, plan.grid_w), int)
    for view in plan.views[1:]:
        top, left, bottom, right = view.cells
        assert (view.rows, view.cols) == (bottom - top, right - left)
        grid[top:bottom, left:right] += 1
    assert (grid == 1).all()


@settings(deadline=None)
@given(sides, sides)
def test_placeholders_are_the_views_tokens_and_the_newlines(width, height):
    plan = NEXT.plan(width, height, TOKENS)
    newlines = sum(run.count for run in plan.layout if run.modality == Modality.MARKER)
    assert newlines == plan.grid_h
    assert plan.placeholders == sum(view.tokens for view in plan.views) + newlines
    for i, view in enumerate(plan.views):
        assert view.tokens == view.rows * view.cols == sum(run.count for run in plan.layout if run.view == i)


@settings(deadline=None)
@given(sides, sides)
def test_image_fits_its_canvas_and_touches_two_borders(width, height):
    canvas = NEXT.plan(width, height, TOKENS).canvas
    assert 1 <= canvas.resized_width <= canvas.width
    assert 1 <= canvas.resized_height <= canvas.height
    assert canvas.resized_width == canvas.width or canvas.resized_height == canvas.height


@settings(deadline=None)
@given(sides, sides)
def test_transposed_image_on_transposed_pinpoints_has_the_transposed_grid(width, height):
    turned = LlavaNextConfig(pinpoints=tuple((h, w) for w, h in NEXT.pinpoints)).plan(height, width, TOKENS)
    plan = NEXT.plan(width, height, TOKENS)
    assert (plan.grid_h, plan.grid_w) == (turned.grid_w, turned.grid_h)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pinpoints": ()},
        {"pinpoints": ((336, 600),)},
        {"patch": 337},
        {"tile": 0},
        {"pinpoint_order": "rows"},
        {"thumbnail": True},
    ],
)
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        LlavaNextConfig(**wrong)
