"""Every image is checked, its upright size kept, and its small pictures made; the encoded bytes stop here."""

import hashlib
import io
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from operators.decode import COARSE_PIXELS, COLOUR_SIDE, FINE_PIXELS, Decode, Headers, Measure
from operators.pictures import load_upright, open_picture, to_rgb
from pipeline.errors import Reason
from pipeline.guard import run_here
from pipeline.schema import DECODED, READ

EXIF_ORIENTATION = 0x0112
MODES = [(None, None), (None, "structure"), (None, "decode"), (COARSE_PIXELS, None), (FINE_PIXELS, "decode")]
"""(grey_pixels, check)"""


def gradient(width, height):
    ramp = np.linspace(0, 255, width)[None, :] * np.linspace(0.2, 1, height)[:, None]
    return Image.fromarray(ramp.astype(np.uint8)).convert("RGB")


def noise(width=120, height=90):
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8))


def saved(image, form="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def rows_of(*documents, **changes):
    """One row per document, a document being image bytes and texts in order."""
    rows = []
    for ordinal, parts in enumerate(documents):
        segments = [
            {
                "kind": 1 if isinstance(part, bytes) else 0,
                "text": None if isinstance(part, bytes) else part,
                "member": f"{ordinal}.{i}",
                "offset": 512 * (i + 1),
                "size": len(part),
            }
            for i, part in enumerate(parts)
        ]
        payloads = [part for part in parts if isinstance(part, bytes)]
        rows.append(
            {
                "unit": 0,
                "shard": "0.tar",
                "shard_number": 0,
                "ordinal": ordinal,
                "key": str(ordinal),
                "segments": segments,
                "dropped": [],
                "num_derived": 0,
                "withheld": False,
                "rejection": None,
                "shard_end": None,
                "payloads": payloads,
            }
            | changes
        )
    return pa.Table.from_pylist(rows, READ)


def decode(table, grey_pixels=COARSE_PIXELS, check="decode", limit=10**8):
    task = Measure(max_image_pixels=limit, grey_pixels=grey_pixels, check=check)
    decoded = Decode(partial(run_here, task))(table)
    assert decoded.schema == DECODED
    return decoded.to_pylist()


def small_of(data, grey_pixels=COARSE_PIXELS):
    """(picture, luminance [h, w], colours [h, w, 3]) of one image."""
    (row,) = decode(rows_of([data]), grey_pixels)
    assert row["rejection"] is None
    (picture,), (small,) = row["pictures"], row["smalls"]
    grey = np.frombuffer(small["grey"], np.uint8).reshape(small["height"], small["width"])
    colour = np.frombuffer(small["colour"], np.uint8).reshape(small["colour_height"], small["colour_width"], 3)
    return picture, grey, colour


def without_digest(picture):
    """Of a picture that is not to be written as ids."""
    assert picture["copy"] is picture["codes"] is None
    return {name: picture[name] for name in ("width", "height", "format")}


def test_a_digest_is_of_the_encoded_bytes():
    one, other = saved(noise(), "PNG"), saved(noise(), "JPEG")
    (first,), (second, third) = (row["pictures"] for row in decode(rows_of([one], [other, one])))
    assert first == third
    assert first["digest"] != second["digest"]
    assert first["digest"] == hashlib.blake2b(one, digest_size=16).digest()


@pytest.mark.parametrize(("grey_pixels", "check"), MODES)
def test_sound_images_keep_size_and_format_and_lose_their_bytes(grey_pixels, check):
    table = rows_of(["a", saved(noise(), "PNG"), "b", saved(noise(64, 32), "WEBP")], ["only text"])
    with_images, without = decode(table, grey_pixels, check)
    assert [without_digest(picture) for picture in with_images["pictures"]] == [
        {"width": 120, "height": 90, "format": "png"},
        {"width": 64, "height": 32, "format": "webp"},
    ]
    assert len(with_images["smalls"]) == (2 if grey_pixels else 0)
    assert (without["pictures"], without["smalls"], without["rejection"]) == ([], [], None)
    assert [segment["text"] for segment in with_images["segments"]] == ["a", None, "b", None]


def test_two_pictures_in_one_jpeg_count_as_jpeg():
    data = saved(noise(), "MPO", save_all=True, append_images=[noise(10, 10)])
    assert [*map(without_digest, decode(rows_of([data]))[0]["pictures"])] == [
        {"width": 120, "height": 90, "format": "jpeg"}
    ]


SHRUNK = {
    (120, 90): ((120, 90), (120, 90)),
    (1800, 1200): ((886, 591), (511, 341)),  # 523,626 pixels of 524,288; a share of 512 rounded down
}
"""Sizes of luminance and of colours by the picture's own."""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("size", SHRUNK)
def test_size_and_small_pictures_are_upright(form, orientation, size):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    options = {"tiffinfo": {EXIF_ORIENTATION: orientation}} if form == "TIFF" else {"exif": exif}
    data = saved(gradient(*size), form, **options)
    picture, grey, colour = small_of(data)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert (picture["width"], picture["height"]) == upright.size
    assert decode(rows_of([data]), grey_pixels=None, check=None)[0]["pictures"] == [picture]
    shapes = [found.shape[1::-1] for found in (grey, colour)]
    assert shapes == [shape[:: 1 if orientation < 5 else -1] for shape in SHRUNK[size]]
    for found, whole in ((grey, upright.convert("L")), (colour, upright)):
        reference = np.asarray(whole.resize(found.shape[1::-1], Image.Resampling.BOX)).astype(int)
        assert np.abs(reference - found).max() <= 4


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([COARSE_PIXELS, FINE_PIXELS]))
def test_small_pictures_have_at_most_their_pixels_and_are_never_enlarged(form, width, height, most):
    _, grey, colour = small_of(saved(Image.new("L", (width, height), 128), form), most)
    rows, cols = grey.shape
    if width * height <= most:
        assert (rows, cols) == (height, width)
    assert rows * cols <= most
    assert min(width * height, most) <= (rows + 1) * (cols + 1)
    assert abs(rows * width - cols * height) <= 2 * max(width, height)
    assert COLOUR_SIDE - 1 <= max(colour.shape) <= COLOUR_SIDE or colour.shape[:2] == (rows, cols)
    assert (grey == 128).all()
    assert (colour == 128).all()


