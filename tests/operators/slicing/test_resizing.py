"""Two ways of resizing that agree to the last few shades, and one of which costs an import."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from operators.raster import picture_of, raster_of
from operators.slicing.resizing import FILTERS, resize_by_pillow, resizer
from operators.slicing.resizing_torch import resize_by_torch

ROOT = Path(__file__).resolve().parents[3]
SIZES = [(640, 480, 336, 252), (333, 1000, 28, 84), (100, 100, 364, 364), (1, 7, 28, 28), (1200, 40, 560, 28)]


def noise(width, height):
    rng = np.random.default_rng(width * 7919 + height)
    smooth = Image.fromarray(rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8))
    smooth = np.asarray(smooth.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray(np.clip(smooth + rng.integers(-20, 20, smooth.shape), 0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("resample", ["bicubic", "bilinear", "lanczos"])
def test_torch_is_a_shade_or_two_from_pillow_in_a_few_values(size, resample):
    width, height, *wanted = size
    raster = raster_of(noise(width, height))
    ours, theirs = (f(raster, tuple(wanted), resample) for f in (resize_by_torch, resize_by_pillow))
    apart = np.abs(ours.astype(int) - theirs)[..., :3]
    assert ours.shape == (wanted[1], wanted[0], 4)
    assert apart.max() <= (8 if resample == "lanczos" else 2)  # 8 where a picture becomes a twelfth as wide
    assert (apart > 0).mean() < 0.15
    assert (apart > 1).mean() < 0.006


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("resample", ["bicubic", "bilinear", "lanczos"])
def test_torch_gives_what_it_gives_of_three_planes(size, resample):
    width, height, *wanted = size
    picture = noise(width, height)
    planes = torch.from_numpy(np.asarray(picture).transpose(2, 0, 1)[None].copy())
    theirs = torch.nn.functional.interpolate(planes, wanted[::-1], mode=resample, antialias=True)
    ours = resize_by_torch(raster_of(picture), tuple(wanted), resample)
    assert np.array_equal(ours[..., :3], theirs[0].permute(1, 2, 0).numpy())


def test_a_filter_that_torch_has_not_is_pillows():
    picture = noise(300, 200)
    expected = picture.resize((70, 50), FILTERS["hamming"])
    assert picture_of(resize_by_torch(raster_of(picture), (70, 50), "hamming")).tobytes() == expected.tobytes()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_pillow_is_pillow(width, height, new_width, new_height):
    picture = noise(width, height)
    expected = picture.resize((new_width, new_height), FILTERS["bicubic"])
    found = picture_of(resize_by_pillow(raster_of(picture), (new_width, new_height), "bicubic"))
    assert found.tobytes() == expected.tobytes()


def test_memory_that_runs_out_is_told_as_such():
    with pytest.raises(MemoryError):
        resize_by_torch(raster_of(noise(8, 8)), (1 << 24, 1 << 24), "bicubic")


def test_threads_stay_as_they_were():
    before = torch.get_num_threads()
    resizer("torch")(raster_of(noise(30, 20)), (10, 10), "bicubic")
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("name", "expected"), [("pillow", "False"), ("torch", "True")])
def test_only_whoever_resizes_with_torch_imports_it(name, expected):
    code = (
        "import sys; from operators.drawing import Draw; "
        f"Draw(max_image_pixels=9, pixels='encoded', patches=None, resize='{name}'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
