"""Plans of Idefics3, SmolVLM and SmolVLM2 equal the reference's, and every tile is named."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.profiles import load_profile
from operators.slicing.idefics3 import Idefics3Config, fit_to_tiles, rescale_to_longest
from pipeline.types import Modality

NAMES = ("idefics3", "smolvlm", "smolvlm2")
GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden" / "slicing.yaml").read_text("utf-8"))
CASES = [
    pytest.param(name, *map(int, image.split("x")), expected, id=f"{name}-{image}")
    for name in NAMES
    for image, expected in GOLDEN[name].items()
]
PROFILE = load_profile("smolvlm")
TOKENS = PROFILE.tokens.by_role()

sides = st.integers(1, 5000)


def plan_of(name, width, height):
    profile = load_profile(name)
    return profile.slicing.plan(width, height, profile.tokens.by_role())


@pytest.mark.parametrize(("name", "width", "height", "expected"), CASES)
def test_plan_equals_the_reference(name, width, height, expected):
    plan = plan_of(name, width, height)
    *tiles, whole = plan.views
    assert whole.kind == "whole"
    assert [plan.canvas.width, plan.canvas.height] == expected["size"]
    assert [tiles[-1].row + 1, tiles[-1].col + 1] == expected["grid"]
    assert len(plan.views) == expected["views"]
    assert plan.placeholders == expected["placeholders"]
    marks = [run for run in plan.layout if run.modality == Modality.MARKER]
    assert sum(run.count for run in marks if run.token != "\n") == expected["markers"]
    assert sum(run.count for run in marks if run.token == "\n") == expected["newlines"]


def test_small_picture_is_enlarged_to_sixteen_tiles():
    plan = plan_of("idefics3", 100, 100)
    assert (plan.canvas.first_width, plan.canvas.width) == (1456, 1456)
    assert len(plan.views) == 17


def test_shorter_side_is_rounded_down_then_up_to_an_even_number():
    assert rescale_to_longest(1000, 335, 1456) == (1456, 488)  # 487.8
    assert rescale_to_longest(335, 1000, 1456) == (488, 1456)
    assert rescale_to_longest(5000, 1, 1456) == (1456, 1)


def test_canvas_is_whole_tiles_after_a_second_resize():
    assert fit_to_tiles(1456, 1092, 364) == (1456, 1092)
    assert fit_to_tiles(1456, 1094, 364) == (1456, 1456)
    assert fit_to_tiles(1000, 600, 364) == (1092, 728)  # the height first grows to 655
    canvas = plan_of("smolvlm", 1280, 720).canvas
    assert (canvas.first_width, canvas.first_height) == (1536, 864)
    assert (canvas.resized_width, canvas.resized_height) == (1536, 1152)
    assert canvas.has_whole


def test_every_tile_has_its_name_and_every_row_its_line():
    plan = plan_of("smolvlm2", 1200, 300)
    fake, image = "<fake_token_around_image>", "<image>"
    row = [literal for col in range(1, 5) for literal in (fake, f"<row_1_col_{col}>", image)]
    # One line break after the row, and one more before the whole view.
    assert [run.token for run in plan.layout] == [*row, "\n", fake, "<global-img>", image, fake]
    assert [run.count for run in plan.layout if run.token == "\n"] == [2]
    assert plan.tokens == 5 * 64 + 11 + 2


def test_names_are_text_where_the_checkpoint_has_no_tokens_for_them():
    special = load_profile("idefics3").tokens.literals()
    plan = plan_of("idefics3", 300, 1200)
    texts = {run.token for run in plan.layout} - set(special)
    assert texts == {"\n", "<global-img>", *(f"<row_{row}_col_1>" for row in range(1, 5))}
    assert {run.token for run in plan_of("smolvlm", 300, 1200).layout} - set(PROFILE.tokens.literals()) == {"\n"}


def test_picture_of_one_tile_is_the_whole_view_alone():
    config = Idefics3Config(longest=364, tile=364, patch=14, merge=2)
    plan = config.plan(50, 50, TOKENS)
    assert [(view.kind, view.tokens) for view in plan.views] == [("whole", 169)]
    assert [run.token for run in plan.layout] == [
        "<fake_token_around_image>",
        "<global-img>",
        "<image>",
        "<fake_token_around_image>",
    ]


@settings(deadline=None)
@given(sides, sides, st.sampled_from(NAMES))
def test_tiles_cover_picture_and_grid_exactly_once_row_major(width, height, name):
    plan = plan_of(name, width, height)
    *tiles, whole = plan.views
    assert whole.cells == (0, 0, plan.grid_h, plan.grid_w)
    order = [(view.row, view.col) for view in tiles]
    assert order == sorted(set(order))
    assert sum((r - l) * (b - t) for l, t, r, b in (view.box for view in tiles)) == width * height
    assert sum((b - t) * (r - l) for t, l, b, r in (view.cells for view in tiles)) == plan.grid_h * plan.grid_w
    assert all(0 <= l <= r <= width and 0 <= t <= b <= height for l, t, r, b in (view.box for view in plan.views))


@settings(deadline=None)
@given(sides, sides, st.sampled_from(NAMES))
def test_placeholders_are_the_views_tokens(width, height, name):
    plan = plan_of(name, width, height)
    assert plan.placeholders == sum(view.tokens for view in plan.views)
    for i, view in enumerate(plan.views):
        assert view.tokens == view.rows * view.cols == sum(run.count for run in plan.layout if run.view == i)


@settings(deadline=None)
@given(sides, sides, st.sampled_from(NAMES))
def test_transposed_picture_has_the_transposed_tiles(width, height, name):
    plan, turned = plan_of(name, width, height), plan_of(name, height, width)
    assert (plan.canvas.width, plan.canvas.height) == (turned.canvas.height, turned.canvas.width)


@pytest.mark.parametrize("wrong", [{"longest": 5000}, {"tile": 20}, {"merge": 0}, {"thumbnail": True}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        Idefics3Config(**{"longest": 1456, "tile": 364, "patch": 14, "merge": 2} | wrong)
