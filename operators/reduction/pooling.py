"""Adaptive average pooling as a plan: where each pooled token looks, and which token's place it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from operators.reduction.plan import Grid, ImageTokens, Ints, Reduction


def boundaries(side: int, pooled: int) -> list[tuple[int, int]]:
    """First and one past the last row (or column) of each of `pooled` regions along a side, which may overlap by one.

    Cell i looks at floor(i side / pooled) .. ceil((i + 1) side / pooled). Source: torch's adaptive_avg_pool2d.
    """
    return [(i * side // pooled, -(-(i + 1) * side // pooled)) for i in range(pooled)]


def pooled_grids(grids: Sequence[Grid], sides: Sequence[int]) -> tuple[Grid, ...]:
    """Each view pooled to side x side. A side that is shorter stays as it is: nothing is made up by pooling."""
    return tuple((min(rows, side), min(cols, side)) for (rows, cols), side in zip(grids, sides, strict=True))


def pooling_plan(method: str, tokens: ImageTokens, pools: tuple[Grid, ...]) -> Reduction:
    """`pools` and `kept`: a pooled token stands at the place of the first token of its region.

    Where pools are no larger than their grids these are all distinct, and ascend as the pooled tokens do.
    """
    kept = np.array([start + first for start, first, _ in regions(tokens.grids, pools)], np.int64)
    return Reduction((method,), tokens.num_tokens, tokens.grids, kept=kept, pools=pools)


def pooled_sums(values: Ints, grids: Sequence[Grid], pools: Sequence[Grid]) -> tuple[Ints, Ints]:
    """Of each pooled token, the sum over its region, and how many tokens that has."""
    found = [values[start + region] for start, _, region in regions(grids, pools)]
    return np.array([region.sum() for region in found]), np.array([len(region) for region in found])


def regions(grids: Sequence[Grid], pools: Sequence[Grid]) -> Iterator[tuple[int, int, Ints]]:
    """Of each pooled token: where its view starts, and in its view its first token and all of them."""
    start = 0
    for (rows, cols), (high, wide) in zip(grids, pools, strict=True):
        raster = np.arange(rows * cols).reshape(rows, cols)
        for top, bottom in boundaries(rows, high):
            for left, right in boundaries(cols, wide):
                yield start, top * cols + left, raster[top:bottom, left:right].ravel()
        start += rows * cols
