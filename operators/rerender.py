"""Cuts the images of one sample into views that have the tokens which their relevance is worth.

Reads 8-bit maps and sizes alone, as `apportion` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np

from operators.budget import BudgetConfig, allocate, upgrade
from operators.relevance.balancing import FULL
from operators.relevance.legibility import LOSSES, SCALES
from operators.slicing.qwen import QwenConfig, region_view, rendered
from operators.slicing.regions import REGION_SIDE, cuts, shrunk
from operators.spending import Region, Spent, together, within
from pipeline.operator import Row
from pipeline.types import View

BLOCK_SIDE = 2 * REGION_SIDE
"""Where tokens are shared by a whole image, it is partitioned in blocks of up to so many cells a side: borders of
regions cost .02 to .03 of the words read at a fifth of the tokens."""
LOSS = np.array(LOSSES, np.float64)


@dataclass(frozen=True, slots=True)
class _Block:
    """A rectangle of an image's native grid whose tokens are spent together."""

    image: int
    place: tuple[int, int]
    """Row and column among the image's blocks."""
    cells: tuple[int, int, int, int]
    """top, left, bottom, right"""

    @property
    def native(self) -> int:
        """Tokens at native size."""
        top, left, bottom, right = self.cells
        return (bottom - top) * (right - left)


Share = tuple[list[_Block], int]
"""Blocks, and the tokens that they share."""


