"""What a view keeps of its pixels: of the kind that the job asked for, of the view's size, from the right bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from PIL import Image

Row = dict[str, Any]
TURNED = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""
ORIENTATION = 0x0112
WHOLE: dict[str, Callable[[bytes], bool]] = {
    "jpeg": lambda data: data.endswith(b"\xff\xd9"),
    "png": lambda data: data.endswith(b"IEND\xaeB`\x82"),
    "webp": lambda data: int.from_bytes(data[4:8], "little") + 8 == len(data),
}
"""Whether the bytes end where the picture does: decoders are lenient about that. The formats of encoded views."""
MAY_TURN = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
"""A PNG without any of these has no orientation; asking Pillow would decode it."""


def pixel_fault(view: Row, segment: Row, shard: str, *, kind: str, scheme: str) -> str:
    """What is untrue of a view's pixels, or nothing; segment: the index's entry of the view's image."""
    pixels = view["pixels"]
    if kind == "none":
        return "" if pixels is None else "has pixels; none expected, as the job says pixels: none"
    if pixels is None:
        return f"has no pixels; {kind} expected"
    if kind == "source":
        found = tuple(pixels[name] for name in ("shard", "offset", "size", "format"))
        expected = (shard, segment["offset"], segment["size"], segment["format"])
        return "" if found == expected else f"has its source at {found}; {expected} expected"
    data = pixels["data"] or b""
    height, width = view["height"], view["width"]
    if kind == "encoded":
        return _encoded_fault(data, pixels["format"], width, height)
    name = "patches" if scheme == "qwen" else "planes"
    if (len(data), pixels["format"]) == (3 * height * width, name):
        return ""
    return f"has {len(data)} bytes of {pixels['format']}; {3 * height * width} of {name} expected"


def _encoded_fault(data: bytes, form: str, width: int, height: int) -> str:
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except Exception as error:  # noqa: BLE001 - damaged pictures raise whatever their decoder felt
        return f"has pixels that do not open: {error}"
    if form in WHOLE and not WHOLE[form](data):
        return f"has pixels that end before their {form} does, or after it"
    if (str(picture.format).lower(), picture.size) == (form, (width, height)) and form in WHOLE:
        return ""
    return (
        f"has a {picture.format} of {picture.width}x{picture.height}, called {form}; "
        f"{width}x{height} expected, in the format it is called"
    )


def describe_picture(data: bytes) -> tuple[str, int, int]:
    """Format, width and height of an encoded picture after its EXIF rotation; no format if it does not open."""
    try:
        picture = Image.open(io.BytesIO(data))
        width, height = picture.size
        may_turn = picture.format != "PNG" or any(mark in data for mark in MAY_TURN)
        is_turned = may_turn and picture.getexif().get(ORIENTATION) in TURNED
    except Exception:  # noqa: BLE001 - as above
        return "", 0, 0
    return str(picture.format).lower(), *((height, width) if is_turned else (width, height))
