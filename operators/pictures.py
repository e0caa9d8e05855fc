"""Opens encoded pictures by a stated policy: which formats, how large, how they become upright 8-bit RGB.

Shared by `decode` (check, size, small picture) and `write` (the one decoding at full quality).

Policy. Formats: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF (first page); anything else is refused whatever its
name says. Orientation: EXIF is applied. Alpha: composed on white. Palette: through its colours. CMYK and YCCK:
Pillow's plain conversion. 16-bit grey: the high byte. Float and Lab pictures are refused.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from operators.fast_jpeg import plain_jpeg
from operators.raster import Raster, picture_of, raster_of
from pipeline.errors import InputError, Reason

# What Pillow warns of is decided here: a picture opens, or it is rejected with its reason.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
JPEGS = frozenset({"JPEG", "MPO"})
"""MPO: a JPEG with another one behind it, as some cameras write."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIGNATURES = (b"\xff\xd8\xff", PNG_SIGNATURE, b"GIF8", b"BM", b"II*\0", b"MM\0*")
"""First bytes of the formats but WebP: what starts so and cannot be opened is damaged, not of another format."""
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of each EXIF orientation upright."""
TRANSPOSED = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""
PNG_ORIENTED = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
"""Every place where Pillow finds the orientation of a PNG; each may stand behind the pixels."""
ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
GREY_16_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
NO_RGB_MODES = frozenset({"F", "LAB"})
"""No conversion of these is the right one for every picture."""
WHITE = (255, 255, 255)


def open_picture(data: bytes, max_pixels: int) -> Image.Image:
    """The picture with its header read and no pixel decoded; `size` is that of the file, before rotation.

    InputError: format-not-allowed, image-too-large, decode-error (a PNG chunk with a wrong checksum among them).
    """
    Image.MAX_IMAGE_PIXELS = None  # the cap below is ours and comes first; Pillow's would warn below it, raise above
    # Pillow reads a PNG to its pixels, and makes room for a WebP's, before it tells their size.
    if (size := _size_of_png(data) or _size_of_webp(data)) is not None:
        _check_size(*size, max_pixels)
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise InputError(*_refusal(data, error)) from error
    _check_size(*picture.size, max_pixels)
    if picture.mode in NO_RGB_MODES:
        raise InputError(Reason.DECODE_ERROR, f"{picture.format} in mode {picture.mode}; convert it to 8-bit RGB")
    if picture.format == "PNG":
        _check_png(data)
    return picture


def _size_of_png(data: bytes) -> tuple[int, int] | None:
    """(width, height) that a PNG's header claims; None for another format."""
    if not data.startswith(PNG_SIGNATURE) or data[12:16] != b"IHDR" or len(data) < 24:
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _size_of_webp(data: bytes) -> tuple[int, int] | None:
    """(width, height) that a WebP's first chunk claims (RFC 9649); None for another format, or none that is known."""
    if (data[:4], data[8:12]) != (b"RIFF", b"WEBP") or len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if data[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def upright_size(picture: Image.Image, data: bytes) -> tuple[int, int]:
    """(width, height) after EXIF rotation, decoding no pixel unless a PNG carries EXIF or XMP, maybe behind them."""
    if picture.format == "PNG" and not any(place in data for place in PNG_ORIENTED):
        return picture.size
    if picture.format == "TIFF" and ORIENTATION in picture.tag_v2:  # type: ignore[attr-defined]
        return picture.size  # Pillow has swapped it already
    width, height = picture.size
    return (height, width) if _orientation(picture) in TRANSPOSED else (width, height)


def load_upright(picture: Image.Image) -> Image.Image:
    """The decoded picture in its own mode, rotated as its EXIF says. InputError: decode-error.

    As ImageOps.exif_transpose, but broken EXIF leaves the picture as it is, and nothing is copied in vain.
    """
    try:
        picture.load()
    except Exception as error:
        raise InputError(Reason.DECODE_ERROR, f"{picture.format}: {error}") from error
    turn = UPRIGHT.get(_orientation(picture))
    return picture if turn is None else picture.transpose(turn)


def to_rgb(picture: Image.Image) -> Image.Image:
    """8-bit RGB by the module's policy. InputError for modes that have no honest conversion."""
    mode = picture.mode
    if mode in GREY_16_MODES:
        shades = np.asarray(picture.convert("I"))
        grey = (shades.clip(0, 0xFFFF) >> 8).astype(np.uint8)
        grey[shades == picture.info.get("transparency", -1)] = WHITE[0]
        return Image.fromarray(grey).convert("RGB")
    if mode in ALPHA_MODES or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Image.new("RGB", rgba.size, WHITE)
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    if mode in {"F", "LAB"}:
        raise InputError(Reason.DECODE_ERROR, f"picture in mode {mode}; convert it to 8-bit RGB")
    return picture if mode == "RGB" else picture.convert("RGB")


def full_raster(picture: Image.Image, data: bytes) -> Raster:
    """Every pixel of an opened picture, upright, by the module's policy. InputError: decode-error."""
    plain = plain_jpeg(picture, data)
    if plain is None:
        return raster_of(to_rgb(load_upright(picture)))
    turn = UPRIGHT.get(_orientation(picture))
    return plain if turn is None else raster_of(picture_of(plain).transpose(turn))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise InputError(Reason.IMAGE_TOO_LARGE, f"{width}x{height} pixels; the job allows {max_pixels} in all")
    if width == 0 or height == 0:
        raise InputError(Reason.DECODE_ERROR, f"{width}x{height} pixels")


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - broken EXIF means no rotation, as viewers have it
        return 1
    return value if isinstance(value, int) else 1


def _refusal(data: bytes, error: Exception) -> tuple[Reason, str]:
    is_known = data.startswith(SIGNATURES) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP")
    if isinstance(error, UnidentifiedImageError) and is_known:
        return Reason.DECODE_ERROR, f"starts with {data[:8]!r}, and its header is damaged or cut"
    if isinstance(error, UnidentifiedImageError):
        return Reason.FORMAT_NOT_ALLOWED, f"starts with {data[:8]!r}; allowed are {', '.join(FORMATS)}"
    return Reason.DECODE_ERROR, f"{type(error).__name__}: {error}"


def _check_png(data: bytes) -> None:
    """Walks the chunks and their checksums: Pillow skips those of pixel data, so a flipped byte would pass."""
    place = len(PNG_SIGNATURE)
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(data):
            raise InputError(Reason.DECODE_ERROR, f"PNG ends inside chunk {kind!r} at byte {place}")
        if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise InputError(Reason.DECODE_ERROR, f"PNG chunk {kind!r} at byte {place} has a wrong checksum")
        if kind == b"IEND":
            return
        place = end
    raise InputError(Reason.DECODE_ERROR, "PNG ends without IEND")
