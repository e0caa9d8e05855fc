"""Decodes one picture at full quality and draws the views that are wanted of it: the task of `write`'s child."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
from PIL import Image

from operators.encode import encode_view
from operators.pictures import JPEGS, full_raster, open_picture, upright_size
from operators.plans import plan_from_row
from operators.raster import Raster
from operators.slicing.render import render, to_patches, to_planes
from operators.slicing.resizing import ResizeName, resizer
from pipeline.errors import InputError, Reason, StorageError
from pipeline.operator import Row
from pipeline.schema import PLAN
from pipeline.types import SlicePlan

TO_DRAW = pa.schema(
    [("url", pa.string()), ("data", pa.large_binary()), ("plan", PLAN), ("views", pa.list_(pa.int32()))]
)
"""One picture: the shard that it is from, its encoded bytes, its plan, and the numbers of the views wanted."""
DRAWN = pa.struct([("data", pa.large_binary()), ("format", pa.string())])


class Draw:
    """The task of one picture: a row of TO_DRAW gives the pixels of each view wanted, in order."""

    schema = pa.schema([("drawn", pa.list_(DRAWN))])

    def __init__(
        self, *, max_image_pixels: int, pixels: str, patches: Sequence[int] | None, resize: ResizeName
    ) -> None:
        """pixels: `encoded` or `patches`. patches: side of a vision patch in pixels, and patches a token has a side.

        Without them `patches` are the planes of a whole view, as families of tiles take them. resize: by whom.
        """
        self._max_image_pixels = max_image_pixels
        self._pixels = pixels
        self._patches = patches
        self._resize = resizer(resize)

    def __call__(self, row: Row) -> Row:
        """InputError if the picture is damaged; StorageError if it is not the one that was planned."""
        opened = open_picture(row["data"], self._max_image_pixels)
        raster = _decoded(opened, row["data"], row["plan"], row["url"])
        views = render(raster, _views_of(row["plan"], row["views"]), self._resize)
        return {"drawn": [self._to_pixels(view, from_jpeg=opened.format in JPEGS) for view in views]}

    def _to_pixels(self, view: Raster, *, from_jpeg: bool) -> Row:
        if self._pixels == "encoded":
            data, kind = encode_view(view, from_jpeg=from_jpeg)
            return {"data": data, "format": kind}
        if self._patches is not None:
            patch, merge = self._patches
            return {"data": to_patches(view, patch, merge), "format": "patches"}
        return {"data": to_planes(view), "format": "planes"}


def _decoded(opened: Image.Image, data: bytes, plan: Row, url: str) -> Raster:
    """The whole picture, of the planned size."""
    size = (plan["width"], plan["height"])
    if upright_size(opened, data) != size:
        raise StorageError(f"{url} changed while it was read; run the job again")
    raster = full_raster(opened, data)
    height, width = raster.shape[:2]
    if (width, height) != size:
        raise InputError(Reason.DECODE_ERROR, f"{width}x{height} pixels; its header says {size[0]}x{size[1]}")
    return raster


def _views_of(plan: Row, chosen: Sequence[int]) -> SlicePlan:
    """The plan with some of its views alone."""
    whole = plan_from_row(plan)
    return replace(whole, views=tuple(whole.views[k] for k in chosen))
