"""Small pictures of rendered views, as data addresses."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping
from typing import Any

from PIL import Image

SIDE = 320
"""Longest side in pixels of a whole picture on the page, which its views are put together to."""
QUALITY = 62


def thumbnail(view: Mapping[str, Any], picture: tuple[int, int]) -> str | None:
    """An encoded view, as large as its box is in a picture of SIDE; None if there are no encoded bytes, or damaged ones.

    Never larger than the view: where it was rendered with few tokens, that shows.
    """
    pixels = view["pixels"] or {}
    if pixels.get("data") is None or not pixels.get("format"):
        return None
    scale = min(1.0, SIDE / max(picture))
    left, top, right, bottom = view["box"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(pixels["data"]), formats=("JPEG", "PNG", "WEBP")) as image:
                # What it says of its size was planned: bytes that say another are not ours, and are not decoded.
                if image.size != (view["width"], view["height"]):
                    return None
                small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    width, height = (max(1, round(side * scale)) for side in (right - left, bottom - top))
    if width < small.width or height < small.height:
        size = min(width, small.width), min(height, small.height)
        small = small.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    stream = io.BytesIO()
    small.save(stream, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
