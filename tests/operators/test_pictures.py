"""Pictures open by the stated policy: what is allowed, how large, and how it becomes upright 8-bit RGB."""

import io
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from operators.pictures import PNG_SIGNATURE, _size_of_webp, load_upright, open_picture, to_rgb, upright_size
from pipeline.errors import InputError, Reason

LIMIT = 100_000_000
EXIF_ORIENTATION = 0x0112
ALLOWED = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def noise(width=50, height=30):
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8))


def saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def opened(data):
    """The picture as `write` sees it, after the check that `decode` planned it at the same size."""
    picture = open_picture(data, LIMIT)
    size = upright_size(picture, data)
    rgb = to_rgb(load_upright(picture))
    assert rgb.mode == "RGB"
    assert rgb.size == size
    assert upright_size(open_picture(data, LIMIT), data) == size
    return rgb


def refused(data, limit=LIMIT):
    """The reason for which a picture is refused, wherever that shows."""
    with pytest.raises(InputError) as caught:
        to_rgb(load_upright(open_picture(data, limit)))
    return caught.value.reason


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *chunks, colour=0):
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"".join([PNG_SIGNATURE, chunk(b"IHDR", header), *chunks, chunk(b"IEND", b"")])


def exif(orientation):
    found = Image.Exif()
    found[EXIF_ORIENTATION] = orientation
    return found


@pytest.mark.parametrize("form", ALLOWED)
def test_every_allowed_format_opens(form):
    rgb = opened(saved(noise(), form))
    assert rgb.size == (50, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_each_exif_orientation_is_applied_as_exif_transpose_does(form, orientation):
    options = {"tiffinfo": {EXIF_ORIENTATION: orientation}} if form == "TIFF" else {"exif": exif(orientation)}
    data = saved(noise(), form, **options)
    rgb = opened(data)
    assert rgb.size == ((30, 50) if orientation > 4 else (50, 30))
    assert rgb.tobytes() == ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB").tobytes()


def test_compressed_tiff_is_rotated_once():
    data = saved(noise(), "TIFF", tiffinfo={EXIF_ORIENTATION: 6}, compression="tiff_lzw")
    assert opened(data).tobytes() == noise().transpose(Image.Transpose.ROTATE_270).tobytes()


def xmp_png():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    return saved(noise(), "PNG", pnginfo=info)


def profile_png(text=None):
    body = exif(6).tobytes().hex()
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", text or f"\nexif\n{len(body) // 2:8}\n{body}\n")
    return saved(noise(), "PNG", pnginfo=info)


def late_exif_png():
    data = saved(noise(), "PNG")
    return data[:-12] + chunk(b"eXIf", exif(6).tobytes().removeprefix(b"Exif\0\0")) + data[-12:]


@pytest.mark.parametrize("make", [xmp_png, profile_png, late_exif_png])
def test_orientation_anywhere_in_a_png_rotates_it_in_plan_and_pixels_alike(make):
    assert opened(make()).tobytes() == noise().transpose(Image.Transpose.ROTATE_270).tobytes()


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_orientation_in_xmp_rotates(form):
    assert opened(saved(noise(), form, xmp=b'<x tiff:Orientation="8"/>')).size == (30, 50)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "broken",
    [b"Exif\0\0garbagegarbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\0\x01"],
)
def test_broken_exif_leaves_the_picture_as_it_is(broken):
    data = saved(noise(), "JPEG", exif=broken)
    assert opened(data).tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()
    assert opened(profile_png("\nexif\n  8\nzzzz\n")).tobytes() == noise().tobytes()


@pytest.mark.parametrize("value", [0, 9, 200])
def test_unknown_orientation_rotates_nothing(value):
    assert opened(saved(noise(), "PNG", exif=exif(value))).tobytes() == noise().tobytes()


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["JPEG", "PNG", "WEBP"]))
@pytest.mark.filterwarnings("ignore")
def test_planned_size_is_the_decoded_size_whatever_exif_says(data, form):
    opened(saved(noise(), form, exif=b"Exif\0\0MM\0*" + data))


def test_alpha_is_composed_on_white():
    half = Image.new("RGBA", (4, 4), (0, 100, 200, 128))
    assert opened(saved(half, "PNG")).getpixel((0, 0)) == pytest.approx((127, 177, 227), abs=1)
    assert opened(saved(Image.new("RGBA", (4, 4), (9, 9, 9, 0)), "PNG")).getpixel((1, 1)) == (255, 255, 255)
    assert opened(saved(Image.new("LA", (4, 4), (9, 0)), "PNG")).getpixel((1, 1)) == (255, 255, 255)
    assert opened(saved(Image.new("LA", (4, 4), (9, 255)), "PNG")).getpixel((1, 1)) == (9, 9, 9)
    assert opened(saved(Image.new("RGBA", (4, 4), (9, 9, 9, 0)), "WEBP", lossless=True)).getpixel((1, 1)) == (255,) * 3


