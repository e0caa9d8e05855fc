"""Anyres, which LLaVA-NeXT and OneVision share: the whole picture, then tiles of the canvas that wastes least."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, PositiveInt, model_validator

from operators.slicing.layout import enclosed
from operators.slicing.squares import square_view
from pipeline.types import Canvas, Modality, Run, SlicePlan, View

Pinpoints = Annotated[tuple[tuple[int, int], ...], Field(min_length=1)]

LEAST_REDUCTION = 1.1
"""A stitched grid that is less than this too long on a side is left as it is."""


class AnyresConfig(BaseModel, frozen=True, extra="forbid"):
    """What the families' configs have in common."""

    scheme: str
    pinpoints: Pinpoints
    """Canvas sizes in pixels, multiples of `tile`, in the family's order: of equally good ones the first wins."""
    pinpoint_order: Literal["width_first", "height_first"] = "width_first"
    """What the first number of a pinpoint is: the LLaVA repository reads its lists width first, transformers reads
    the same lists height first. The LLaVA-NeXT set is the same either way, but a small picture then takes the landscape
    canvas instead of the portrait one: a 300x200 one has 1,464 placeholders instead of 976."""
    tile: PositiveInt
    """Side of a tile and of the whole view, in pixels."""
    patch: PositiveInt = 14
    """Side of a vision patch, in pixels; one patch is one token."""

    @property
    def canvases(self) -> tuple[tuple[int, int], ...]:
        """The pinpoints as (width, height)."""
        return self.pinpoints if self.pinpoint_order == "width_first" else tuple((w, h) for h, w in self.pinpoints)

    def at_most(self, tiles: int) -> Self:
        """The same with the pinpoints of at most so many tiles; of the fewest, where all have more."""
        areas = [width * height // self.tile**2 for width, height in self.pinpoints]
        most = max(tiles, min(areas))
        if most >= max(areas):
            return self
        kept = tuple(size for size, area in zip(self.pinpoints, areas, strict=True) if area <= most)
        return self.model_copy(update={"pinpoints": kept})

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        wrong = [size for size in self.pinpoints if min(size) < 1 or size[0] % self.tile or size[1] % self.tile]
        if wrong:
            raise ValueError(f"pinpoints {wrong}; positive multiples of tile ({self.tile}) expected; correct them")
        if self.patch > self.tile:
            raise ValueError(f"patch is {self.patch}; at most tile ({self.tile}) expected; lower it")
        return self


def select_best(width: int, height: int, canvases: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """The canvas on which most pixels of the image survive; of equals the least wasteful; of those the first."""

    def merit(size: tuple[int, int]) -> tuple[int, int]:
        scale = min(size[0] / width, size[1] / height)
        effective = min(int(width * scale) * int(height * scale), width * height)
        return effective, effective - size[0] * size[1]

    return max(canvases, key=merit)


def resize_and_pad(width: int, height: int, size: tuple[int, int]) -> Canvas:
    """The image at its own aspect, as large as fits the canvas `size` (width, height), centred on black."""
    scale_w, scale_h = size[0] / width, size[1] / height
    if scale_w < scale_h:
        resized = size[0], min(math.ceil(height * scale_w), size[1])
    else:
        resized = min(math.ceil(width * scale_h), size[0]), size[1]
    return Canvas(*size, *resized, (size[0] - resized[0]) // 2, (size[1] - resized[1]) // 2)


def unpad(width: int, height: int, rows: int, cols: int) -> tuple[int, int]:
    """(rows, cols) of padding on either side of an image stitched from rows x cols tokens, one axis at most.

    The reference drops as much above as below, so one row or column of padding may survive.
    """
    if width / height > cols / rows:
        return (rows - int(round(height * (cols / width), 7))) // 2, 0
    return 0, (cols - int(round(width * (rows / height), 7))) // 2


def shrink(rows: int, cols: int, max_tokens: int) -> tuple[int, int]:
    """(rows, cols) to which a stitched grid is interpolated: about max_tokens, unless it has hardly more.

    Source: anyres_max of LLaVA-NeXT's llava_arch.py; LEAST_REDUCTION is its threshold.
    """
    ratio = math.sqrt(rows * cols / max_tokens)
    return (int(rows // ratio), int(cols // ratio)) if ratio > LEAST_REDUCTION else (rows, cols)


@lru_cache(maxsize=512)
def plan_anyres(
    width: int, height: int, config: AnyresConfig, max_tokens: int | None, tokens: tuple[tuple[str, str], ...]
) -> SlicePlan:
    """The `whole` view, then every `tile` of the canvas row-major, unpadded, a newline after each row of tokens.

    max_tokens: of the stitched tiles (`shrink`); None: no limit. tokens: (role, literal) pairs. rows, cols and cells
    of a tile are what unpadding leaves of it, in the stitched grid; none, for a tile of padding alone, which is still
    a view. Where the grid is shrunk, a token belongs to the tile in which its centre lies. A tile's box is what it
    shows of the picture, each border rounded down to a pixel, so that the boxes of the tiles cover the picture exactly
    once. Newlines are placeholders of modality MARKER and view -1. Takes any shape.
    """
    side = config.tile // config.patch
    canvas = resize_and_pad(width, height, select_best(width, height, config.canvases))
    tile_rows, tile_cols = canvas.height // config.tile, canvas.width // config.tile
    pad_rows, pad_cols = unpad(width, height, tile_rows * side, tile_cols * side)
    full_h, full_w = tile_rows * side - 2 * pad_rows, tile_cols * side - 2 * pad_cols
    grid_h, grid_w = (full_h, full_w) if max_tokens is None else shrink(full_h, full_w, max_tokens)

    cell_rows = [_centred(y, full_h, grid_h) for y in _cuts(tile_rows, side, pad_rows, full_h)]
    cell_cols = [_centred(x, full_w, grid_w) for x in _cuts(tile_cols, side, pad_cols, full_w)]
    pixel_rows = _cuts(tile_rows, config.tile, canvas.top, canvas.resized_height)
    pixel_cols = _cuts(tile_cols, config.tile, canvas.left, canvas.resized_width)
    tops = [y * height // canvas.resized_height for y in pixel_rows]
    lefts = [x * width // canvas.resized_width for x in pixel_cols]
    whole = replace(square_view((0, 0, width, height), config.tile, config.patch), cells=(0, 0, grid_h, grid_w))
    tiles = [
        replace(
            whole,
            kind="tile",
            row=row,
            col=col,
            box=(lefts[col], tops[row], lefts[col + 1], tops[row + 1]),
            rows=bottom - top,
            cols=right - left,
            tokens=(bottom - top) * (right - left),
            cells=(top, left, bottom, right),
        )
        for row, (top, bottom) in enumerate(pairwise(cell_rows))
        for col, (left, right) in enumerate(pairwise(cell_cols))
    ]
    views = (whole, *tiles)
    roles = dict(tokens)
    layout = enclosed(_runs(views, tile_cols, roles["placeholder"]), roles)
    return SlicePlan(config.scheme, width, height, grid_h, grid_w, views, layout, roles["placeholder"], canvas)


def newline(placeholder: str) -> Run:
    """The learned embedding that ends a row of tokens; it takes a placeholder of its own."""
    return Run(placeholder, Modality.MARKER, -1, 1)


def _cuts(parts: int, side: int, margin: int, length: int) -> list[int]:
    """The borders of `parts` tiles, measured from the end of the margin and clipped to the image's `length`."""
    return [min(max(i * side - margin, 0), length) for i in range(parts + 1)]


def _centred(border: int, length: int, shrunk: int) -> int:
    """How many of `shrunk` tokens over `length` have their centre before `border`."""
    return border if shrunk == length else -((length - 2 * border * shrunk) // (2 * length))


def _runs(views: Sequence[View], tile_cols: int, placeholder: str) -> Iterator[Run]:
    """The whole view at once; then each row of the stitched grid, tile by tile, and its newline."""
    yield Run(placeholder, Modality.IMAGE, 0, views[0].tokens)
    for first in range(1, len(views), tile_cols):
        for _ in range(views[first].rows):
            for i in range(first, first + tile_cols):
                yield Run(placeholder, Modality.IMAGE, i, views[i].cols)
            yield newline(placeholder)
