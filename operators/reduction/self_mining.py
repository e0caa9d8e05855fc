"""HiRes-LLaVA's self-mining sampler: the mean of a region asks that region alone, so a token keeps its place."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from operators.reduction.blocks import block_tokens, refusal
from operators.reduction.method import Method, Stage
from operators.reduction.plan import ImageTokens, Reduction


class SelfMining(Method):
    """Each region of region x region tokens becomes one, its query: 48 x 48 tokens become 144 of 16 each.

    A query stands at the place of its region's first token. It is the mean of the region, and attends to the region
    alone; untrained it stays the mean (loading.reduction.restoring). Regions never cross a view, and where they divide
    slices they are those of the slices' raster too: behind `hires_restore` only their order differs. Source:
    arXiv 2407.08706, without code; 4 is the side of the regions in our notes on it.
    """

    stage: ClassVar[Stage] = "merge"
    needs_grids: ClassVar[bool] = True

    method: Literal["self_mining"] = "self_mining"
    region: int = Field(default=4, gt=0, le=64)
    """Tokens along each side of a region."""

    def refuses(self, rows: int, cols: int) -> str | None:
        """Why blocks of it do not divide rows x cols."""
        return refusal((rows, cols), (self.region, self.region))

    def plan(self, tokens: ImageTokens) -> Reduction:
        """`groups` and `kept`. InputError `reduction-grid` where regions do not divide a view's grid."""
        regions = block_tokens(tokens.grids, (self.region, self.region))
        groups = np.empty(tokens.num_tokens, np.int64)
        groups[regions] = np.arange(len(regions))[:, None]
        return Reduction((self.method,), tokens.num_tokens, tokens.grids, kept=regions[:, 0], groups=groups)
