"""Views of a picture that is shown whole and as equal tiles of one canvas."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Self

from pydantic import BaseModel, Field, model_validator

from pipeline.types import Canvas, View


class SquareTiles(BaseModel, frozen=True, extra="forbid"):
    """Numbers of a family whose tiles and whole view are squares of one size."""

    tile: int = Field(gt=0)
    """Side of a tile and of the whole view, in pixels."""
    patch: int = Field(gt=0)
    """Side of a vision patch, in pixels."""
    merge: int = Field(gt=0)
    """Patches per token along each side (pixel shuffle, `scale_factor`)."""

    @property
    def side(self) -> int:
        """Tokens along a view's side."""
        return self.tile // self.patch // self.merge

    @model_validator(mode="after")
    def _tile_has_tokens(self) -> Self:
        if not self.side:
            raise ValueError(
                f"tile is {self.tile}; at least one token ({self.patch * self.merge} pixels) expected; raise it"
            )
        return self


def whole_view(
    picture: tuple[int, int],
    rendered: tuple[int, int],
    patch: int,
    tokens: tuple[int, int],
    grid: tuple[int, int] | None = None,
) -> View:
    """All of a picture in one view, on all of its native grid.

    picture, rendered: (width, height) in pixels; patch: pixels; tokens: (columns, rows) of the view's merged tokens;
    grid: (columns, rows) of the native grid, those of the view itself unless tiles make it finer.
    """
    cols, rows = tokens
    grid_w, grid_h = grid or tokens
    return View(
        kind="whole",
        row=0,
        col=0,
        box=(0, 0, *picture),
        height=rendered[1],
        width=rendered[0],
        grid_t=1,
        grid_h=rendered[1] // patch,
        grid_w=rendered[0] // patch,
        rows=rows,
        cols=cols,
        tokens=rows * cols,
        cells=(0, 0, grid_h, grid_w),
    )


def tile_views(canvas: Canvas, whole: View, side: tuple[int, int], patch: int, tokens: tuple[int, int]) -> list[View]:
    """Every tile of `canvas`, row-major; together their boxes cover the picture of `whole`, and their cells its grid.

    side: (width, height) of a tile in pixels; tokens: (columns, rows) of its merged tokens. A box is what the tile
    shows of the picture, without the canvas's padding, each border rounded down to a pixel.
    """
    _, _, width, height = whole.box
    tile_cols, tile_rows = canvas.width // side[0], canvas.height // side[1]
    lefts = _borders(tile_cols, side[0], canvas.left, canvas.resized_width, width)
    tops = _borders(tile_rows, side[1], canvas.top, canvas.resized_height, height)
    cols, rows = tokens
    tile = replace(
        whole,
        kind="tile",
        height=side[1],
        width=side[0],
        grid_h=side[1] // patch,
        grid_w=side[0] // patch,
        rows=rows,
        cols=cols,
        tokens=rows * cols,
    )
    return [
        replace(
            tile,
            row=row,
            col=col,
            box=(left, top, right, bottom),
            cells=(row * rows, col * cols, (row + 1) * rows, (col + 1) * cols),
        )
        for row, (top, bottom) in enumerate(pairwise(tops))
        for col, (left, right) in enumerate(pairwise(lefts))
    ]


def _borders(parts: int, side: int, margin: int, resized: int, length: int) -> list[int]:
    """The borders of `parts` tiles in pixels of the picture, whose `length` is shown on `resized` pixels."""
    return [min(max(i * side - margin, 0), resized) * length // resized for i in range(parts + 1)]
