"""An image of native resolution as a grid of regions, of which each may be rendered at a size of its own."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from operators.slicing.qwen import QwenConfig, assemble, rendered
from pipeline.errors import InputError, Reason
from pipeline.types import SlicePlan, View

RESAMPLE = "hamming"
"""Filter that regions are shrunk with: of the words on screenshots an OCR reader finds .82 so at a fifth of the tokens,
and .80 bicubically; rings around strokes cost it more than blur."""
REGION_SIDE = 20
"""Tokens along the longest side of a region: 20 x 20 is the highest level of detail."""
MAX_REGIONS = 36
"""Regions of an image, 14,400 tokens at most: 2,304, the default of all, is 64 for each. Not the job's to choose, so
that a stored relevance map fits whatever the budget."""


def plan_regions(
    width: int,
    height: int,
    config: QwenConfig,
    tokens: Mapping[str, str],
    *,
    region_side: int = REGION_SIDE,
    max_regions: int = MAX_REGIONS,
) -> SlicePlan:
    """The same image as a grid of regions, each at most `region_side` tokens a side, for budgets to thin out.

    An image of more than `max_regions` is planned at the largest max_pixels (whole tokens) that makes it fit.
    Cells and boxes of the regions each tile the native grid and the picture exactly once, in raster order (`border`
    has a box's). Layout: one start, one run per region, one end.
    Raises as `smart_resize`, and InputError (image-sliver) where even one token's area needs too many regions,
    which needs region_side * max_regions under 15.
    """
    rows, cols = _native_grid(width, height, config, region_side, max_regions)
    borders = cuts(rows, region_side), cuts(cols, region_side)
    return replace(assemble("region", (width, height), borders, config, tokens), resample=RESAMPLE)


def shrunk(view: View, budget: int, config: QwenConfig) -> View:
    """The view rendered small enough for `budget` tokens (at least 1), which never enlarges it, at nearly its aspect.

    Cells stay, so positions still say where a token is.
    """
    if budget >= view.tokens:
        return view
    rows = min(view.rows, budget, max(1, math.isqrt(budget * view.rows // view.cols)))
    return rendered(view, rows, max(1, min(view.cols, budget // rows)), config)


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


def cuts(length: int, region_side: int) -> list[int]:
    """The borders, 0 and `length` included, of the fewest equal parts no longer than `region_side`."""
    parts = math.ceil(length / region_side)
    return [i * length // parts for i in range(parts + 1)]
