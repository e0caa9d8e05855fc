"""MiniCPM-V plans equal the reference's, and slices come after the whole picture with their marks."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.profiles import load_profile
from operators.slicing.minicpm_v import MiniCPMVConfig, ensure_divide, find_best_resize, select_grid
from pipeline.types import Modality, Place

GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden" / "slicing.yaml").read_text("utf-8"))["minicpm_v"]
CASES = [pytest.param(*map(int, image.split("x")), expected, id=image) for image, expected in GOLDEN.items()]
PROFILE = load_profile("minicpm_v")
TOKENS = PROFILE.tokens.by_role()
MERGED = MiniCPMVConfig(queries=None, merge=4)

sides = st.integers(1, 5000)


def texts(plan):
    return [run.token for run in plan.layout]


@pytest.mark.parametrize(("width", "height", "expected"), CASES)
def test_plan_equals_the_reference(width, height, expected):
    plan = PROFILE.slicing.plan(width, height, TOKENS)
    assert [plan.views[0].width, plan.views[0].height] == expected["source"]
    assert (plan.canvas and [plan.canvas.width, plan.canvas.height]) == expected["refined"]
    grid = [plan.views[-1].col + 1, plan.views[-1].row + 1] if plan.canvas else None
    assert grid == expected["grid"]
    assert len(plan.views) == expected["views"]
    assert plan.placeholders == expected["placeholders"]


def test_length_halfway_between_multiples_goes_to_the_even_one():
    assert [ensure_divide(length, 14) for length in (21, 35, 49)] == [28, 28, 56]
    assert ensure_divide(3, 14) == 14


def test_picture_over_one_tile_is_sliced():
    assert select_grid(448, 448, MiniCPMVConfig()) is None
    assert select_grid(449, 448, MiniCPMVConfig()) == (2, 1)


def test_square_picture_of_six_slices_has_three_columns():
    # The errors of 2x3 and 3x2 differ in the last bit only, so that the first of them does not win.
    assert select_grid(1024, 1024, MiniCPMVConfig()) == (3, 2)


def test_numbers_count_the_pictures_of_a_document_from_zero():
    third = PROFILE.slicing.plan(100, 100, TOKENS, Place(2, 12))
    assert texts(third) == ["<image_id>", "2", "</image_id>", "<image>", "<unk>", "</image>"]
    assert third.tokens == 64 + 5


def test_rows_of_slices_are_lines():
    plan = PROFILE.slicing.plan(800, 600, TOKENS)
    piece = ["<slice>", "<unk>", "</slice>"]
    assert texts(plan)[6:] == [*piece, *piece, "\n", *piece, *piece]
    assert [run.view for run in plan.layout if run.modality == Modality.IMAGE] == [0, 1, 2, 3, 4]


def test_marks_that_a_family_lacks_are_left_out():
    plan = MERGED.plan(800, 600, {"placeholder": "<unk>"})
    assert set(texts(plan)) == {"<unk>", "\n"}


def test_merging_checkpoints_have_views_of_many_sizes():
    plan = MERGED.plan(640, 480, TOKENS)
    assert [(view.width, view.height, view.tokens) for view in plan.views] == [
        (504, 392, 63),
        (392, 560, 70),
        (392, 560, 70),
    ]
    assert (plan.grid_h, plan.grid_w) == (10, 14)
    assert find_best_resize(100, 100, MERGED) == (448, 448)


@settings(deadline=None)
@given(sides, sides, st.sampled_from([PROFILE.slicing, MERGED]))
def test_slices_cover_picture_and_grid_exactly_once_row_major(width, height, config):
    plan = config.plan(width, height, TOKENS)
    whole, *tiles = plan.views
    assert whole.cells == (0, 0, plan.grid_h, plan.grid_w)
    order = [(view.row, view.col) for view in tiles]
    assert order == sorted(order)
    if tiles:
        boxes = [view.box for view in tiles]
        cells = [view.cells for view in tiles]
        assert sum((right - left) * (bottom - top) for left, top, right, bottom in boxes) == width * height
        assert sum((b - t) * (r - l) for t, l, b, r in cells) == plan.grid_h * plan.grid_w
    for left, top, right, bottom in (view.box for view in plan.views):
        assert 0 <= left <= right <= width
        assert 0 <= top <= bottom <= height


@settings(deadline=None)
@given(sides, sides, st.sampled_from([PROFILE.slicing, MERGED]))
def test_placeholders_are_the_views_tokens(width, height, config):
    plan = config.plan(width, height, TOKENS)
    assert plan.placeholders == sum(view.tokens for view in plan.views)
    for i, view in enumerate(plan.views):
        assert view.tokens == view.rows * view.cols == sum(run.count for run in plan.layout if run.view == i)
        assert (view.height % config.factor, view.width % config.factor) == (0, 0)


@settings(deadline=None)
@given(sides, sides)
def test_transposed_picture_has_as_many_slices(width, height):
    plan, turned = PROFILE.slicing.plan(width, height, TOKENS), PROFILE.slicing.plan(height, width, TOKENS)
    assert len(plan.views) == len(turned.views)


@pytest.mark.parametrize("wrong", [{"queries": 60}, {"queries": 64, "merge": 4}, {"max_slices": 0}, {"min_slices": 1}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        MiniCPMVConfig(**wrong)
