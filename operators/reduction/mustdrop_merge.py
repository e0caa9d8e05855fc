"""MustDrop's first stage: windows of tokens that show the same become one token."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from operators.reduction.cosines import ONE, cosines, tamed
from operators.reduction.method import Method, Need, Stage
from operators.reduction.plan import Grid, ImageTokens, Ints, Reduction, merged_into


class MustDropMerge(Method):
    """Merges each window whose tokens have a mean cosine, of each with each other, of at least `threshold`.

    Source: MustDrop (arXiv 2411.10803), its `conditional_pooling` behind the first layer of CLIP. Otherwise than there:

    - every image has the windows that reach the threshold; the reference takes as many of each image of a batch as the
      one with the fewest has, so that an image's tokens hang on its neighbours;
    - cosines are of what the tokens show (features.py), as no encoder runs here;
    - a merged token has the place of its window's first token, and all stand in the order of the image; the reference
      puts the merged ones first, the most alike before the others;
    - any grid: windows are laid from its top left, and the rows and columns that are left over stay as they are.
    """

    stage: ClassVar[Stage] = "merge"
    needs: ClassVar[frozenset[Need]] = frozenset({"features"})
    needs_grids: ClassVar[bool] = True

    method: Literal["mustdrop_merge"] = "mustdrop_merge"
    window: int = Field(default=3, ge=2)
    """Side of a window, in tokens."""
    threshold: float = Field(default=0.8, ge=-1, le=1)
    """Least mean cosine of a window that is merged."""

    def plan(self, tokens: ImageTokens) -> Reduction:
        """A grid smaller than a window has none, and stays."""
        assert tokens.features is not None
        features, num_tokens = tamed(tokens.features), tokens.num_tokens
        target = np.arange(num_tokens)
        start = 0
        for grid in tokens.grids:
            places = start + windows(grid, self.window)
            merged = places[self._alike(features[places])]
            target[merged] = merged[:, :1]
            start += grid[0] * grid[1]
        kept, groups = merged_into(target)
        return Reduction(
            methods=(self.method,),
            num_tokens=num_tokens,
            grids=tokens.grids,
            kept=kept,
            groups=groups,
        )

    def _alike(self, features: Ints) -> np.ndarray:
        """Which windows, of features [windows, tokens, d], reach the threshold."""
        size = features.shape[1]
        found = cosines(features, features) * (1 - np.eye(size, dtype=np.int64))
        least = Fraction(str(self.threshold)) * size * (size - 1) * ONE
        return np.asarray(found.sum(axis=(1, 2)) * least.denominator >= least.numerator)


def windows(grid: Grid, side: int) -> Ints:
    """Raster places of the tokens of each whole window, [windows, side * side], both row by row."""
    rows, cols = grid[0] // side, grid[1] // side
    places = np.arange(grid[0] * grid[1]).reshape(grid)[: rows * side, : cols * side]
    return places.reshape(rows, side, cols, side).swapaxes(1, 2).reshape(rows * cols, side * side)
