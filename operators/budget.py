"""Turns relevance into tokens: the level-of-detail rule, its floor, and the cap per image. Integers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LEVELS = (64, 144, 256, 400)
"""8², 12², 16² and 20² merged tokens."""
THRESHOLDS = (0.3, 0.5, 0.8)
"""Relevance strictly above each one raises the level by one (ARR-COC's documented rule)."""


class BudgetConfig(BaseModel):
    """How relevance becomes tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["lod"] = "lod"
    """lod: relevance above .8, .5, .3 gives a region 400, 256, 144 tokens; below, 64."""
    min_tokens: int = Field(64, ge=1)
    """Fewest tokens allowed to a region; one with fewer pixels than that keeps its own."""
    max_tokens: int = Field(400, ge=1)
    """Most tokens of a region."""
    max_image_tokens: int = Field(2304, ge=1)
    """Most tokens of all regions of one image."""

    @model_validator(mode="after")
    def _ordered(self) -> BudgetConfig:
        if not self.min_tokens <= self.max_tokens <= self.max_image_tokens:
            raise ValueError("min_tokens <= max_tokens <= max_image_tokens must hold")
        return self

    @property
    def max_regions(self) -> int:
        """Regions that an image may have so that each gets its floor."""
        return self.max_image_tokens // self.min_tokens


def level(relevance: int) -> int:
    """Index into LEVELS for a relevance of 0..255: 204 is exactly .8 and stays below it."""
    return sum(relevance * 10 > round(threshold * 10) * 255 for threshold in THRESHOLDS)


def allocate(relevance: Sequence[int], native: Sequence[int], config: BudgetConfig) -> list[int]:
    """Tokens of each region of one image: the rule's, within floor, ceiling and native tokens, their sum capped.

    Over the cap, the least relevant region (of equals the last) goes down one level, again and again, from the
    lowest level to the floor. The cap holds for up to `config.max_regions` regions.
    """
    levels = [level(value) for value in relevance]

    def tokens(i: int) -> int:
        allowed = LEVELS[levels[i]] if levels[i] >= 0 else 0
        return min(native[i], max(config.min_tokens, min(config.max_tokens, allowed)))

    budgets = [tokens(i) for i in range(len(levels))]
    for i in sorted(range(len(levels)), key=lambda i: (relevance[i], -i)):
        while sum(budgets) > config.max_image_tokens and levels[i] >= 0:
            levels[i] -= 1
            budgets[i] = tokens(i)
    return budgets