def palette(size=(4, 4)):
    picture = Image.new("P", size)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    return picture


def test_palette_goes_through_its_colours():
    rgb = opened(saved(palette(), "PNG"))
    assert (rgb.getpixel((0, 0)), rgb.getpixel((1, 0))) == ((10, 20, 30), (200, 100, 50))


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_transparent_palette_entry_is_white(form):
    rgb = opened(saved(palette(), form, transparency=0))
    assert (rgb.getpixel((0, 0)), rgb.getpixel((1, 0))) == ((255, 255, 255), (200, 100, 50))


@pytest.mark.parametrize(
    ("mode", "colour", "other"), [("RGB", (10, 20, 30), (10, 20, 31)), ("L", 10, 11), ("1", 0, 255), ("I;16", 300, 301)]
)
def test_transparent_colour_is_white_in_every_mode(mode, colour, other):
    picture = Image.new(mode, (4, 4), colour)
    picture.putpixel((1, 0), other)
    rgb = opened(saved(picture, "PNG", transparency=colour))
    assert rgb.getpixel((0, 0)) == (255, 255, 255)
    assert rgb.getpixel((1, 0)) == {"RGB": other, "L": (11,) * 3, "1": (255,) * 3, "I;16": (1,) * 3}[mode]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_high_byte(form):
    shades = np.array([[0, 255, 256, 300, 0x7FFF, 0x8000, 0xFFFF]], np.uint16)
    rgb = opened(saved(Image.fromarray(shades), form))
    assert np.array_equal(np.asarray(rgb)[0, :, 0], shades[0] >> 8)


def test_one_bit_pictures_are_black_and_white():
    picture = Image.new("1", (9, 2), 0)
    picture.putpixel((3, 1), 1)
    rgb = opened(saved(picture, "PNG"))
    assert (rgb.getpixel((0, 0)), rgb.getpixel((3, 1))) == ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_is_converted_as_pillow_does(form):
    data = saved(Image.new("CMYK", (16, 16), (10, 0, 50, 0)), form)
    assert opened(data).getpixel((3, 3)) == pytest.approx((245, 255, 205), abs=2)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_first_frame_of_several_is_the_picture(form):
    red, blue = Image.new("RGB", (16, 16), (255, 0, 0)), Image.new("RGB", (16, 16), (0, 0, 255))
    data = saved(red, form, save_all=True, append_images=[blue])
    assert opened(data).getpixel((8, 8)) == pytest.approx((255, 0, 0), abs=2)


@pytest.mark.parametrize("mode", ["F", "LAB"])
def test_modes_without_honest_conversion_are_refused(mode):
    assert refused(saved(Image.new(mode, (4, 4)), "TIFF")) == Reason.DECODE_ERROR


