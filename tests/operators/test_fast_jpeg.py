"""With simplejpeg and without it a picture has the same pixels, and a damaged one the same rejection."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from operators import fast_jpeg
from operators.pictures import full_raster, open_picture
from pipeline.errors import InputError

simplejpeg = pytest.importorskip("simplejpeg")


def smooth(width, height):
    cells = np.random.default_rng(width).integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def saved(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


PICTURES = {
    **{
        f"{size}, {sampling}, {'progressive' if is_progressive else 'baseline'}": saved(
            smooth(*size), subsampling=sampling, progressive=is_progressive
        )
        for size in [(1, 1), (7, 3), (97, 65), (130, 33)]
        for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")
        for is_progressive in (False, True)
    },
    "4:4:0": simplejpeg.encode_jpeg(np.ascontiguousarray(smooth(97, 65)), 90, "RGB", "440"),
    "grey": saved(smooth(97, 65).convert("L")),
    "cmyk": saved(smooth(97, 65).convert("CMYK")),
    "rgb": saved(smooth(97, 65), keep_rgb=True),
    "restarts": saved(smooth(97, 65), restart_marker_blocks=2),
    "coarse": saved(smooth(97, 65), quality=5),
    **{f"turned {n}": saved(smooth(97, 65), **turned(n)) for n in range(2, 9)},
}


def judged(data, *, is_fast, monkeypatch):
    """The pixels of a picture, or why it is rejected."""
    with monkeypatch.context() as patched:
        if not is_fast:
            patched.setattr(fast_jpeg, "simplejpeg", None)
        try:
            raster = full_raster(open_picture(data, 10**7), data)
        except InputError as error:
            return error.reason, error.detail
        return raster.shape, raster[..., :3].tobytes()


def assert_alike(data, monkeypatch):
    quick, slow = (judged(data, is_fast=is_fast, monkeypatch=monkeypatch) for is_fast in (True, False))
    assert quick == slow


@pytest.mark.parametrize("name", PICTURES)
def test_sound_pictures_are_the_same(name, monkeypatch):
    assert_alike(PICTURES[name], monkeypatch)


def test_plain_pictures_take_the_fast_way_and_others_do_not():
    for name, data in PICTURES.items():
        found = fast_jpeg.plain_jpeg(open_picture(data, 10**7), data)
        assert (found is None) == (name == "cmyk"), name


@pytest.mark.parametrize("name", ["(97, 65), 4:2:0, baseline", "(97, 65), 4:2:0, progressive", "restarts", "grey"])
def test_cut_pictures_are_judged_alike(name, monkeypatch):
    data = PICTURES[name]
    for end in {*range(2, len(data), 37), len(data) - 2, len(data) - 1}:
        assert_alike(data[:end], monkeypatch)
    assert_alike(data + b"more", monkeypatch)


flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4)


def check_flipped(name, changes):
    data = bytearray(PICTURES[name])
    for place, change in changes:
        data[int(place * len(data))] ^= change
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert_alike(bytes(data), monkeypatch)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(PICTURES)), flips)
def test_damaged_pictures_are_judged_alike(name, changes):
    check_flipped(name, changes)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(st.sampled_from(sorted(PICTURES)), flips)
def test_many_damaged_pictures_are_judged_alike(name, changes):
    check_flipped(name, changes)
