"""Phi-3.5-vision plans equal the reference's, newline and separator embeddings included."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from operators.profiles import load_profile
from operators.slicing.phi3_5_v import Phi35VConfig, hd_canvas
from pipeline.errors import InputError, Reason
from pipeline.types import Canvas, Modality, Place
from tests.rendering import rendered

GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden" / "slicing.yaml").read_text("utf-8"))["phi3_5_v"]
CASES = [
    pytest.param(table["max_tiles"], table["pictures"], image, expected, id=f"{table['max_tiles']}-{image}")
    for table in GOLDEN
    for image, expected in table["images"].items()
]
PROFILE = load_profile("phi3_5_v")
TOKENS = PROFILE.tokens.by_role()
places = st.sampled_from([Place(0, 1), Place(1, 2)])

sides = st.integers(1, 5000)
visible = st.tuples(sides, sides).filter(lambda size: max(size) <= 1000 * min(size))


@pytest.mark.parametrize(("max_tiles", "pictures", "image", "expected"), CASES)
def test_plan_equals_the_reference(max_tiles, pictures, image, expected):
    width, height = map(int, image.split("x"))
    plan = PROFILE.slicing.plan(width, height, TOKENS, Place(0, pictures))
    assert [plan.canvas.width, plan.canvas.height] == expected["size"]
    assert [plan.canvas.height // 336, plan.canvas.width // 336] == expected["grid"]
    assert plan.placeholders == plan.tokens == expected["placeholders"]
    assert len(plan.views) - 1 <= max_tiles


def test_picture_is_centred_on_white():
    assert hd_canvas(1280, 720, 336, 16) == Canvas(1680, 1008, 1680, 945, 0, 31, fill=0xFFFFFF, has_whole=True)
    assert hd_canvas(720, 1280, 336, 16) == Canvas(1008, 1680, 945, 1680, 31, 0, fill=0xFFFFFF, has_whole=True)


def test_portrait_tiles_are_within_one_of_those_that_the_reference_makes_lying():
    noise = np.random.default_rng(0).integers(0, 256, (640, 480, 3)).astype(np.uint8)
    plan = PROFILE.slicing.plan(480, 640, TOKENS, Place(0, 2))
    lying = Image.fromarray(noise).transpose(Image.Transpose.TRANSPOSE).resize((672, 504), Image.Resampling.BILINEAR)
    padded = Image.new("RGB", (672, 672), "white")
    padded.paste(lying, (0, 84))
    theirs = np.asarray(padded.transpose(Image.Transpose.TRANSPOSE)).astype(int)
    *tiles, _ = (np.asarray(view).astype(int) for view in rendered(Image.fromarray(noise), plan))
    ours = np.concatenate([np.concatenate(tiles[:2], axis=1), np.concatenate(tiles[2:], axis=1)])
    assert np.abs(ours - theirs).max() <= 1


def test_layout_is_tiles_then_separator_then_whole_with_a_newline_after_each_row():
    plan = PROFILE.slicing.plan(1200, 300, TOKENS, Place(0, 2))
    runs = [(run.view, run.count, run.modality) for run in plan.layout]
    mark = (-1, 1, Modality.MARKER)
    assert runs[: 12 * 5] == [*[(tile, 12, Modality.IMAGE) for tile in range(4)], mark] * 12
    assert runs[12 * 5] == mark
    assert runs[12 * 5 + 1 :] == [(4, 12, Modality.IMAGE), mark] * 12
    assert {run.token for run in plan.layout} == {"<|image|>"}
    assert [view.kind for view in plan.views] == ["tile"] * 4 + ["whole"]


def test_sliver_without_pixels_is_refused():
    assert PROFILE.slicing.plan(1344, 1, TOKENS, Place(0, 2)).canvas.resized_height == 1
    with pytest.raises(InputError) as refused:
        PROFILE.slicing.plan(1345, 1, TOKENS, Place(0, 2))
    assert refused.value.reason == Reason.IMAGE_SLIVER


@settings(deadline=None)
@given(visible, places)
def test_tiles_cover_picture_and_grid_exactly_once_row_major(size, place):
    plan = PROFILE.slicing.plan(*size, TOKENS, place)
    *tiles, whole = plan.views
    width, height = size
    assert whole.cells == (0, 0, plan.grid_h, plan.grid_w)
    order = [(view.row, view.col) for view in tiles]
    assert order == sorted(set(order))
    assert sum((r - l) * (b - t) for l, t, r, b in (view.box for view in tiles)) == width * height
    assert sum((b - t) * (r - l) for t, l, b, r in (view.cells for view in tiles)) == plan.grid_h * plan.grid_w
    assert all(0 <= l <= r <= width and 0 <= t <= b <= height for l, t, r, b in (view.box for view in plan.views))


@settings(deadline=None)
@given(visible, places)
def test_placeholders_are_the_views_tokens_and_the_marks(size, place):
    plan = PROFILE.slicing.plan(*size, TOKENS, place)
    marks = sum(run.count for run in plan.layout if run.modality == Modality.MARKER)
    assert marks == plan.grid_h + 1 + 12
    assert plan.placeholders == sum(view.tokens for view in plan.views) + marks
    for i, view in enumerate(plan.views):
        assert view.tokens == view.rows * view.cols == sum(run.count for run in plan.layout if run.view == i)


@settings(deadline=None)
@given(visible, places)
def test_transposed_picture_has_the_transposed_canvas(size, place):
    plan, turned = (PROFILE.slicing.plan(*shape, TOKENS, place) for shape in (size, size[::-1]))
    assert (plan.canvas.width, plan.canvas.height) == (turned.canvas.height, turned.canvas.width)


@pytest.mark.parametrize("wrong", [{"tile": 20}, {"max_tiles": 0}, {"num_crops": 16}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        Phi35VConfig(**wrong)
