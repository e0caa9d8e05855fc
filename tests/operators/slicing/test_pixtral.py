"""Pixtral plans equal the reference's: one view, a break after each row of tokens."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.profiles import load_profile
from operators.slicing.pixtral import PixtralConfig, token_grid
from pipeline.errors import InputError, Reason
from pipeline.types import Modality

GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden" / "slicing.yaml").read_text("utf-8"))["pixtral"]
CASES = [pytest.param(*map(int, image.split("x")), expected, id=image) for image, expected in GOLDEN.items()]
PROFILE = load_profile("pixtral")
TOKENS = PROFILE.tokens.by_role()
NEAREST = PixtralConfig(rounding="nearest")

sides = st.integers(1, 5000)


@pytest.mark.parametrize("config", [PROFILE.slicing, NEAREST], ids=["floor", "nearest"])
@pytest.mark.parametrize(("width", "height", "expected"), CASES)
def test_plan_equals_the_reference(width, height, expected, config):
    plan = config.plan(width, height, TOKENS)
    (view,) = plan.views
    assert [view.width, view.height] == expected["size"]
    assert [view.cols, view.rows] == [plan.grid_w, plan.grid_h] == expected["grid"]
    assert plan.tokens == expected["tokens"]


def test_two_roundings_differ_where_a_side_ends_just_over_a_token():
    assert token_grid(2048, 514, PixtralConfig()) == token_grid(2048, 514, NEAREST) == (64, 17)  # 257
    assert token_grid(2048, 513, PixtralConfig()) == token_grid(2048, 513, NEAREST) == (64, 16)  # 256.5, to even
    assert token_grid(2047, 513, PixtralConfig()) == (64, 16)  # 256.6
    assert token_grid(2047, 513, NEAREST) == (64, 17)


def test_break_after_each_row_and_an_end_after_the_last():
    plan = PROFILE.slicing.plan(48, 32, TOKENS)
    assert [(run.token, run.count) for run in plan.layout] == [
        ("[IMG]", 3),
        ("[IMG_BREAK]", 1),
        ("[IMG]", 3),
        ("[IMG_END]", 1),
    ]
    assert [run.modality for run in plan.layout] == [Modality.IMAGE, Modality.MARKER] * 2


def test_merged_patches_make_larger_tokens():
    plan = PixtralConfig(longest=1540, patch=14, merge=2).plan(1000, 700, TOKENS)
    (view,) = plan.views
    assert (view.width, view.height) == (1008, 700)
    assert (view.grid_w, view.grid_h, view.tokens) == (72, 50, 36 * 25)


def test_sliver_without_pixels_is_refused_unless_rounding_keeps_one():
    with pytest.raises(InputError) as refused:
        PROFILE.slicing.plan(3000, 1, TOKENS)
    assert refused.value.reason == Reason.IMAGE_SLIVER
    assert token_grid(3000, 1, NEAREST) == (64, 1)
    assert token_grid(1024, 1, PixtralConfig()) == (64, 1)


@settings(deadline=None)
@given(sides, sides)
def test_tokens_are_the_views_and_one_mark_a_row(width, height):
    plan = NEAREST.plan(width, height, TOKENS)
    (view,) = plan.views
    assert view.box == (0, 0, width, height)
    assert view.cells == (0, 0, plan.grid_h, plan.grid_w)
    assert plan.placeholders == view.tokens == view.rows * view.cols
    assert plan.tokens == view.tokens + view.rows
    assert max(view.width, view.height) <= 1024


@settings(deadline=None)
@given(sides, sides)
def test_transposed_picture_has_the_transposed_grid(width, height):
    assert token_grid(width, height, NEAREST) == token_grid(height, width, NEAREST)[::-1]


@pytest.mark.parametrize("wrong", [{"longest": 0}, {"rounding": "up"}, {"tile": 16}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        PixtralConfig(**wrong)
