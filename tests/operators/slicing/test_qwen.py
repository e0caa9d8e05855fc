"""Qwen-VL plans equal the reference's, and cells are cut from the picture pixel for pixel where they can be."""

from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from operators.slicing import SCHEMES, SchemeConfig
from operators.slicing.qwen import QwenConfig, border, region_view, rendered, smart_resize
from pipeline.errors import InputError, Reason
from pipeline.types import Modality, Run

GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden" / "slicing.yaml").read_text("utf-8"))["qwen"]
CASES = [
    pytest.param(table, *map(int, image.split("x")), expected, id=f"{table['patch']}-{table['min_pixels']}-{image}")
    for table in GOLDEN
    for image, expected in table["images"].items()
]
TOKENS = {"placeholder": "<|image_pad|>", "image_start": "<|vision_start|>", "image_end": "<|vision_end|>"}
QWEN25 = QwenConfig(patch=14, merge=2, min_pixels=3136, max_pixels=12845056)


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


@pytest.mark.parametrize(
    ("length", "cells", "found"),
    [
        (84, 3, [0, 28, 56, 84]),
        (97, 3, [0, 28, 56, 97]),
        (98, 3, [0, 28, 56, 98]),  # half a token more: the last of three has it
        (98, 4, [0, 28, 56, 84, 98]),  # and as well half a token less
        (99, 3, [0, 33, 66, 99]),
        (69, 3, [0, 23, 46, 69]),
        (70, 3, [0, 28, 56, 70]),
        (5, 4, [0, 1, 2, 3, 5]),
    ],
)
def test_side_is_cut_at_whole_tokens_where_only_its_last_cell_gives_way(length, cells, found):
    assert [border(length, cells, 28, cell) for cell in range(cells + 1)] == found


@given(st.integers(1, 10_000), st.integers(1, 400), st.sampled_from([28, 32]))
def test_borders_rise_from_nothing_to_the_whole_side_and_no_cell_of_a_long_one_is_empty(length, cells, factor):
    found = [border(length, cells, factor, cell) for cell in range(cells + 1)]
    assert (found[0], found[-1]) == (0, length)
    lengths = [after - before for before, after in pairwise(found)]
    assert min(lengths) >= (1 if length >= cells else 0)
    if 2 * abs(length - cells * factor) <= factor:
        assert lengths[:-1] == [factor] * (cells - 1)
        assert factor / 2 <= lengths[-1] <= 3 * factor / 2


def test_view_of_cells_has_their_box_and_their_native_size():
    view = region_view("region", (2, 1), (3, 0, 5, 4), (122, 150), (5, 4), QWEN25)
    assert (view.kind, view.row, view.col, view.cells) == ("region", 2, 1, (3, 0, 5, 4))
    assert view.box == (0, 84, 122, 150)
    assert (view.height, view.width, view.grid_t, view.grid_h, view.grid_w) == (56, 112, 1, 4, 8)
    assert (view.rows, view.cols, view.tokens) == (2, 4, 8)


def test_rendered_view_changes_its_size_and_nothing_else():
    view = region_view("region", (0, 0), (0, 0, 5, 4), (112, 140), (5, 4), QWEN25)
    small = rendered(view, 3, 1, QWEN25)
    assert (small.height, small.width, small.grid_t, small.grid_h, small.grid_w) == (84, 28, 1, 6, 2)
    assert (small.rows, small.cols, small.tokens) == (3, 1, 3)
    assert rendered(small, 5, 4, QWEN25) == view


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
