"""Flat-coloured views are kept exactly, photographs nearly, and both at any size a plan can ask for."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, JpegImagePlugin

from operators.encode import FLAT_SHARE, WEBP_MAX_SIDE, encode_view, is_flat
from operators.raster import raster_of


def decoded(data):
    return Image.open(io.BytesIO(data))


def noise(width, height):
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (4, 5, 3)))
def test_flat_view_comes_back_exactly(blocks):
    view = Image.fromarray(blocks.repeat(7, 0).repeat(7, 1))
    data, form = encode_view(raster_of(view), from_jpeg=False)
    assert form == "webp"
    assert (decoded(data).format, decoded(data).mode) == ("WEBP", "RGB")
    assert decoded(data).tobytes() == view.tobytes()


def test_photograph_is_jpeg_95_without_subsampling():
    view = noise(112, 84)
    data, form = encode_view(raster_of(view), from_jpeg=False)
    assert form == "jpeg"
    found = decoded(data)
    assert (found.format, found.size) == ("JPEG", (112, 84))
    assert JpegImagePlugin.get_sampling(found) == 0
    reference = io.BytesIO()
    view.save(reference, "JPEG", quality=95, subsampling=0)
    assert found.quantization == decoded(reference.getvalue()).quantization


@pytest.mark.parametrize("size", [(WEBP_MAX_SIDE + 1, 28), (28, WEBP_MAX_SIDE + 1), (50176, 28)])
def test_flat_view_too_long_for_webp_is_png(size):
    view = Image.new("RGB", size, (1, 2, 3))
    data, form = encode_view(raster_of(view), from_jpeg=False)
    assert form == "png"
    assert decoded(data).format == "PNG"
    assert decoded(data).tobytes() == view.tobytes()


def test_longest_flat_view_of_webp_is_webp():
    assert encode_view(raster_of(Image.new("RGB", (WEBP_MAX_SIDE, 28))), from_jpeg=False)[1] == "webp"


def test_what_was_a_jpeg_is_one_again_however_flat():
    view = raster_of(Image.new("RGB", (56, 56), (7, 7, 7)))
    assert encode_view(view, from_jpeg=True)[1] == "jpeg"
    assert encode_view(view, from_jpeg=False)[1] == "webp"


@settings(max_examples=50, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 6), st.just(4)), elements=st.integers(0, 1)))
def test_the_byte_behind_a_colour_means_nothing(pixels):
    equal = (pixels[:, 1:, :3] == pixels[:, :-1, :3]).all(axis=-1)
    assert is_flat(pixels) == (not equal.size or equal.mean() >= FLAT_SHARE)


def test_half_of_the_pixels_decide():
    half = np.asarray(noise(101, 10)).copy()
    half[:, :51] = 9
    assert is_flat(raster_of(Image.fromarray(half)))
    half[:, 45:51] = np.asarray(noise(6, 10))
    assert not is_flat(raster_of(Image.fromarray(half)))
    assert is_flat(raster_of(Image.new("RGB", (1, 5))))


def test_same_view_gives_the_same_bytes():
    for view in (noise(56, 56), Image.new("RGB", (56, 56), (7, 7, 7))):
        assert encode_view(raster_of(view), from_jpeg=False) == encode_view(raster_of(view.copy()), from_jpeg=False)
