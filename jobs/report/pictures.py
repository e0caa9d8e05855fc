"""A small picture of an image, put together from its views as they are in the output."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

SIDE = 320
"""Longest side in pixels."""
QUALITY = 62
BLANK = (128, 128, 128)
"""Where no view is, or one cannot be read."""

View = Mapping[str, Any]


def put_together(views: Sequence[View], size: tuple[int, int]) -> str | None:
    """The image of `size` (width, height) as a data address; None if no view has encoded pixels that can be read.

    Each view lies over its box with the detail that it was rendered with; a view of the whole lies under the others.
    """
    scale = min(1.0, SIDE / max(size))
    picture = Image.new("RGB", (_scaled(size[0], scale), _scaled(size[1], scale)), BLANK)
    is_empty = True
    for view in sorted(views, key=lambda view: view["kind"] != "whole"):
        rendered = _decode(view)
        if rendered is None:
            continue
        left, top, right, bottom = (round(edge * scale) for edge in view["box"])
        place = max(1, right - left), max(1, bottom - top)
        picture.paste(rendered.resize(place, Image.Resampling.BOX), (left, top))
        is_empty = False
    if is_empty:
        return None
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=QUALITY, method=1)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _decode(view: View) -> Image.Image | None:
    pixels = view["pixels"] or {}
    if pixels.get("data") is None or not pixels.get("format"):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(pixels["data"]), formats=("JPEG", "PNG", "WEBP")) as image:
                # A size other than the planned one is damage, and may be a bomb: it is not decoded.
                return image.convert("RGB") if image.size == (view["width"], view["height"]) else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _scaled(side: int, scale: float) -> int:
    return max(1, round(side * scale))
