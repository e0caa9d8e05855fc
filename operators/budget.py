"""Turns relevance into tokens: the rules, their floors, and their caps. Integers only."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LEVELS = (64, 144, 256, 400)
"""8², 12², 16² and 20² merged tokens."""
FULL = 255
QUERY_TOKENS = 144
"""What the query budget starts from."""
TOTALS = ("image_tokens", "image_share", "sample_tokens")


class BudgetConfig(BaseModel):
    """How relevance becomes tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["lod", "query", "global"] = "lod"
    """lod: relevance above each threshold gives a region 400, 256, 144 tokens; below all, 64. query: 144, half as many
    more where the text counts or locates, 1.3 times as many for relevance above .8, .7 times below .3. global: so many
    tokens in all, given to the regions that gain most by them."""
    thresholds: tuple[float, float, float] = (0.3, 0.5, 0.8)
    """Of relevance, for rule lod: strictly above each one raises the level by one (ARR-COC's documented rule)."""
    min_tokens: int = Field(64, ge=1)
    """Fewest tokens allowed to a region; one with fewer pixels than that keeps its own. Of regions that share a total
    none has a floor but where spread is even: every cell is in some view."""
    max_tokens: int = Field(400, ge=1)
    """Most tokens of a region; of those that share a total, only where spread is even and the total binds."""
    max_image_tokens: int = Field(2304, ge=36)
    """Most tokens of all regions of one image; floors give way to it. Not for sample_tokens, a total of its own."""
    image_tokens: int | None = Field(None, ge=36)
    """For rule global: tokens of each image; at most its own."""
    image_share: float | None = Field(None, gt=0, le=1)
    """For rule global: tokens of each image as a share of its own at native size."""
    sample_tokens: int | None = Field(None, ge=36)
    """For rule global: tokens of all images of a sample together."""
    spread: Literal["legible", "even"] = "legible"
    """legible: a region spends its tokens where reading needs them, as views of different scale; even: as one view."""

    @model_validator(mode="after")
    def _fits_together(self) -> BudgetConfig:
        if not self.min_tokens <= self.max_tokens <= self.max_image_tokens:
            raise ValueError("min_tokens <= max_tokens <= max_image_tokens must hold")
        if not 0 <= self.thresholds[0] <= self.thresholds[1] <= self.thresholds[2] <= 1:
            raise ValueError(f"thresholds is {list(self.thresholds)}; three rising numbers of 0 to 1 expected")
        given = [name for name in TOTALS if getattr(self, name) is not None]
        if len(given) != (self.rule == "global"):
            found = " and ".join(given) or "none of them"
            wanted = "one is needed for rule global" if self.rule == "global" else "they are for rule global alone"
            raise ValueError(f"{', '.join(TOTALS)}: {found} given; {wanted}")
        return self

    def floor(self, regions: int) -> int:
        """Tokens that each of so many regions of an image may have in any case."""
        return min(self.min_tokens, max(1, self.max_image_tokens // regions))

    def image_limit(self, native: int) -> int:
        """Most tokens of an image that has so many of its own, where images do not share theirs."""
        if self.rule != "global":
            return self.max_image_tokens
        return min(int(native * (self.image_share or 0)) or self.image_tokens or 1, self.max_image_tokens)


def lod(relevance: int, config: BudgetConfig) -> int:
    """Tokens of a region by the level-of-detail rule: with .8, a relevance of 204 of 255 is exactly that, not above."""
    level = sum(relevance * 1000 > round(threshold * 1000) * FULL for threshold in config.thresholds)
    return LEVELS[level]


def query_budget(relevance: int, *, is_seeking: bool) -> int:
    """Tokens of a region by the query budget. is_seeking: the text has the word count or where (ARR-COC)."""
    tenths = QUERY_TOKENS * (15 if is_seeking else 10)
    if relevance * 10 > 8 * FULL:
        tenths = tenths * 13 // 10
    elif relevance * 10 < 3 * FULL:
        tenths = tenths * 7 // 10
    return max(LEVELS[0], min(LEVELS[-1], tenths // 10))


def allocate(
    relevance: Sequence[int], native: Sequence[int], config: BudgetConfig, *, is_seeking: bool = False
) -> list[int]:
    """Tokens of each region of one image by rule lod or query, within floor, ceiling and native tokens.

    Over `max_image_tokens`, the least relevant region (of equals the last) goes down one level, again and again, from
    the lowest level to the floor.
    """
    floor = config.floor(len(relevance))
    wanted = _wanted(relevance, config, is_seeking=is_seeking)
    budgets = [
        min(size, max(floor, min(config.max_tokens, tokens))) for size, tokens in zip(native, wanted, strict=True)
    ]
    over = sum(budgets) - config.max_image_tokens
    for i in sorted(range(len(budgets)), key=lambda i: (relevance[i], -i)):
        for level in (*reversed(LEVELS), floor):
            if over > 0 and floor <= level < budgets[i]:
                over -= budgets[i] - level
                budgets[i] = level
    return budgets


def tiles_worth(relevance: Sequence[int], config: BudgetConfig, *, is_seeking: bool = False) -> int:
    """How many tiles a picture is worth whose own tiles have this relevance, by rule lod or query: at least 1.

    Each counts as the share of `max_tokens` that a region of its relevance gets, and parts of a tile as one.
    """
    wanted = _wanted(relevance, config, is_seeking=is_seeking)
    total = sum(max(config.min_tokens, min(config.max_tokens, tokens)) for tokens in wanted)
    return max(1, math.ceil(total / config.max_tokens))


def _wanted(relevance: Sequence[int], config: BudgetConfig, *, is_seeking: bool) -> list[int]:
    """Tokens of each region by the rule alone."""
    return [query_budget(r, is_seeking=is_seeking) if config.rule == "query" else lod(r, config) for r in relevance]


def upgrade(relevance: Sequence[int], native: Sequence[int], total: int, config: BudgetConfig) -> list[int]:
    """Tokens of regions that share `total`: all start at the floor, then the one that gains most by a token goes up.

    The gain of a level is the relevance times the resolution that it adds along a side, which is as the root of the
    tokens. Of equals the first. The total holds where there is a token for each; where
    the floors do not fit into it, they are lowered alike.
    """
    floor = min(config.min_tokens, max(1, total // len(relevance)))
    levels = [[floor, *(level for level in LEVELS if floor < level <= config.max_tokens)] for _ in relevance]
    ladders = [sorted({min(size, level) for level in steps}) for size, steps in zip(native, levels, strict=True)]
    return climb(relevance, ladders, total)


def climb(relevance: Sequence[int], ladders: Sequence[Sequence[int]], total: int) -> list[int]:
    """A step of each ladder of rising tokens, the first at least; upgraded by gain as in `upgrade`, within `total`."""
    budgets = [ladder[0] for ladder in ladders]
    left = total - sum(budgets)

    def offer(region: int, step: int) -> tuple[float, int, int]:
        low, high = ladders[region][step - 1], ladders[region][step]
        return -(relevance[region] + 1) * (math.sqrt(high) - math.sqrt(low)) / (high - low), region, step

    offers = [offer(region, 1) for region, ladder in enumerate(ladders) if len(ladder) > 1]
    heapq.heapify(offers)
    while offers:
        _, region, step = heapq.heappop(offers)
        cost = ladders[region][step] - budgets[region]
        if cost > left:
            continue
        left -= cost
        budgets[region] = ladders[region][step]
        if step + 1 < len(ladders[region]):
            heapq.heappush(offers, offer(region, step + 1))
    return budgets