class Rerender:
    """The images of one sample under a budget."""

    def __init__(
        self, plans: Sequence[Row], relevances: Sequence[Row], budget: BudgetConfig, slicing: QwenConfig, *, keeps: bool
    ) -> None:
        self._plans, self._relevances, self._keeps = plans, relevances, keeps
        self._budget, self._slicing = budget, slicing
        self._losses = [_losses(plan, found["legibility"]) for plan, found in zip(plans, relevances, strict=True)]
        self._worth = [_worth(plan, found) for plan, found in zip(plans, relevances, strict=True)]

    def views(self) -> list[list[View]]:
        """Of each image, in raster order of its blocks."""
        found: list[list[View]] = [[] for _ in self._plans]
        for blocks, tokens in self._shares():
            for block, view in self._spend(blocks, tokens):
                found[block.image].append(view)
        return found

    def _shares(self) -> Iterator[Share]:
        """Each block once, in order."""
        images = range(len(self._plans))
        if self._budget.rule != "global":
            for image in images:
                regions = self._blocks(image, REGION_SIDE)
                relevance = self._relevances[image]
                is_seeking = relevance["query"]["is_seeking"]
                native = [region.native for region in regions]
                budgets = allocate(relevance["combined"], native, self._budget, is_seeking=is_seeking)
                yield from (([region], tokens) for region, tokens in zip(regions, budgets, strict=True))
        elif self._budget.sample_tokens is not None:
            yield from self._shared(images, self._budget.sample_tokens)
        else:
            for image in images:
                native = self._plans[image]["grid_h"] * self._plans[image]["grid_w"]
                yield from self._shared([image], self._budget.image_limit(native))

    def _shared(self, images: Sequence[int], total: int) -> Iterator[Share]:
        """Of images with `total` tokens in all: one price for all blocks, or regions that are upgraded in turn."""
        regions = [region for image in images for region in self._blocks(image, REGION_SIDE)]
        native = [region.native for region in regions]
        if sum(native) > total and all(self._losses[image] is not None for image in images):
            yield [block for image in images for block in self._blocks(image, BLOCK_SIDE)], total
            return
        relevance = [value for image in images for value in self._relevances[image]["combined"]]
        budgets = native if sum(native) <= total else upgrade(relevance, native, total, self._budget)
        yield from (([region], tokens) for region, tokens in zip(regions, budgets, strict=True))

    def _blocks(self, image: int, side: int) -> list[_Block]:
        """The fewest equal parts of at most `side` cells a side."""
        plan = self._plans[image]
        rows, cols = (list(enumerate(pairwise(cuts(plan[name], side)))) for name in ("grid_h", "grid_w"))
        return [
            _Block(image, (row, col), (top, left, bottom, right))
            for (row, (top, bottom)), (col, (left, right)) in product(rows, cols)
        ]

    def _spend(self, blocks: Sequence[_Block], tokens: int) -> Iterator[tuple[_Block, View]]:
        """The views of blocks that share `tokens`."""
        if kept := self._kept(blocks, tokens):
            yield from ((blocks[0], view) for view in kept)
            return
        spent = self._partition(blocks, tokens)
        if spent is None:
            for block in blocks:
                own = max(1, tokens // len(blocks))
                yield block, shrunk(self._view(block, block.cells, own), own, self._slicing)
            return
        for block, pieces in zip(blocks, spent.pieces, strict=True):
            top, left = block.cells[:2]
            own = sum(piece.tokens for piece in pieces) if len(blocks) > 1 else tokens
            for piece in pieces:
                up, near, down, far = piece.cells
                view = self._view(block, (top + up, left + near, top + down, left + far), own)
                yield block, rendered(view, piece.rows, piece.cols, self._slicing)

    def _kept(self, blocks: Sequence[_Block], tokens: int) -> list[View]:
        """The views that a region of as many tokens had; none where it had another number, or they are not to count."""
        if not self._keeps or len(blocks) > 1:
            return []
        block = blocks[0]
        had = [view for view in self._plans[block.image]["views"] if (view["row"], view["col"]) == block.place]
        if any(view["budget"] != tokens for view in had) or _around(had) != block.cells:
            return []
        tuples = ({name: tuple(view[name]) for name in ("box", "cells")} for view in had)
        return [
            View(**view | more | {"relevance": self._worth_at(block.image, more["cells"])})
            for view, more in zip(had, tuples, strict=True)
        ]

    def _worth_at(self, image: int, cells: Sequence[int]) -> int:
        """Relevance of the region in the middle of some cells."""
        top, left, bottom, right = cells
        return int(self._worth[image][(top + bottom - 1) // 2, (left + right - 1) // 2])

    def _partition(self, blocks: Sequence[_Block], tokens: int) -> Spent | None:
        """None where each block stays one view: it fits, its losses are unknown, or it may have next to nothing."""
        if len(blocks) == 1 and (blocks[0].native <= tokens or self._losses[blocks[0].image] is None):
            return None
        spent = within(together([self._region(block) for block in blocks]), tokens)
        return None if spent.tokens > tokens else spent

    def _region(self, block: _Block) -> Region:
        """The block's cells with what is lost in them; where regions share tokens, full relevance counts twice none."""
        plan, losses = self._plans[block.image], self._losses[block.image]
        assert losses is not None
        top, left, bottom, right = block.cells
        own = losses[:, top:bottom, left:right]
        if self._budget.rule == "global":
            own = own * (self._worth[block.image][top:bottom, left:right] + FULL) / (2 * FULL)
        factor = self._slicing.factor
        height = bottom - top + (bottom == plan["grid_h"]) * _excess(plan["height"], plan["grid_h"], factor)
        width = right - left + (right == plan["grid_w"]) * _excess(plan["width"], plan["grid_w"], factor)
        return Region(own, SCALES, (height, width))

    def _view(self, block: _Block, cells: tuple[int, int, int, int], budget: int) -> View:
        """A view of some cells at native size."""
        plan = self._plans[block.image]
        size, grid = (plan["width"], plan["height"]), (plan["grid_h"], plan["grid_w"])
        view = region_view("region", block.place, cells, size, grid, self._slicing)
        return replace(view, budget=budget, relevance=self._worth_at(block.image, cells))


def _losses(plan: Row, codes: bytes | None) -> np.ndarray | None:
    """What is lost in each cell at each scale, [scales, rows, cols]; None where nobody asked.

    Also None for a speck, enlarged until cells are finer than pixels: it could be cut into views without a pixel.
    """
    if codes is None or plan["height"] < plan["grid_h"] or plan["width"] < plan["grid_w"]:
        return None
    shape = (len(SCALES), plan["grid_h"], plan["grid_w"])
    return np.asarray(LOSS[np.frombuffer(codes, np.uint8).reshape(shape)])


def _worth(plan: Row, relevance: Row) -> np.ndarray:
    """Relevance of the region that each cell lies in, [rows, cols]."""
    regions = np.array(relevance["combined"], np.int64).reshape(relevance["rows"], relevance["cols"])
    down, across = (np.diff(cuts(plan[name], REGION_SIDE)) for name in ("grid_h", "grid_w"))
    return regions.repeat(down, axis=0).repeat(across, axis=1)


def _excess(length: int, cells: int, factor: int) -> float:
    """How much longer than one cell the last cell of a side is, in cells: 0 where the picture is cut in proportion."""
    missing = length - cells * factor
    return missing / factor if 2 * abs(missing) <= factor else 0.0


def _around(views: Sequence[Row]) -> tuple[int, ...]:
    """The cells that views cover together."""
    if not views:
        return ()
    tops, lefts, bottoms, rights = zip(*(view["cells"] for view in views), strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)