FITS = b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =                    8".ljust(80)
OTHER_FORMATS = {
    "psd": b"8BPS\0\1" + bytes(60),
    "pdf": b"%PDF-1.7\n" + bytes(60),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "ico": saved(noise(16, 16), "ICO"),
    "fits": FITS,
    "ppm": saved(noise(), "PPM"),
    "tga": saved(noise(), "TGA"),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "text": b"not a picture",
    "nothing": b"",
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_other_formats_are_refused(name):
    assert refused(OTHER_FORMATS[name]) == Reason.FORMAT_NOT_ALLOWED


def header_bombs():
    """Headers that promise 65,000 x 65,000 pixels or so, and no pixel behind them."""
    jpeg = bytearray(saved(noise(), "JPEG"))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", 65000, 65000)
    gif = bytearray(saved(noise(), "GIF"))
    gif[6:10] = struct.pack("<HH", 65000, 65000)
    bmp = bytearray(saved(noise(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 65000, 65000)
    webp = bytearray(saved(noise(), "WEBP", lossless=True))
    place = webp.index(b"VP8L") + 9
    webp[place : place + 4] = struct.pack("<I", 16382 | 16382 << 14)
    tiff = bytearray(saved(noise(), "TIFF"))
    entry = tiff.index(struct.pack("<HHI", 256, 4, 1)) if struct.pack("<HHI", 256, 4, 1) in tiff else -1
    entry = entry if entry >= 0 else tiff.index(struct.pack("<HHI", 256, 3, 1))
    tiff[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, 65000)
    tiff[entry + 14 : entry + 24] = struct.pack("<HII", 4, 1, 65000)
    return {
        "png": png(65000, 65000, chunk(b"IDAT", zlib.compress(bytes(1000)))),
        "jpeg": bytes(jpeg),
        "gif": bytes(gif),
        "bmp": bytes(bmp),
        "webp": bytes(webp),
        "tiff": bytes(tiff),
    }


@pytest.mark.parametrize("form", ["png", "jpeg", "gif", "bmp", "webp", "tiff"])
def test_bomb_is_refused_by_its_header(form):
    started = time.monotonic()
    assert refused(header_bombs()[form]) == Reason.IMAGE_TOO_LARGE
    assert time.monotonic() - started < 2


def text_bombs():
    """PNGs whose compressed text or colour profile is 200 MB of zeros, before or behind the pixels."""
    squeezed = zlib.compress(bytes(200 << 20), 9)
    pixels = chunk(b"IDAT", zlib.compress(bytes(30 * 51)))
    text, profile = chunk(b"zTXt", b"Comment\0\0" + squeezed), chunk(b"iCCP", b"icc\0\0" + squeezed)
    late = chunk(b"iTXt", b"Comment\0\1\0\0\0" + squeezed)
    return [
        png(50, 30, text, pixels),
        png(50, 30, profile, pixels),
        png(50, 30, pixels, text),
        png(50, 30, pixels, late),
    ]


BOMB_SCRIPT = """
import resource, sys, pickle
from operators.pictures import load_upright, open_picture, to_rgb
from pipeline.errors import InputError
bombs = pickle.load(sys.stdin.buffer)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bomb in bombs:
    try:
        to_rgb(load_upright(open_picture(bomb, 100_000_000)))
    except InputError as error:
        print(error.reason)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_bombs_take_little_memory():
    import pickle

    bombs = [*header_bombs().values(), *text_bombs()]
    done = subprocess.run(
        [sys.executable, "-c", BOMB_SCRIPT], input=pickle.dumps(bombs), capture_output=True, timeout=60, check=True
    )
    *reasons, megabytes = done.stdout.decode().split()
    assert reasons.count("image-too-large") == 6
    assert set(reasons) <= {"image-too-large", "decode-error"}
    assert int(megabytes) < 128


@pytest.mark.parametrize("form", ALLOWED)
def test_limit_counts_pixels_and_includes_itself(form):
    data = saved(noise(), form)
    assert open_picture(data, 1500).size == (50, 30)
    assert refused(data, 1499) == Reason.IMAGE_TOO_LARGE


@pytest.mark.parametrize("form", ALLOWED)
def test_damaged_header_of_an_allowed_format_is_damage_and_no_foreign_format(form):
    data = saved(noise(), form)
    assert refused(data[:20]) == Reason.DECODE_ERROR


def test_png_with_a_flipped_byte_anywhere_behind_its_signature_is_damaged():
    data = saved(noise(8, 8), "PNG")
    for place in range(len(PNG_SIGNATURE), len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 0x20
        assert refused(bytes(flipped)) in {Reason.DECODE_ERROR, Reason.IMAGE_TOO_LARGE}, place


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_picture_cut_anywhere_before_its_last_pixels_is_damaged(form):
    data = saved(noise(), form)
    for end in [*range(4, len(data) - 4, 97), len(data) - 4]:
        assert refused(data[:end]) in {Reason.DECODE_ERROR, Reason.FORMAT_NOT_ALLOWED}, end


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ALLOWED), st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
@pytest.mark.filterwarnings("ignore")
def test_hostile_bytes_raise_nothing_but_input_errors(form, place, junk):
    data = bytearray(saved(noise(), form))
    place %= len(data)
    data[place : place + len(junk)] = junk
    try:
        picture = open_picture(bytes(data), 10**6)
        size = upright_size(picture, bytes(data))
        assert to_rgb(load_upright(picture)).size == size
    except InputError:
        pass


def test_sliver_of_one_by_65535_opens():
    assert opened(saved(Image.new("L", (1, 65535), 77), "PNG")).size == (1, 65535)
    assert opened(saved(Image.new("L", (65500, 1), 77), "JPEG")).size == (65500, 1)


def test_picture_without_orientation_is_not_copied():
    picture = open_picture(saved(noise(), "PNG"), LIMIT)
    assert load_upright(picture) is picture


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"quality": 50}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}]
)
@pytest.mark.parametrize("size", [(1, 1), (300, 7), (16383, 2)])
def test_the_size_that_a_webp_claims_is_known_before_it_is_opened(options, size):
    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 90, 200)).save(buffer, "WEBP", **options)
    assert _size_of_webp(buffer.getvalue()) == size
    with pytest.raises(InputError, match=f"{size[0]}x{size[1]} pixels; the job allows 0"):
        open_picture(buffer.getvalue(), 0)
