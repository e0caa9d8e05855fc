"""LLaVA-1.5 has 576 tokens whatever the picture, and shows all of it or its middle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from operators.slicing.llava_1_5 import Llava15Config
from pipeline.errors import InputError, Reason
from pipeline.types import Canvas, Modality, Run
from tests.rendering import rendered

TOKENS = {"placeholder": "<image>"}
PAD, CROP = Llava15Config(), Llava15Config(fit="crop")
SIZES = [(224, 224), (640, 480), (480, 640), (4032, 3024), (100, 100), (1000, 50), (1, 1)]

# Thinner ones are refused, which a test of its own shows: they would be enlarged beyond any memory.
sizes = st.tuples(st.integers(1, 6000), st.integers(1, 6000)).filter(lambda size: max(size) <= 3000 * min(size))
fits = st.sampled_from([PAD, CROP])


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("config", [PAD, CROP], ids=["pad", "crop"])
def test_every_picture_has_576_tokens_in_one_view(config, width, height):
    plan = config.plan(width, height, TOKENS)
    (view,) = plan.views
    assert plan.layout == (Run("<image>", Modality.IMAGE, 0, 576),)
    assert (view.kind, view.height, view.width) == ("whole", 336, 336)
    assert (view.grid_t, view.grid_h, view.grid_w, view.rows, view.cols, view.tokens) == (1, 24, 24, 24, 24, 576)
    assert view.cells == (0, 0, plan.grid_h, plan.grid_w) == (0, 0, 24, 24)


def test_padding_shows_the_whole_picture_in_the_middle_of_the_mean_colour():
    plan = PAD.plan(640, 480, TOKENS)
    assert plan.views[0].box == (0, 0, 640, 480)
    assert plan.canvas == Canvas(640, 640, 640, 480, 0, 80, fill=0x7A7468, has_whole=True)
    mean = (0.48145466, 0.4578275, 0.40821073)
    assert plan.canvas.fill.to_bytes(3, "big") == bytes(int(255 * channel) for channel in mean)


def test_padding_is_painted_before_the_picture_is_resized():
    pixels = np.asarray(rendered(Image.new("RGB", (100, 50), "white"), PAD.plan(100, 50, TOKENS))[0])
    assert pixels[0, 0].tolist() == [122, 116, 104]
    assert pixels[168, 168].tolist() == [255, 255, 255]


def test_cropping_keeps_the_middle_of_the_longer_side():
    plan = CROP.plan(640, 480, TOKENS)
    assert plan.canvas == Canvas(336, 336, 448, 336, -56, 0, has_whole=True)
    assert plan.views[0].box == (80, 0, 560, 480)
    assert CROP.plan(480, 640, TOKENS).views[0].box == (0, 80, 480, 560)


@given(sizes, fits)
def test_box_lies_inside_the_picture_and_shows_some_of_it(size, config):
    width, height = size
    left, top, right, bottom = config.plan(width, height, TOKENS).views[0].box
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@given(sizes)
def test_cropped_box_is_square_and_central_to_a_pixel(size):
    width, height = size
    left, top, right, bottom = CROP.plan(width, height, TOKENS).views[0].box
    short = min(width, height)
    slack = 1 + short / 336  # the longer edge is rounded down to a resized pixel, which may be many of the picture
    assert abs((right - left) - (bottom - top)) <= slack
    assert abs(left - (width - right)) <= slack + 1
    assert abs(top - (height - bottom)) <= slack + 1


@given(sizes, fits)
def test_transposed_picture_has_the_transposed_box(size, config):
    width, height = size
    left, top, right, bottom = config.plan(width, height, TOKENS).views[0].box
    assert config.plan(height, width, TOKENS).views[0].box == (top, left, bottom, right)


@pytest.mark.parametrize(("config", "width", "height"), [(PAD, 65000, 100), (CROP, 100, 400_000)])
def test_sliver_that_would_need_more_memory_than_a_picture_may_is_refused(config, width, height):
    with pytest.raises(InputError, match="at most 400,000,000 pixels expected") as refused:
        config.plan(width, height, TOKENS)
    assert refused.value.reason == Reason.IMAGE_SLIVER


@pytest.mark.parametrize("wrong", [{"patch": 337}, {"size": 0}, {"fit": "stretch"}, {"fill": 1 << 24}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        Llava15Config(**wrong)
