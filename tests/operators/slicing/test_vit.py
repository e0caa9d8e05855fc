"""A plain vision transformer has as many tokens as its square has patches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.profiles import load_profile
from operators.slicing.vit import VitConfig
from pipeline.types import Modality, Run

TOKENS = {"placeholder": "<image>"}


@pytest.mark.parametrize(
    ("size", "patch", "side"), [(224, 16, 14), (336, 14, 24), (384, 16, 24), (384, 14, 27), (448, 14, 32)]
)
def test_tokens_are_the_whole_patches_of_the_square(size, patch, side):
    plan = VitConfig(size=size, patch=patch).plan(640, 480, TOKENS)
    (view,) = plan.views
    assert (view.height, view.width, view.grid_h, view.grid_w) == (size, size, side, side)
    assert plan.layout == (Run("<image>", Modality.IMAGE, 0, side * side),)
    assert (plan.grid_h, plan.grid_w, plan.patches) == (side, side, side * side)


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_every_shape_is_stretched_to_the_same_view(width, height):
    plan = VitConfig().plan(width, height, TOKENS)
    assert plan.views[0].box == (0, 0, width, height)
    assert plan.canvas is None
    assert plan.tokens == 196


def test_profile_gives_rows_and_columns_as_positions():
    profile = load_profile("vit")
    assert profile.slicing == VitConfig()
    assert profile.positions.rule == "2d"


@pytest.mark.parametrize("wrong", [{"patch": 225}, {"size": 0}, {"resample": "nearest"}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        VitConfig(**wrong)
