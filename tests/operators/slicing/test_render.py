"""Rendered views have the planned size and the reference recipe's pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from operators.raster import raster_of
from operators.slicing.llava_next import LlavaNextConfig
from operators.slicing.qwen import QwenConfig
from operators.slicing.regions import plan_regions
from operators.slicing.render import to_patches, to_planes
from pipeline.errors import InputError, Reason
from tests.operators.shrinking import shrunk_plan
from tests.rendering import rendered

TOKENS = {"placeholder": "<image>"}
QWEN = QwenConfig(patch=14, merge=2, min_pixels=3136, max_pixels=200704)
NEXT = LlavaNextConfig()
BICUBIC = Image.Resampling.BICUBIC


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width * 7919 + height).integers(0, 256, (height, width, 3), np.uint8))


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("size", [(100, 100), (300, 1200), (641, 479)])
def test_whole_view_is_one_bicubic_resize(size):
    picture = noise(*size)
    plan = QWEN.plan(*size, TOKENS)
    (image,) = rendered(picture, plan)
    assert same(image, picture.resize((plan.views[0].width, plan.views[0].height), BICUBIC))


@pytest.mark.parametrize("size", [(100, 100), (300, 200), (640, 480), (333, 1000), (1000, 50)])
def test_tiles_are_the_reference_recipe_resize_paste_crop(size):
    picture = noise(*size)
    plan = NEXT.plan(*size, TOKENS)
    canvas = Image.new("RGB", (plan.canvas.width, plan.canvas.height), (0, 0, 0))
    small = picture.resize((plan.canvas.resized_width, plan.canvas.resized_height), BICUBIC)
    canvas.paste(small, ((canvas.width - small.width) // 2, (canvas.height - small.height) // 2))
    expected = [picture.resize((336, 336), BICUBIC)]
    for top in range(0, canvas.height, 336):
        for left in range(0, canvas.width, 336):
            expected.append(canvas.crop((left, top, left + 336, top + 336)))
    images = rendered(picture, plan)
    assert len(images) == len(expected)
    assert all(same(a, b) for a, b in zip(images, expected, strict=True))


def test_padding_is_black():
    tile = rendered(Image.new("RGB", (640, 480), (255, 255, 255)), NEXT.plan(640, 480, TOKENS))[1]
    pixels = np.asarray(tile)
    assert (pixels[:84] == 0).all()
    assert (pixels[84:] == 255).all()


def test_region_is_its_box_resized_to_its_budget():
    picture = noise(900, 700)
    wide = QwenConfig(patch=14, merge=2, min_pixels=3136, max_pixels=12845056)
    plan = shrunk_plan(plan_regions(900, 700, wide, TOKENS), [64, 144, 400, 256], wide)
    assert [view.tokens for view in plan.views] == [60, 140, 208, 208]
    for view, image in zip(plan.views, rendered(picture, plan), strict=True):
        assert same(image, picture.resize((view.width, view.height), Image.Resampling.HAMMING, box=view.box))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.booleans())
def test_every_view_has_its_planned_size(width, height, tiled):
    if not tiled and max(width, height) > 200 * min(width, height):
        return
    plan = NEXT.plan(width, height, TOKENS) if tiled else plan_regions(width, height, QWEN, TOKENS, max_regions=9)
    images = rendered(Image.new("RGB", (width, height)), plan)
    assert [(image.width, image.height, image.mode) for image in images] == [
        (view.width, view.height, "RGB") for view in plan.views
    ]


def test_picture_of_another_size_than_planned_is_refused():
    with pytest.raises(InputError) as caught:
        rendered(noise(640, 481), NEXT.plan(640, 480, TOKENS))
    assert caught.value.reason == Reason.DECODE_ERROR
    assert "640x481" in caught.value.detail


@pytest.mark.parametrize(("rows", "cols", "patch", "merge"), [(4, 6, 14, 2), (2, 2, 16, 2), (3, 5, 4, 1), (6, 3, 2, 3)])
def test_patches_stand_in_the_order_of_the_reference(rows, cols, patch, merge):
    image = noise(cols * patch, rows * patch)
    rows, cols = rows // merge * merge, cols // merge * merge
    pixels = np.asarray(image)
    expected = bytearray()
    for block_row in range(0, rows, merge):
        for block_col in range(0, cols, merge):
            for row in range(block_row, block_row + merge):
                for col in range(block_col, block_col + merge):
                    for channel in range(3):
                        for y in range(row * patch, (row + 1) * patch):
                            expected += pixels[y, col * patch : (col + 1) * patch, channel].tobytes()
    assert to_patches(raster_of(image), patch, merge) == bytes(expected)


def test_planes_are_channel_first():
    image = noise(5, 3)
    planes = np.frombuffer(to_planes(raster_of(image)), np.uint8).reshape(3, 3, 5)
    assert tuple(planes[:, 2, 4]) == image.getpixel((4, 2))
