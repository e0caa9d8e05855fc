"""Llama 4: tiles of the canvas that needs least resizing, the picture hardly enlarged on it, then the whole of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal, Self

import numpy as np
from pydantic import Field

from operators.slicing.layout import ALONE, enclosed
from operators.slicing.tiles import SquareTiles, tile_views, whole_view
from pipeline.types import Canvas, Modality, Place, Run, SlicePlan, View


class Llama4Config(SquareTiles):
    """Numbers of one Llama 4 checkpoint."""

    scheme: Literal["llama4"] = "llama4"
    tile: int = Field(default=336, gt=0)
    patch: int = Field(default=14, gt=0)
    merge: int = Field(default=2, gt=0)
    max_tiles: int = Field(default=16, gt=0)
    """Most tiles of a canvas, the whole view not counted."""

    def at_most(self, tiles: int) -> Self:
        """The same with at most so many tiles (at least 1)."""
        return self if tiles >= self.max_tiles else self.model_copy(update={"max_tiles": tiles})

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:  # noqa: ARG002 - every image alike
        """The tiles row-major, `col_break` between those of a row, `row_break` after each row; last the `whole` view.

        On a canvas of one tile that tile is the whole view. The picture lies in the canvas's upper left corner, on
        black; tokens of the black are placeholders like any. Takes any shape. Source: transformers'
        image_processing_llama4.py and processing_llama4.py.
        """
        cols, rows = select_canvas(width, height, self.tile, self.max_tiles)
        size = cols * self.tile, rows * self.tile
        is_single = cols * rows == 1
        canvas = Canvas(*size, *resize_on_canvas(width, height, size, self.tile), 0, 0, has_whole=is_single)
        shape = self.side, self.side
        native = cols * self.side, rows * self.side
        whole = whole_view((width, height), (self.tile, self.tile), self.patch, shape, native)
        tiles = [] if is_single else tile_views(canvas, whole, (self.tile, self.tile), self.patch, shape)
        views = (*tiles, whole)
        layout = enclosed(_runs(views, cols, tokens), tokens)
        return SlicePlan(
            self.scheme, width, height, native[1], native[0], views, layout, tokens["placeholder"], canvas, "bilinear"
        )


@lru_cache(maxsize=4096)
def select_canvas(width: int, height: int, tile: int, max_tiles: int) -> tuple[int, int]:
    """(columns, rows) of the canvas: the least enlargement that fits it, else the least shrinking; then the least area.

    Scales are float32, as in the reference: canvases whose scales differ less than that are equal.
    """
    canvases = [(cols, rows) for rows in range(1, max_tiles + 1) for cols in range(1, max_tiles // rows + 1)]
    sides = np.array(canvases, np.float32) * np.float32(tile)
    scales = (sides / np.array([width, height], np.float32)).min(axis=1)
    enlarging = scales[scales >= 1]
    chosen = enlarging.min() if enlarging.size else scales.max()
    return min(
        (canvas for canvas, scale in zip(canvases, scales, strict=True) if scale == chosen),
        key=lambda canvas: canvas[0] * canvas[1],
    )


def resize_on_canvas(width: int, height: int, size: tuple[int, int], tile: int) -> tuple[int, int]:
    """(width, height) in pixels of the picture on a canvas of `size`: never larger than it is, or than one tile.

    Where the canvas is the limit the reference reckons in float32, where the picture is in float64; so do we.
    """
    wide, across = _limit(width, size[0], tile)
    high, down = _limit(height, size[1], tile)
    if across < down:
        return max(wide, 1), max(min(math.floor(height * across), high), 1)
    return max(min(math.floor(width * down), wide), 1), max(high, 1)


def _limit(length: int, canvas: int, tile: int) -> tuple[int, np.float32 | float]:
    """Pixels to which a side of `length` may go, and the scale that this is."""
    wanted = max(length, tile)
    if canvas < wanted:
        return canvas, np.float32(canvas) / np.float32(length)
    return wanted, wanted / length


def _runs(views: tuple[View, ...], cols: int, tokens: Mapping[str, str]) -> Iterator[Run]:
    """Every view and its marks; each mark only if the family has it."""
    for i, view in enumerate(views):
        is_tile = view.kind == "tile"
        if not is_tile and "whole" in tokens:
            yield Run(tokens["whole"], Modality.MARKER, -1, 1)
        yield Run(tokens["placeholder"], Modality.IMAGE, i, view.tokens)
        role = "col_break" if view.col < cols - 1 else "row_break"
        if is_tile and role in tokens:
            yield Run(tokens[role], Modality.MARKER, -1, 1)
