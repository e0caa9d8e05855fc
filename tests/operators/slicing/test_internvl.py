"""InternVL plans equal the reference's: the grid of the nearest aspect, its tiles, then the thumbnail."""

from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.profiles import load_profile
from operators.slicing.grids import closest_grid
from operators.slicing.internvl import InternVLConfig
from pipeline.types import Canvas, Modality, Run

GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden" / "slicing.yaml").read_text("utf-8"))["internvl"]
CASES = [
    pytest.param(table["max_tiles"], *map(int, image.split("x")), expected, id=f"{table['max_tiles']}-{image}")
    for table in GOLDEN
    for image, expected in table["images"].items()
]
TOKENS = load_profile("internvl").tokens.by_role()
TWELVE = InternVLConfig()

sides = st.integers(1, 5000)
most = st.integers(1, 40)


@pytest.mark.parametrize(("max_tiles", "width", "height", "expected"), CASES)
def test_plan_equals_the_reference(max_tiles, width, height, expected):
    plan = InternVLConfig(max_tiles=max_tiles).plan(width, height, TOKENS)
    assert [plan.grid_w // 16, plan.grid_h // 16] == expected["grid"]
    assert len(plan.views) == expected["views"]
    assert plan.placeholders == plan.tokens - 2 == expected["placeholders"]
    assert plan.patches == 1024 * expected["views"]


def test_profile_is_the_one_of_twelve_tiles():
    assert load_profile("internvl").slicing == TWELVE


def test_of_equal_aspects_the_larger_grid_wins_while_the_picture_fills_half_of_it():
    assert closest_grid(1280, 720, 448, 1, 12) == (4, 2)  # 921,600 of 1,605,632 pixels
    assert closest_grid(1280, 720, 448, 1, 6) == (2, 1)
    assert closest_grid(640, 360, 448, 1, 12) == (2, 1)  # the same aspect, too small for eight tiles


def test_thin_picture_is_stretched_over_twelve_tiles():
    plan = TWELVE.plan(1000, 50, TOKENS)
    assert plan.canvas == Canvas(5376, 448, 5376, 448, 0, 0)
    assert plan.views[1].box == (83, 0, 166, 50)


def test_whole_picture_comes_last_within_the_same_pair_of_marks():
    plan = TWELVE.plan(1280, 640, TOKENS)
    assert [(view.kind, view.row, view.col) for view in plan.views[:3]] == [
        ("tile", 0, 0),
        ("tile", 0, 1),
        ("tile", 0, 2),
    ]
    assert (plan.views[-1].kind, plan.views[-1].box) == ("whole", (0, 0, 1280, 640))
    assert plan.layout == (
        Run("<img>", Modality.MARKER, -1, 1),
        *(Run("<IMG_CONTEXT>", Modality.IMAGE, i, 256) for i in range(9)),
        Run("</img>", Modality.MARKER, -1, 1),
    )


def test_one_tile_has_no_thumbnail_and_no_canvas():
    plan = TWELVE.plan(100, 100, TOKENS)
    assert [view.kind for view in plan.views] == ["whole"]
    assert plan.canvas is None


def test_thumbnail_can_be_left_out():
    assert InternVLConfig(thumbnail=False).plan(1280, 720, TOKENS).placeholders == 8 * 256


def test_at_least_min_tiles_are_cut():
    plan = InternVLConfig(min_tiles=4).plan(100, 100, TOKENS)
    assert len(plan.views) == 5


@given(sides, sides, most)
def test_tiles_cover_picture_and_grid_once_row_major(width, height, max_tiles):
    plan = InternVLConfig(max_tiles=max_tiles).plan(width, height, TOKENS)
    tiles = [view for view in plan.views if view.kind == "tile"] or list(plan.views)
    assert len(tiles) <= max_tiles
    assert [(view.row, view.col) for view in tiles] == sorted((view.row, view.col) for view in tiles)
    for before, after in pairwise(tiles):
        same_row = before.row == after.row
        assert (after.box[0], after.cells[1]) == ((before.box[2], before.cells[3]) if same_row else (0, 0))
        assert (after.box[1], after.cells[0]) == (
            (before.box[1], before.cells[0]) if same_row else (before.box[3], before.cells[2])
        )
        assert same_row or (before.box[2], before.cells[3]) == (width, plan.grid_w)
    assert tiles[0].box[:2] == tiles[0].cells[:2] == (0, 0)
    assert tiles[-1].box[2:] == (width, height)
    assert tiles[-1].cells[2:] == (plan.grid_h, plan.grid_w)
    assert all(view.tokens == view.rows * view.cols == 256 for view in plan.views)
    assert plan.placeholders == sum(view.tokens for view in plan.views)
    assert all(0 <= view.box[0] <= view.box[2] <= width and 0 <= view.box[1] <= view.box[3] <= height for view in tiles)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 400), most)
def test_picture_whose_aspect_a_grid_has_turns_with_it(cols, rows, scale, max_tiles):
    if cols * rows <= max_tiles:
        width, height = cols * scale, rows * scale
        assert closest_grid(width, height, 448, 1, max_tiles) == closest_grid(height, width, 448, 1, max_tiles)[::-1]


@pytest.mark.parametrize("wrong", [{"min_tiles": 13}, {"tile": 450}, {"max_tiles": 0}, {"merge": 3}, {"size": 448}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        InternVLConfig(**wrong)
