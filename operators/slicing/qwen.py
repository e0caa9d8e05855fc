"""Qwen2-VL, 2.5-VL and 3-VL: one view at nearly its own size, both sides multiples of patch x merge."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
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
        return _assemble("whole", (width, height), ([0, rows], [0, cols]), self, tokens)

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


def plan_regions(
    width: int,
    height: int,
    config: QwenConfig,
    tokens: Mapping[str, str],
    *,
    region_side: int = 20,
    max_regions: int,
) -> SlicePlan:
    """The same image as a grid of regions, each at most `region_side` tokens a side, for budgets to thin out.

    An image of more than `max_regions` is planned at the largest max_pixels (whole tokens) that makes it fit.
    Cells and boxes of the regions each tile the native grid and the picture exactly once, in raster order; a box
    border is the pixel border at or before its cell border. Layout: one start, one run per region, one end.
    Raises as `smart_resize`, and InputError (image-sliver) where even one token's area needs too many regions,
    which needs region_side * max_regions under 15.
    """
    rows, cols = _native_grid(width, height, config, region_side, max_regions)
    cuts = _cuts(rows, region_side), _cuts(cols, region_side)
    return _assemble("region", (width, height), cuts, config, tokens)


def with_budgets(
    plan: SlicePlan, budgets: Sequence[int], relevance: Sequence[int], patch: int, merge: int
) -> SlicePlan:
    """The plan with each view rendered small enough for its budget: tokens <= min(budget, native), nearly its aspect.

    budgets (tokens, each at least 1) and relevance (0..255) have one value per view and are stored in it. Sizes,
    grids, tokens and the layout's counts follow; cells and boxes stay, so positions still say where a token is.
    """
    views = tuple(
        replace(_fit(view, budget, patch, merge), relevance=score)
        for view, budget, score in zip(plan.views, budgets, relevance, strict=True)
    )
    layout = tuple(run if run.view < 0 else replace(run, count=views[run.view].tokens) for run in plan.layout)
    return replace(plan, views=views, layout=layout)


def _fit(view: View, budget: int, patch: int, merge: int) -> View:
    """One view within its budget, as `with_budgets` has it; the budget is stored in it."""
    if budget >= view.tokens:
        return replace(view, budget=budget)
    rows = min(view.rows, budget, max(1, math.isqrt(budget * view.rows // view.cols)))
    cols = max(1, min(view.cols, budget // rows))
    return replace(
        view,
        height=rows * merge * patch,
        width=cols * merge * patch,
        grid_h=rows * merge,
        grid_w=cols * merge,
        rows=rows,
        cols=cols,
        tokens=rows * cols,
        budget=budget,
    )


@lru_cache(maxsize=4096)
def _native_grid(width: int, height: int, config: QwenConfig, region_side: int, max_regions: int) -> tuple[int, int]:
    """Rows and columns of merged tokens at the largest area that needs at most `max_regions` regions."""

    def grid(max_pixels: int) -> tuple[int, int]:
        least = min(config.min_pixels, max_pixels)
        new_width, new_height = config.resized(width, height, least, max_pixels)
        return new_height // config.factor, new_width // config.factor

    def num_regions(max_pixels: int) -> int:
        rows, cols = grid(max_pixels)
        # Tokens finer than the picture's pixels (min_pixels at work on a speck) could leave a region without any.
        if rows > max(height, region_side) or cols > max(width, region_side):
            return max_regions + 1
        return math.ceil(rows / region_side) * math.ceil(cols / region_side)

    rows, cols = grid(config.max_pixels)
    if num_regions(config.max_pixels) <= max_regions:
        return rows, cols
    areas = range(config.factor**2, rows * cols * config.factor**2 + 1, config.factor**2)
    fitting = bisect_right(areas, max_regions, key=num_regions)
    if not fitting:
        raise InputError(
            Reason.IMAGE_SLIVER,
            f"image of {width}x{height} pixels; at most {max_regions} regions of {region_side} tokens a side "
            "expected; raise the number of regions",
        )
    return grid(areas[fitting - 1])


def _cuts(length: int, region_side: int) -> list[int]:
    """The borders, 0 and `length` included, of the fewest equal parts no longer than `region_side`."""
    parts = math.ceil(length / region_side)
    return [i * length // parts for i in range(parts + 1)]


def _assemble(
    kind: str, size: tuple[int, int], cuts: tuple[list[int], list[int]], config: QwenConfig, tokens: Mapping[str, str]
) -> SlicePlan:
    """One view per rectangle between the borders `cuts` (of rows, of columns), rendered at its native size."""
    width, height = size
    rows, cols = cuts[0][-1], cuts[1][-1]
    views = tuple(
        View(
            kind=kind,
            row=row,
            col=col,
            box=(left * width // cols, top * height // rows, right * width // cols, bottom * height // rows),
            height=(bottom - top) * config.factor,
            width=(right - left) * config.factor,
            grid_t=1,
            grid_h=(bottom - top) * config.merge,
            grid_w=(right - left) * config.merge,
            rows=bottom - top,
            cols=right - left,
            tokens=(bottom - top) * (right - left),
            cells=(top, left, bottom, right),
        )
        for row, (top, bottom) in enumerate(pairwise(cuts[0]))
        for col, (left, right) in enumerate(pairwise(cuts[1]))
    )
    placeholder = tokens["placeholder"]
    runs = (Run(placeholder, Modality.IMAGE, i, view.tokens) for i, view in enumerate(views))
    return SlicePlan(config.scheme, width, height, rows, cols, views, enclosed(runs, tokens), placeholder)
