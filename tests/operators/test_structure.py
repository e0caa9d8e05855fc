"""A picture that is cut, or whose lengths lie, is found out without its pixels; a sound one never is."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from operators.pictures import load_upright, open_picture
from operators.structure import check_structure
from pipeline.errors import InputError

FORMS = {
    "baseline": ("JPEG", {}),
    "progressive": ("JPEG", {"progressive": True}),
    "restarts": ("JPEG", {"restart_marker_blocks": 1}),
    "commented": ("JPEG", {"comment": b"\xff\xd9 \xff\xda"}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {}),
    "lossless": ("WEBP", {"lossless": True, "exif": b"Exif\0\0odd"}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "lzw": ("TIFF", {"compression": "tiff_lzw"}),
}


def noise(width=40, height=30):
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


def saved(form, **options):
    buffer = io.BytesIO()
    noise().save(buffer, form, **options)
    return buffer.getvalue()


DATA = {name: saved(form, **options) for name, (form, options) in FORMS.items()}
DATA["mpo"] = saved("MPO", save_all=True, append_images=[noise(20, 10)])
DATA["animated"] = saved("GIF", save_all=True, append_images=[noise(), noise()])


def fault(data, check=check_structure):
    try:
        check(open_picture(data, 10**6), data)
    except InputError as error:
        return error.detail
    return ""


@pytest.mark.parametrize("name", DATA)
def test_sound_pictures_pass(name):
    assert fault(DATA[name]) == ""


@pytest.mark.parametrize("name", sorted(DATA.keys() - {"mpo", "tiff", "lzw"}))
def test_a_picture_cut_anywhere_is_damaged(name):
    data = DATA[name]
    assert all(fault(data[:end]) for end in range(2, len(data)))


@pytest.mark.parametrize("name", ["tiff", "lzw"])
def test_a_tiff_cut_in_its_pixels_or_its_tags_is_damaged(name):
    data = DATA[name]
    tags = open_picture(data, 10**6).tag_v2
    end = max(place + size for place, size in zip(tags[273], tags[279], strict=True))
    assert all(fault(data[:cut]) for cut in range(2, end))


@pytest.mark.parametrize("name", ["baseline", "progressive", "webp", "gif", "bmp"])
@pytest.mark.parametrize("more", [b"\0", b"behind it"])
def test_what_stands_behind_a_picture_is_not_its_damage(name, more):
    assert fault(DATA[name] + more) == ""


def test_a_length_that_lies_is_damage():
    data = bytearray(DATA["baseline"])
    place = data.index(b"\xff\xdb") + 2
    for wrong in (0, 1, 66, 68, 0xFFFF):
        data[place : place + 2] = wrong.to_bytes(2, "big")
        assert fault(bytes(data)), wrong


def test_the_place_is_told():
    data = DATA["baseline"]
    scan = data.index(b"\xff\xda")
    start = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    assert fault(data[:-2]) == f"JPEG ends inside the coded data that begins at byte {start}"
    assert fault(DATA["gif"][:-1]) == "GIF ends without its trailer"
    assert fault(DATA["bmp"][:-1]) == f"BMP has {len(DATA['bmp']) - 1} bytes of {len(DATA['bmp'])}"


def test_a_second_frame_of_another_size_is_damage():
    data, frame = bytearray(DATA["baseline"]), DATA["baseline"].index(b"\xff\xc0")
    again = bytearray(data[frame : frame + 19])
    again[5:7] = (31).to_bytes(2, "big")
    data[frame + 19 : frame + 19] = again
    assert "in a picture of 40x31" in fault(bytes(data))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(DATA)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4),
)
def test_damage_raises_nothing_but_input_errors(name, changes):
    data = bytearray(DATA[name])
    for place, change in changes:
        data[int(place * len(data))] ^= change
    fault(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["baseline", "progressive", "restarts", "webp", "gif"]), st.floats(0.1, 0.99))
def test_what_decoding_refuses_for_being_cut_is_refused(name, share):
    data = DATA[name][: int(share * len(DATA[name]))]
    if fault(data, check=lambda picture, _: load_upright(picture)):
        assert fault(data)
