"""LLaVA-NeXT anyres: the whole image once, then tiles of it on the canvas that wastes least."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from operators.slicing.layout import enclosed
from pipeline.types import Canvas, Modality, Run, SlicePlan, View

NEXT_PINPOINTS = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))


class LlavaNextConfig(BaseModel, frozen=True, extra="forbid"):
    """Numbers of one LLaVA-NeXT checkpoint."""

    scheme: Literal["llava_next"] = "llava_next"
    pinpoints: tuple[tuple[int, int], ...] = Field(default=NEXT_PINPOINTS, min_length=1)
    """Canvas sizes as (width, height) in pixels, multiples of `tile`; of equals the first wins.

    The LLaVA repository reads its list width first, transformers reads the same list height first. So for the
    checkpoints converted to transformers swap every pair of their `image_grid_pinpoints`: the set is the same, but
    small images then take the landscape canvas, and a 300x200 one has 1,464 placeholders instead of 976.
    """
    tile: int = Field(default=336, gt=0)
    """Side of a tile and of the whole view, in pixels."""
    patch: int = Field(default=14, gt=0)
    """Side of a vision patch, in pixels; one patch is one token."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        wrong = [size for size in self.pinpoints if min(size) < 1 or size[0] % self.tile or size[1] % self.tile]
        if wrong:
            raise ValueError(f"pinpoints {wrong}; positive multiples of tile ({self.tile}) expected; correct them")
        if self.patch > self.tile:
            raise ValueError(f"patch is {self.patch}; at most tile ({self.tile}) expected; lower it")
        return self

    def plan(self, width: int, height: int, tokens: Mapping[str, str]) -> SlicePlan:
        """The `whole` view, then every `tile` of the canvas row-major, unpadded, a newline after each row of tokens.

        rows, cols and cells of a tile are what unpadding leaves of it, in the stitched grid; none, for a tile of
        padding alone, which is still a view. Its box is what it shows of the picture, each border rounded down to
        a pixel, so that the boxes of the tiles cover the picture exactly once. Newlines are placeholders of
        modality MARKER and view -1. Takes any shape. Source: LLaVA-NeXT mm_utils.py and llava_arch.py
        (`spatial_unpad`); rounding of the unpadding as in transformers' processing_llava_next.py.
        """
        return _plan(width, height, self, tuple(sorted(tokens.items())))


def select_best(width: int, height: int, pinpoints: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """The canvas on which most pixels of the image survive; of equals the least wasteful; of those the first."""

    def merit(size: tuple[int, int]) -> tuple[int, int]:
        scale = min(size[0] / width, size[1] / height)
        effective = min(int(width * scale) * int(height * scale), width * height)
        return effective, effective - size[0] * size[1]

    return max(pinpoints, key=merit)


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


@lru_cache(maxsize=512)
def _plan(width: int, height: int, config: LlavaNextConfig, tokens: tuple[tuple[str, str], ...]) -> SlicePlan:
    side = config.tile // config.patch
    canvas = resize_and_pad(width, height, select_best(width, height, config.pinpoints))
    tile_rows, tile_cols = canvas.height // config.tile, canvas.width // config.tile
    pad_rows, pad_cols = unpad(width, height, tile_rows * side, tile_cols * side)
    grid_h, grid_w = tile_rows * side - 2 * pad_rows, tile_cols * side - 2 * pad_cols

    cell_rows, cell_cols = _cuts(tile_rows, side, pad_rows, grid_h), _cuts(tile_cols, side, pad_cols, grid_w)
    pixel_rows = _cuts(tile_rows, config.tile, canvas.top, canvas.resized_height)
    pixel_cols = _cuts(tile_cols, config.tile, canvas.left, canvas.resized_width)
    tops = [y * height // canvas.resized_height for y in pixel_rows]
    lefts = [x * width // canvas.resized_width for x in pixel_cols]
    whole = View(
        kind="whole",
        row=0,
        col=0,
        box=(0, 0, width, height),
        height=config.tile,
        width=config.tile,
        grid_t=1,
        grid_h=side,
        grid_w=side,
        rows=side,
        cols=side,
        tokens=side * side,
        cells=(0, 0, grid_h, grid_w),
    )
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


def _cuts(parts: int, side: int, margin: int, length: int) -> list[int]:
    """The borders of `parts` tiles, measured from the end of the margin and clipped to the image's `length`."""
    return [min(max(i * side - margin, 0), length) for i in range(parts + 1)]


def _runs(views: Sequence[View], tile_cols: int, placeholder: str) -> Iterator[Run]:
    """The whole view at once; then each row of the stitched grid, tile by tile, and its newline."""
    yield Run(placeholder, Modality.IMAGE, 0, views[0].tokens)
    for first in range(1, len(views), tile_cols):
        for _ in range(views[first].rows):
            for i in range(first, first + tile_cols):
                yield Run(placeholder, Modality.IMAGE, i, views[i].cols)
            yield Run(placeholder, Modality.MARKER, -1, 1)
