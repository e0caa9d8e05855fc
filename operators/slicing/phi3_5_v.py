"""Phi-3.5-vision: as large as its number of tiles allows, a newline embedding per row, then the whole of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import Field

from operators.slicing.layout import ALONE, enclosed
from operators.slicing.tiles import SquareTiles, tile_views, whole_view
from pipeline.errors import InputError, Reason
from pipeline.types import Canvas, Modality, Place, Run, SlicePlan, View

WHITE = 0xFFFFFF


class Phi35VConfig(SquareTiles):
    """Numbers of one Phi-3-vision or Phi-3.5-vision checkpoint."""

    scheme: Literal["phi3_5_v"] = "phi3_5_v"
    tile: int = Field(default=336, gt=0)
    patch: int = Field(default=14, gt=0)
    merge: int = Field(default=2, gt=0)
    max_tiles: int = Field(default=16, gt=0)
    """Most tiles of a document's only picture (`num_crops`)."""
    max_tiles_of_many: int = Field(default=4, gt=0)
    """Most tiles of each picture where a document has several."""

    def at_most(self, tiles: int) -> Self:
        """The same with at most so many tiles (at least 1) of any picture, also of one among several."""
        limits = {"max_tiles": self.max_tiles, "max_tiles_of_many": self.max_tiles_of_many}
        if tiles >= max(limits.values()):
            return self
        return self.model_copy(update={name: min(most, tiles) for name, most in limits.items()})

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:
        """The tiles row by row through their stitched tokens, one separator, then the `whole` view's rows.

        A newline embedding ends each row of tokens; newlines and separator are placeholders of modality MARKER and
        view -1. The views are in this order; the reference's pixel_values have the whole view first. That view is
        resized from the canvas, by the filter of the tiles: the reference samples it, bicubic without antialiasing,
        which Pillow cannot, so its pixels are rougher than ours. Raises as `hd_canvas`. Source: HD_transform and the
        HD embedding of Microsoft's Phi-3.5-vision, as 2U1/Phi3-Vision-Finetune stores them.
        """
        canvas = hd_canvas(width, height, self.tile, self.max_tiles if place.count == 1 else self.max_tiles_of_many)
        shape = self.side, self.side
        native = canvas.width // self.tile * self.side, canvas.height // self.tile * self.side
        whole = whole_view((width, height), (self.tile, self.tile), self.patch, shape, native)
        views = (*tile_views(canvas, whole, (self.tile, self.tile), self.patch, shape), whole)
        layout = enclosed(_runs(views, canvas.width // self.tile, tokens["placeholder"]), tokens)
        return SlicePlan(
            self.scheme, width, height, native[1], native[0], views, layout, tokens["placeholder"], canvas, "bilinear"
        )


def hd_canvas(width: int, height: int, tile: int, max_tiles: int) -> Canvas:
    """The longer side on as many whole tiles as `max_tiles` allows, the shorter at that scale, centred on white.

    Raises InputError (image-sliver) where the shorter side would have no pixels.
    """
    longer, shorter = max(width, height), min(width, height)
    aspect = longer / shorter
    count = max(k for k in range(1, max_tiles + 1) if k * math.ceil(k / aspect) <= max_tiles)
    long_side = count * tile
    short_side = int(long_side / aspect)
    if not short_side:
        raise InputError(
            Reason.IMAGE_SLIVER,
            f"image of {width}x{height} pixels; at most {long_side}:1 expected on {max_tiles} tiles; crop or drop it",
        )
    padded = math.ceil(short_side / tile) * tile
    margin = (padded - short_side) // 2
    if width >= height:
        return Canvas(long_side, padded, long_side, short_side, 0, margin, fill=WHITE, has_whole=True)
    return Canvas(padded, long_side, short_side, long_side, margin, 0, fill=WHITE, has_whole=True)


def _runs(views: tuple[View, ...], tile_cols: int, placeholder: str) -> Iterator[Run]:
    """Rows of the stitched tiles, the separator, rows of the whole view."""
    mark = Run(placeholder, Modality.MARKER, -1, 1)
    last = len(views) - 1
    for first in range(0, last, tile_cols):
        for _ in range(views[first].rows):
            for i in range(first, first + tile_cols):
                yield Run(placeholder, Modality.IMAGE, i, views[i].cols)
            yield mark
    yield mark
    for _ in range(views[last].rows):
        yield Run(placeholder, Modality.IMAGE, last, views[last].cols)
        yield mark
