"""Dynamic-VLM: the more frames a document has, the fewer tokens each; all together never more than a budget."""

from __future__ import annotations

from math import isqrt
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from operators.reduction.method import Method, Stage
from operators.reduction.plan import Grid, ImageTokens, Reduction
from operators.reduction.pooling import pooled_grids, pooling_plan
from operators.reduction.seeded import draw_below
from pipeline.errors import InputError, Reason


class FramePool(Method):
    """Each of n images of a document is pooled to s x s tokens, s the root of min(total // n, most), rounded down.

    An image that has no more tokens than that is left as it is, and a side that is shorter than s stays so. An image
    of several views shares its tokens equally among them. In training the reference draws `most` for each video; so
    does `draw`, once a document. Source: arXiv 2412.09530 and Hon-Wong/ByteVideoLLM, dynamic_spatial_pooling.py, with
    the numbers of its sample_config.yaml; the paper's own total is 12,000 (7B) or 10,000 (14B). Of more images than
    `total` the reference lets each have a token, over the budget; we refuse such a document.
    """

    stage: ClassVar[Stage] = "merge"
    needs_grids: ClassVar[bool] = True

    method: Literal["frame_pool"] = "frame_pool"
    total: int = Field(default=3200, gt=0)
    """Tokens that all images of a document may have together."""
    most: int = Field(default=576, gt=0)
    """Tokens that one image may have."""
    draw: bool = False
    """Whether a document's `most` is drawn, from `least` up to it, both included: for training."""
    least: int = Field(default=100, gt=0)
    """With `draw`: the least that is drawn; 16 in the paper."""
    seed: int = 0
    """With `draw`."""

    @model_validator(mode="after")
    def _range_fits(self) -> Self:
        if self.draw and self.least > self.most:
            raise ValueError(f"least is {self.least}; at most most ({self.most}) expected; lower it")
        return self

    def plan(self, tokens: ImageTokens) -> Reduction:
        """`pools` and `kept`. InputError `reduction-grid` where a view would be left without a token."""
        budget = min(self.total // tokens.count, self._most(tokens))
        num_views = max(1, len(tokens.grids))
        if budget < num_views:
            raise InputError(
                Reason.REDUCTION_GRID,
                f"{tokens.count} images share {self.total} tokens, and one of them has {num_views} views; at least a "
                "token for each expected; raise total, or take fewer frames",
            )
        return pooling_plan(self.method, tokens, _pools(tokens.grids, budget // num_views))

    def _most(self, tokens: ImageTokens) -> int:
        if not self.draw:
            return self.most
        return self.least + draw_below(self.most - self.least + 1, self.seed, self.method, tokens.document)


def _pools(grids: tuple[Grid, ...], budget: int) -> tuple[Grid, ...]:
    """Of each view, with `budget` tokens for it."""
    sides = [max(grid) if grid[0] * grid[1] <= budget else isqrt(budget) for grid in grids]
    return pooled_grids(grids, sides)
