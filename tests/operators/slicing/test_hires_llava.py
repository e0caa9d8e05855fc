"""HiRes-LLaVA shows the whole picture first, then slices that make up one raster."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.profiles import load_profile
from operators.slicing.hires_llava import HiresLlavaConfig
from pipeline.types import Canvas, Modality, Run

TOKENS = {"placeholder": "<image>"}
HIRES = HiresLlavaConfig()

sides = st.integers(1, 5000)


def test_square_picture_has_a_whole_view_and_a_raster_of_2x2_slices():
    plan = HIRES.plan(672, 672, TOKENS)
    assert (plan.grid_h, plan.grid_w) == (48, 48)
    assert [(view.kind, view.row, view.col) for view in plan.views] == [
        ("whole", 0, 0),
        ("tile", 0, 0),
        ("tile", 0, 1),
        ("tile", 1, 0),
        ("tile", 1, 1),
    ]
    assert plan.canvas == Canvas(672, 672, 672, 672, 0, 0)
    assert plan.views[3].cells == (24, 0, 48, 24)
    assert plan.views[3].cells[0] * plan.grid_w + plan.views[3].cells[1] == 1152
    assert plan.layout == tuple(Run("<image>", Modality.IMAGE, i, 576) for i in range(5))


def test_small_picture_is_whole_alone():
    plan = HIRES.plan(300, 300, TOKENS)
    assert [(view.kind, view.tokens) for view in plan.views] == [("whole", 576)]
    assert plan.canvas is None


def test_markers_enclose_the_layout_where_a_family_has_them():
    plan = HIRES.plan(640, 480, TOKENS | {"image_start": "<im_start>", "image_end": "<im_end>"})
    assert (plan.layout[0].token, plan.layout[-1].token) == ("<im_start>", "<im_end>")
    assert (plan.placeholders, plan.tokens) == (2880, 2882)


def test_profile_loads():
    assert load_profile("hires_llava").slicing == HIRES


@given(sides, sides, st.integers(1, 16))
def test_slices_cover_picture_and_raster_exactly_once(width, height, max_slices):
    plan = HiresLlavaConfig(max_slices=max_slices).plan(width, height, TOKENS)
    assert plan.views[0].box == (0, 0, width, height)
    assert plan.views[0].cells == (0, 0, plan.grid_h, plan.grid_w)
    slices = plan.views[1:] or plan.views
    assert len(slices) <= max_slices
    assert [(view.row, view.col) for view in slices] == sorted((view.row, view.col) for view in slices)
    raster = np.zeros((plan.grid_h, plan.grid_w), int)
    for view in slices:
        top, left, bottom, right = view.cells
        raster[top:bottom, left:right] += 1
        assert 0 <= view.box[0] <= view.box[2] <= width
        assert 0 <= view.box[1] <= view.box[3] <= height
    assert (raster == 1).all()
    assert sum((view.box[2] - view.box[0]) * (view.box[3] - view.box[1]) for view in slices) == width * height
    assert plan.placeholders == sum(view.tokens for view in plan.views) == 576 * len(plan.views)


@pytest.mark.parametrize("wrong", [{"max_slices": 0}, {"patch": 337}, {"tile": 0}, {"pinpoints": []}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        HiresLlavaConfig(**wrong)
