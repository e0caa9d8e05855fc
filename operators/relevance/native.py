"""A picture's luminance on its native grid: as many pixels a cell as the family's tokens have, or a half or quarter."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from operators.slicing.qwen import border

MOST_PIXELS = 2_300_000
"""Of a grid that is looked at pixel for pixel: a full HD screen and its rounding to whole cells."""
REDUCTIONS = (1, 2, 4)


def on_grid(
    grey: Image.Image, size: tuple[int, int], grid: tuple[int, int], factor: int
) -> tuple[np.ndarray, int, int]:
    """(luminance uint8 [rows * cell, cols * cell], cell, reduction): a cell is factor / reduction pixels a side.

    grey: luminance of the picture, perhaps reduced. size: (width, height) of the picture; grid: its rows and columns
    of tokens. Where tokens are cut from the picture pixel for pixel, so are the cells; only the last of a side is
    resampled, as `border` has it.
    """
    (width, height), (rows, cols) = size, grid
    pixels = rows * cols * factor**2
    reduction = next((r for r in REDUCTIONS if pixels <= MOST_PIXELS * r * r), REDUCTIONS[-1])
    cell = math.ceil(factor / reduction)
    if reduction > 1 or grey.size != size:
        return np.asarray(grey.resize((cols * cell, rows * cell), Image.Resampling.BICUBIC)), cell, reduction
    across = [border(width, cols, factor, col) for col in (0, cols - 1, cols)]
    down = [border(height, rows, factor, row) for row in (0, rows - 1, rows)]
    found = Image.new("L", (cols * cell, rows * cell))
    for (left, right), (x, wide) in zip(_spans(across), ((0, cols - 1), (cols - 1, 1)), strict=True):
        for (top, bottom), (y, high) in zip(_spans(down), ((0, rows - 1), (rows - 1, 1)), strict=True):
            if left < right and top < bottom:
                part = grey.resize((wide * cell, high * cell), Image.Resampling.BICUBIC, box=(left, top, right, bottom))
                found.paste(part, (x * cell, y * cell))
    return np.asarray(found), cell, reduction


def _spans(edges: list[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    return (edges[0], edges[1]), (edges[1], edges[2])