@pytest.mark.parametrize("most", [COARSE_PIXELS, FINE_PIXELS])
@pytest.mark.parametrize("size", [(725, 725), (1448, 1448), (1449, 1449), (3999, 4000), (6144, 100), (9000, 400)])
def test_jpeg_is_decoded_as_small_as_its_luminance_allows_and_no_smaller(size, most, monkeypatch):
    shapes = []
    loaded = Image.Image.resize

    def resize(self, target, *arguments, **options):
        shapes.append((self.size, target))
        return loaded(self, target, *arguments, **options)

    monkeypatch.setattr(Image.Image, "resize", resize)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    small_of(saved(Image.new("L", size, 5), "JPEG", exif=exif), most)
    (source, target), (again, _) = shapes
    assert source == again  # the colours come from the same decoding
    assert source[0] >= target[0]
    assert source[1] >= target[1]
    assert max(source) <= 2 * max(target)
    scale = min(1, (most / (size[0] * size[1])) ** 0.5)
    assert target == (int(size[1] * scale), int(size[0] * scale))


def test_small_pictures_of_colour_are_as_to_rgb_has_them():
    for form, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        _, grey, colour = small_of(saved(noise(), form, **options))
        assert np.array_equal(grey, np.asarray(noise().convert("L")))
        assert np.array_equal(colour, np.asarray(noise()))
    clear = Image.new("RGBA", (9, 9), (0, 0, 0, 0))
    assert all((found == 255).all() for found in small_of(saved(clear, "PNG"))[1:])
    marked = saved(Image.new("L", (9, 9), 7), "PNG", transparency=7)
    assert all((found == 255).all() for found in small_of(marked)[1:])
    _, grey, colour = small_of(saved(noise().convert("CMYK"), "JPEG", quality=95))
    full = to_rgb(load_upright(open_picture(saved(noise().convert("CMYK"), "JPEG", quality=95), 10**8)))
    assert np.array_equal(grey, np.asarray(full.convert("L")))
    assert np.array_equal(colour, np.asarray(full))


def test_same_bytes_give_the_same_row_whatever_stands_beside():
    jpeg, png = saved(noise(1700, 900)), saved(noise(), "PNG")
    alone = [decode(rows_of([data]))[0]["smalls"] for data in (jpeg, png)]
    assert [row["smalls"] for row in decode(rows_of([jpeg], [png]))] == alone
    assert [row["smalls"] for row in decode(rows_of([png], [jpeg]))] == alone[::-1]


