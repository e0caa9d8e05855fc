"""Equal blocks of a grid: which tokens stand in each, over all views of an image."""

from __future__ import annotations

import numpy as np

from operators.reduction.plan import Grid, Ints
from pipeline.errors import InputError, Reason


def refusal(grid: Grid, block: Grid) -> str | None:
    """Why blocks of block[0] x block[1] tokens do not divide a grid, and what would do; None where they do."""
    (rows, cols), (high, wide) = grid, block
    if rows % high == 0 and cols % wide == 0 and rows * cols:
        return None
    fitting = " x ".join(str(max(side - side % step, step)) for side, step in ((rows, high), (cols, wide)))
    return f"a grid of {rows} x {cols} tokens has no whole blocks of {high} x {wide}; {fitting} would do"


def block_tokens(grids: tuple[Grid, ...], block: Grid) -> Ints:
    """[blocks, high x wide] The tokens of each block in raster order, the blocks of a view in raster order.

    So the first tokens of all blocks ascend. InputError `reduction-grid` where a view has no whole blocks.
    """
    found = []
    start = 0
    high, wide = block
    for rows, cols in grids:
        why = refusal((rows, cols), block)
        if why:
            raise InputError(Reason.REDUCTION_GRID, why)
        raster = np.arange(start, start + rows * cols).reshape(rows // high, high, cols // wide, wide)
        found.append(raster.transpose(0, 2, 1, 3).reshape(-1, high * wide))
        start += rows * cols
    return np.concatenate(found) if found else np.empty((0, high * wide), np.int64)
