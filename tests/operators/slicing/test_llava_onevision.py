"""LLaVA-OneVision plans equal the reference's: anyres with a bound, one view among several images, pooled frames."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.profiles import load_profile
from operators.slicing.anyres import shrink
from operators.slicing.llava_onevision import LlavaOnevisionConfig
from pipeline.errors import InputError, Reason
from pipeline.types import Canvas, Modality, Place, Run

GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden" / "slicing.yaml").read_text("utf-8"))["llava_onevision"]
CASES = [pytest.param(*map(int, image.split("x")), expected, id=image) for image, expected in GOLDEN.items()]
TOKENS = {"placeholder": "<image>"}
NEWLINE = Run("<image>", Modality.MARKER, -1, 1)
ONEVISION = LlavaOnevisionConfig()

sides = st.integers(1, 6000)


@pytest.mark.parametrize(("width", "height", "expected"), CASES)
def test_plan_equals_the_reference(width, height, expected):
    plan = ONEVISION.plan(width, height, TOKENS)
    assert [plan.canvas.width, plan.canvas.height] == expected["canvas"]
    assert [plan.views[-1].col + 1, plan.views[-1].row + 1] == expected["tiles"]
    assert [plan.grid_w, plan.grid_h] == expected["grid"]
    assert plan.placeholders == plan.tokens == expected["placeholders"]
    assert plan.patches == 729 * (1 + expected["tiles"][0] * expected["tiles"][1])


def test_grid_that_is_hardly_too_long_is_not_shrunk():
    assert shrink(81, 97, 9 * 729) == (81, 97)  # 9.5 % too long a side
    assert shrink(81, 99, 9 * 729) == (73, 89)
    assert shrink(162, 162, 9 * 729) == (81, 81)


def test_token_of_a_shrunk_grid_belongs_to_the_tile_of_its_centre():
    plan = ONEVISION.plan(1920, 1080, TOKENS)
    full, shrunk, tile = 135, 108, 27  # columns of five tiles, none of them padding
    for col, view in enumerate(plan.views[1:6]):
        centres = [(i + 0.5) * full / shrunk for i in range(view.cells[1], view.cells[3])]
        assert all(col * tile <= centre < (col + 1) * tile for centre in centres)
    assert [view.cols for view in plan.views[1:6]] == [22, 21, 22, 21, 22]


def test_whole_view_comes_first_then_the_stitched_rows():
    plan = ONEVISION.plan(640, 480, TOKENS)
    assert [view.kind for view in plan.views] == ["whole", *["tile"] * 4]
    assert plan.layout[:4] == (
        Run("<image>", Modality.IMAGE, 0, 729),
        Run("<image>", Modality.IMAGE, 1, 27),
        Run("<image>", Modality.IMAGE, 2, 27),
        NEWLINE,
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_each_of_several_images_is_one_padded_view_and_a_newline(number):
    plan = ONEVISION.plan(640, 480, TOKENS, Place(number, 3))
    (view,) = plan.views
    assert (view.kind, view.box, view.height, view.width, view.rows, view.cols) == (
        "whole",
        (0, 0, 640, 480),
        384,
        384,
        27,
        27,
    )
    assert plan.layout == (Run("<image>", Modality.IMAGE, 0, 729), NEWLINE)
    assert plan.canvas == Canvas(640, 640, 640, 480, 0, 80, fill=0x7F7F7F, has_whole=True)


def test_padding_is_the_mean_of_the_profile():
    mean = load_profile("llava_onevision").mean
    assert ONEVISION.fill.to_bytes(3, "big") == bytes(int(255 * channel) for channel in mean)


def test_sliver_among_several_is_refused_and_alone_is_not():
    assert ONEVISION.plan(65000, 100, TOKENS).placeholders > 729
    with pytest.raises(InputError) as refused:
        ONEVISION.plan(65000, 100, TOKENS, Place(0, 2))
    assert refused.value.reason == Reason.IMAGE_SLIVER


def test_frames_of_a_video_have_196_tokens_each_and_one_newline_together():
    assert ONEVISION.video_tokens(1) == 197
    assert ONEVISION.video_tokens(32) == 6273


@settings(deadline=None)
@given(sides, sides)
def test_tiles_cover_picture_and_grid_exactly_once_row_major(width, height):
    plan = ONEVISION.plan(width, height, TOKENS)
    tiles = plan.views[1:]
    assert [(view.row, view.col) for view in tiles] == sorted((view.row, view.col) for view in tiles)
    grid = np.zeros((plan.grid_h, plan.grid_w), int)
    for view in tiles:
        top, left, bottom, right = view.cells
        assert (view.rows, view.cols) == (bottom - top, right - left)
        grid[top:bottom, left:right] += 1
        assert 0 <= view.box[0] <= view.box[2] <= width
        assert 0 <= view.box[1] <= view.box[3] <= height
    assert (grid == 1).all()
    assert sum((view.box[2] - view.box[0]) * (view.box[3] - view.box[1]) for view in tiles) == width * height


@settings(deadline=None)
@given(sides, sides)
def test_placeholders_are_the_views_tokens_and_the_newlines_and_bounded(width, height):
    plan = ONEVISION.plan(width, height, TOKENS)
    newlines = sum(run.count for run in plan.layout if run.modality == Modality.MARKER)
    assert newlines == plan.grid_h
    assert plan.placeholders == sum(view.tokens for view in plan.views) + newlines
    assert plan.grid_h * plan.grid_w <= 1.1**2 * 9 * 729
    for i, view in enumerate(plan.views):
        assert view.tokens == view.rows * view.cols == sum(run.count for run in plan.layout if run.view == i)


@settings(deadline=None)
@given(sides, sides)
def test_order_in_which_pinpoints_are_read_makes_no_difference_to_the_full_set(width, height):
    turned = LlavaOnevisionConfig(pinpoint_order="height_first")
    assert turned.plan(width, height, TOKENS) == ONEVISION.plan(width, height, TOKENS)


@settings(deadline=None)
@given(sides, sides)
def test_transposed_picture_has_the_transposed_grid(width, height):
    plan, turned = ONEVISION.plan(width, height, TOKENS), ONEVISION.plan(height, width, TOKENS)
    assert (plan.grid_h, plan.grid_w) == (turned.grid_w, turned.grid_h)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 20))
def test_shrunk_grid_keeps_its_aspect_and_its_bound(rows, cols, tiles):
    new_rows, new_cols = shrink(rows, cols, tiles * 729)
    assert new_rows <= rows
    assert new_cols <= cols
    if (new_rows, new_cols) != (rows, cols):
        assert new_rows * new_cols <= tiles * 729
        assert math.isclose(new_rows / rows, new_cols / cols, abs_tol=1 / min(rows, cols))


@pytest.mark.parametrize("wrong", [{"max_tiles": 0}, {"fill": -1}, {"pinpoints": ((384, 400),)}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        LlavaOnevisionConfig(**wrong)
