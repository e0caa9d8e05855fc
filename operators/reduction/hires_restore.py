"""HiRes-LLaVA's restored slices: the tokens of all slices as one raster, and exactly back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from operators.reduction.method import Method, Stage
from operators.reduction.plan import Grid, ImageTokens, Ints, Reduction
from pipeline.errors import InputError, Reason

SLICE = "tile"


class HiresRestore(Method):
    """The tokens of an image's slices stand row by row over the whole picture; its other views stay where they are.

    So slices that cut a word become neighbours again for what looks at both sides (the SliceRestore adapter, of which
    loading.reduction.restoring has one). Source: arXiv 2407.08706, without code.
    """

    stage: ClassVar[Stage] = "arrange"
    needs_grids: ClassVar[bool] = True

    method: Literal["hires_restore"] = "hires_restore"

    def plan(self, tokens: ImageTokens) -> Reduction:
        """`restore`; None where the image has no two slices.

        InputError `reduction-grid` where slices leave a gap, or those of one row differ in their rows of tokens.
        """
        slices = _slices(tokens)
        reduction = Reduction((self.method,), tokens.num_tokens, tokens.grids)
        if len(slices) < 2:
            return reduction
        places = _token_places(tokens)
        raster = slice_raster([tokens.grids[i] for i in slices], [tokens.places[i] for i in slices])
        ours = np.concatenate([places[i] for i in slices])
        restore = np.arange(tokens.num_tokens)
        restore[ours] = ours[raster]
        return replace(reduction, restore=restore)


def slice_raster(grids: Sequence[Grid], places: Sequence[Grid]) -> Ints:
    """[n] At each place of the raster, the number of its token among all tokens of the slices, slice after slice.

    grids: rows and columns of tokens of each slice; places: its row and column among slices, in any order.
    InputError `reduction-grid` where they make no raster.
    """
    heights, widths = _sides(grids, places)
    tops, lefts = (np.cumsum([0, *sides]) for sides in (heights, widths))
    raster = np.empty((tops[-1], lefts[-1]), np.int64)
    start = 0
    for (rows, cols), (row, col) in zip(grids, places, strict=True):
        raster[tops[row] : tops[row + 1], lefts[col] : lefts[col + 1]] = np.arange(start, start + rows * cols).reshape(
            rows, cols
        )
        start += rows * cols
    return raster.ravel()


def _slices(tokens: ImageTokens) -> list[int]:
    return [i for i, kind in enumerate(tokens.kinds) if kind == SLICE]


def _token_places(tokens: ImageTokens) -> list[Ints]:
    """Of each view, where its tokens stand among those of the image."""
    ends = np.cumsum([rows * cols for rows, cols in tokens.grids])
    return np.split(np.arange(tokens.num_tokens), ends[:-1])


def _sides(grids: Sequence[Grid], places: Sequence[Grid]) -> tuple[list[int], list[int]]:
    """Rows of tokens in each row of slices, columns in each column."""
    num_rows, num_cols = (1 + max(place[axis] for place in places) for axis in (0, 1))
    if sorted(places) != [(row, col) for row in range(num_rows) for col in range(num_cols)]:
        raise InputError(
            Reason.REDUCTION_GRID,
            f"{len(places)} slices make no raster of {num_rows} x {num_cols}; one slice at each place expected",
        )
    by_place = dict(zip(places, grids, strict=True))
    heights = [by_place[row, 0][0] for row in range(num_rows)]
    widths = [by_place[0, col][1] for col in range(num_cols)]
    for (row, col), grid in by_place.items():
        if grid != (heights[row], widths[col]):
            raise InputError(
                Reason.REDUCTION_GRID,
                f"slice {row}, {col} has {grid[0]} x {grid[1]} tokens and its neighbours ask for "
                f"{heights[row]} x {widths[col]}; as many rows along a row of slices, and columns along a column",
            )
    return heights, widths