@pytest.mark.parametrize(("grey_pixels", "check"), MODES[1:])
@pytest.mark.parametrize("size", [(120, 90), (1800, 1200)])
@pytest.mark.parametrize("progressive", [False, True])
def test_truncated_jpeg_is_rejected_wherever_pixels_are_read(grey_pixels, check, size, progressive):
    data = saved(noise(*size), progressive=progressive)
    for share in (0.5, 0.9, 0.99):
        (row,) = decode(rows_of(["text", data[: int(len(data) * share)]]), grey_pixels, check)
        assert row["rejection"]["reason"] == Reason.DECODE_ERROR
        assert (row["pictures"], row["smalls"]) == ([], [])


def test_truncated_jpeg_passes_where_only_write_will_decode():
    data = saved(noise())
    (row,) = decode(rows_of([data[: len(data) // 2]]), grey_pixels=None, check=None)
    assert row["rejection"] is None
    assert [*map(without_digest, row["pictures"])] == [{"width": 120, "height": 90, "format": "jpeg"}]


@pytest.mark.parametrize(("grey_pixels", "check"), MODES)
def test_damaged_png_is_rejected_in_every_mode(grey_pixels, check):
    data = saved(noise(), "PNG")
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    for broken in (data[: len(data) // 2], data[:-1], bytes(flipped)):
        (row,) = decode(rows_of([broken]), grey_pixels, check)
        assert row["rejection"]["reason"] == Reason.DECODE_ERROR


@pytest.mark.parametrize(("grey_pixels", "check"), MODES)
def test_rejection_names_the_guilty_segment_and_its_bytes(grey_pixels, check):
    table = rows_of([saved(noise(), "PNG"), "text", b"%PDF-1.7", b"%PDF-1.7"], [saved(noise(), "PNG")])
    bad, good = decode(table, grey_pixels, check)
    rejection = bad["rejection"]
    assert (rejection["operator"], rejection["reason"]) == ("decode", Reason.FORMAT_NOT_ALLOWED)
    assert (rejection["segment"], rejection["member"]) == (2, "0.2")
    assert (rejection["offset"], rejection["size"]) == (1536, 8)
    assert len(bad["segments"]) == 4
    assert good["rejection"] is None


def test_image_over_the_limit_is_rejected_by_its_header():
    (row,) = decode(rows_of([saved(noise(), "PNG")[:60]]), limit=120 * 90 - 1)
    assert row["rejection"]["reason"] == Reason.IMAGE_TOO_LARGE
    assert "120x90" in row["rejection"]["detail"]


def test_withheld_rejected_and_end_rows_pass_untouched():
    earlier = {
        "operator": "read",
        "reason": "x",
        "detail": "",
        "member": "",
        "offset": 0,
        "size": 0,
        "segment": None,
        "rules": [],
    }
    end = {"rows": 1, "sha256": "0", "bytes": 1, "ignored": 0}
    for changes in ({"withheld": True}, {"rejection": earlier}, {"shard_end": end}):
        (row,) = decode(rows_of([b"no picture"], **changes))
        assert {name: row[name] for name in changes} == changes
        assert row["rejection"] == changes.get("rejection")
        assert (row["pictures"], row["smalls"]) == ([], [])


def test_sliver_keeps_one_pixel_of_its_short_side():
    picture, grey, colour = small_of(saved(Image.new("L", (1, 65535), 9), "PNG"))
    assert (picture["width"], picture["height"]) == (1, 65535)
    assert (grey.shape, colour.shape) == ((65535, 1), (512, 1, 3))


def test_full_screen_is_kept_pixel_for_pixel_where_legibility_is_asked():
    data = saved(noise(1920, 1080), "PNG")
    assert np.array_equal(small_of(data, FINE_PIXELS)[1], np.asarray(noise(1920, 1080).convert("L")))
    assert small_of(data)[1].shape == (543, 965)


def test_headers_of_jpegs_and_pngs_need_no_child_and_other_pictures_get_one():
    measure = Measure(max_image_pixels=10**6, grey_pixels=None, check="structure")
    asked = []

    def guard():
        def measured(table):
            asked.append(table.num_rows)
            return run_here(measure, table)

        return measured

    plain = [saved(noise(), "JPEG"), saved(noise(), "PNG"), saved(noise(), "PNG")[:-20]]
    mixed = [saved(noise(), "GIF"), plain[0], b"no picture", plain[2], saved(noise(), "WEBP")]
    headers = Headers(measure, guard)
    for pictures, handed_on in ((plain, []), (mixed, [3])):
        table = pa.table({"data": pa.array(pictures, pa.large_binary())})
        assert list(map(str, headers(table))) == list(map(str, run_here(measure, table)))
        assert asked == handed_on
