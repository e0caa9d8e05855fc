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
Size = tuple[int, int]
"""Width and height in pixels."""


def put_together(views: Sequence[View], size: Size) -> tuple[str | None, Size]:
    """An image of `size` as a data address, and the size of what it shows: with the margins that its family adds.

    Each view has the detail that it was rendered with. No address if no view has encoded pixels that can be read.
    """
    size, places = _places(views, size)
    scale = min(1.0, SIDE / max(size))
    picture = Image.new("RGB", (_scaled(size[0], scale), _scaled(size[1], scale)), BLANK)
    is_empty = True
    for view, box in places:
        rendered = _decode(view)
        if rendered is None:
            continue
        left, top, right, bottom = (round(edge * scale) for edge in box)
        place = max(1, right - left), max(1, bottom - top)
        picture.paste(rendered.resize(place, Image.Resampling.BOX), (left, top))
        is_empty = False
    if is_empty:
        return None, size
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=QUALITY, method=1)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii"), size


def _places(views: Sequence[View], size: Size) -> tuple[Size, list[tuple[View, Sequence[int]]]]:
    """Where each view is put, and in a picture of which size.

    Regions stand in their boxes. A tile's box knows nothing of the margin that was rendered with it, so tiles of one
    size stand side by side, and what is a view by itself fills the picture.
    """
    tiles = [view for view in views if view["kind"] == "tile"]
    shapes = {(view["width"], view["height"]) for view in tiles or views}
    if len(shapes) > 1 or any(view["kind"] == "region" for view in views):
        return size, [(view, view["box"]) for view in views]
    ((width, height),) = shapes
    if not tiles:
        return (width, height), [(view, (0, 0, width, height)) for view in views]
    corners = [(view["col"] * width, view["row"] * height) for view in tiles]
    boxes = [(left, top, left + width, top + height) for left, top in corners]
    right, bottom = max(box[2] for box in boxes), max(box[3] for box in boxes)
    return (right, bottom), list(zip(tiles, boxes, strict=True))


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
