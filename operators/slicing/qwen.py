"""Qwen2-VL, 2.5-VL and 3-VL: one view at nearly its own size, both sides multiples of patch x merge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from operators.slicing.layout import ALONE, enclosed
from pipeline.errors import InputError, Reason
from pipeline.types import Modality, Place, Run, SlicePlan, View

MAX_ASPECT = 200
"""Thinner pictures are refused by the reference (qwen-vl-utils, vision_process.py)."""


class QwenConfig(BaseModel, frozen=True, extra="forbid"):
    """Numbers of one Qwen-VL checkpoint; its preprocessor_config.json names them."""

    scheme: Literal["qwen"] = "qwen"
    patch: int = Field(gt=0)
    """Side of one vision patch, in pixels: 14, or 16 for Qwen3."""
    merge: int = Field(gt=0)
    """Patches per token along each side."""
    min_pixels: int = Field(gt=0)
    """Smaller images are enlarged to at least this area."""
    max_pixels: int = Field(gt=0)
    """Larger images are shrunk to at most this area."""
    rounds_to_zero: bool = False
    """Whether a side under half a token first counts as none, so that the picture is taken for one below min_pixels
    (transformers' image processor), and not as one token (qwen-vl-utils). 1000x10 is 20 tokens by the one, 36 by the
    other."""
    stamped_frames: bool = False
    """Whether each step of a video stands alone behind its time, as in Qwen3-VL."""

    @property
    def factor(self) -> int:
        """Side of one token, in pixels."""
        return self.patch * self.merge

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if not max(self.min_pixels, self.factor**2) <= self.max_pixels:
            raise ValueError(
                f"max_pixels is {self.max_pixels}; at least min_pixels ({self.min_pixels}) and one token "
                f"({self.factor**2}) expected; raise max_pixels"
            )
        return self

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:  # noqa: ARG002 - every image alike
        """One `whole` view; layout: start, rows x cols placeholders, end. Raises as `smart_resize`."""
        new_width, new_height = self.resized(width, height, self.min_pixels, self.max_pixels)
        rows, cols = new_height // self.factor, new_width // self.factor
        return assemble("whole", (width, height), ([0, rows], [0, cols]), self, tokens)

    def resized(self, width: int, height: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
        """`smart_resize` by the numbers of this checkpoint within other bounds."""
        least_side = 0 if self.rounds_to_zero else self.factor
        return smart_resize(width, height, self.factor, min_pixels, max_pixels, least_side)


def smart_resize(
    width: int, height: int, factor: int, min_pixels: int, max_pixels: int, least_side: int | None = None
) -> tuple[int, int]:
    """The (width, height) in pixels at which Qwen-VL sees an image; multiples of `factor` at nearly its aspect.

    Rounds half to even, as the reference does: 70 pixels are 2 tokens of 28, not 3. Raises InputError
    (image-sliver) above 200:1. least_side: what a side is at least before the bounds are looked at; one factor by
    default. The reference may return a side of 0 for a thin image under a small max_pixels
    (5600x28 at 64 tokens); here that side is one factor, and the area may then exceed max_pixels.
    Source: smart_resize of qwen-vl-utils, which takes and returns (height, width).
    """
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(
            Reason.IMAGE_SLIVER,
            f"image of {width}x{height} pixels; at most {MAX_ASPECT}:1 expected; crop or drop it",
        )
    least_side = factor if least_side is None else least_side
    new_width = max(least_side, round(width / factor) * factor)
    new_height = max(least_side, round(height / factor) * factor)
    if new_width * new_height > max_pixels:
        shrink = math.sqrt((height * width) / max_pixels)
        new_width = max(factor, math.floor(width / shrink / factor) * factor)
        new_height = max(factor, math.floor(height / shrink / factor) * factor)
    elif new_width * new_height < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_width = math.ceil(width * grow / factor) * factor
        new_height = math.ceil(height * grow / factor) * factor
    return new_width, new_height


def assemble(
    kind: str, size: tuple[int, int], cuts: tuple[list[int], list[int]], config: QwenConfig, tokens: Mapping[str, str]
) -> SlicePlan:
    """One view per rectangle between the borders `cuts` (of rows, of columns), rendered at its native size."""
    grid = cuts[0][-1], cuts[1][-1]
    views = tuple(
        region_view(kind, (row, col), (top, left, bottom, right), size, grid, config)
        for row, (top, bottom) in enumerate(pairwise(cuts[0]))
        for col, (left, right) in enumerate(pairwise(cuts[1]))
    )
    placeholder = tokens["placeholder"]
    runs = (Run(placeholder, Modality.IMAGE, i, view.tokens) for i, view in enumerate(views))
    return SlicePlan(config.scheme, *size, *grid, views, enclosed(runs, tokens), placeholder)


def region_view(
    kind: str,
    place: tuple[int, int],
    cells: tuple[int, int, int, int],
    size: tuple[int, int],
    grid: tuple[int, int],
    config: QwenConfig,
) -> View:
    """The view of `cells` (top, left, bottom, right) at its native size.

    place: its row and column; size: (width, height) of the picture; grid: rows and columns of its native grid.
    """
    top, left, bottom, right = cells
    (width, height), (rows, cols) = size, grid
    down, across = partial(border, height, rows, config.factor), partial(border, width, cols, config.factor)
    view = View(
        kind=kind,
        row=place[0],
        col=place[1],
        box=(across(left), down(top), across(right), down(bottom)),
        height=0,
        width=0,
        grid_t=1,
        grid_h=0,
        grid_w=0,
        rows=0,
        cols=0,
        tokens=0,
        cells=cells,
    )
    return rendered(view, bottom - top, right - left, config)


def rendered(view: View, rows: int, cols: int, config: QwenConfig) -> View:
    """The view at rows x cols tokens."""
    return replace(
        view,
        height=rows * config.factor,
        width=cols * config.factor,
        grid_h=rows * config.merge,
        grid_w=cols * config.merge,
        rows=rows,
        cols=cols,
        tokens=rows * cols,
    )


def border(length: int, cells: int, factor: int, cell: int) -> int:
    """The pixel at which cell number `cell` of a side begins.

    A side within half a token of a whole number of them is cut at multiples of `factor`, so that what is rendered at
    its native size is copied pixel for pixel, and only the last cell has more or fewer pixels: resampling a page of
    text by a percent already costs one word in six. Other sides are cut in proportion.
    """
    if cell == cells:
        return length
    return cell * factor if 2 * abs(length - cells * factor) <= factor else cell * length // cells
