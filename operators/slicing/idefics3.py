"""Idefics3, SmolVLM, SmolVLM2: tiles of a picture that is stretched to a fixed longest side, then the whole of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import Field

from operators.slicing.layout import ALONE, enclosed
from operators.slicing.tiles import SquareTiles, tile_views, whole_view
from pipeline.types import Canvas, Modality, Place, Run, SlicePlan, View


class Idefics3Config(SquareTiles):
    """Numbers of one checkpoint."""

    scheme: Literal["idefics3"] = "idefics3"
    longest: int = Field(gt=0, le=4096)
    """Every picture's longest side is resized to this many pixels, small ones too; the reference caps it at 4,096."""
    max_tiles: int | None = Field(default=None, gt=0)
    """Most tiles, the whole view not counted: a picture that would have more is resized to fewer whole tiles on its
    longest side. None: as many as `longest` gives."""
    whole_text: str = ""
    """Plain text that names the whole view, for a family without a special token for it."""

    def at_most(self, tiles: int) -> Self:
        """The same with at most so many tiles (at least 1)."""
        if self.max_tiles is not None and tiles >= self.max_tiles:
            return self
        return self.model_copy(update={"max_tiles": tiles})

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:  # noqa: ARG002 - every image alike
        """The tiles row-major, each after its label, a line break after each row; then, after another, the `whole`.

        A picture that fills one tile alone is the whole view alone. The whole view is resized from the canvas, whose
        picture was resized twice. Takes any shape. Labels that are no special tokens of the profile are text, as
        Idefics3 has them. Source: transformers' image_processing_pil_idefics3.py and processing_idefics3.py.
        """
        first, size = self._sizes(width, height)
        canvas = Canvas(*size, *size, 0, 0, *first, has_whole=True)
        shape = self.side, self.side
        cols, rows = size[0] // self.tile, size[1] // self.tile
        native = cols * self.side, rows * self.side
        whole = whole_view((width, height), (self.tile, self.tile), self.patch, shape, native)
        tiles = tile_views(canvas, whole, (self.tile, self.tile), self.patch, shape) if cols * rows > 1 else []
        views = (*tiles, whole)
        marks = tokens if "whole" in tokens or not self.whole_text else {**tokens, "whole": self.whole_text}
        layout = enclosed(_runs(views, marks), tokens)
        return SlicePlan(
            self.scheme, width, height, native[1], native[0], views, layout, tokens["placeholder"], canvas, "lanczos"
        )

    def _sizes(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """(width, height) of the first resize and of the canvas: of the largest that has few enough tiles."""
        shorter = range((self.longest - 1) // self.tile * self.tile, 0, -self.tile)
        for longest in (self.longest, *shorter):
            first = rescale_to_longest(width, height, longest)
            size = fit_to_tiles(*first, self.tile)
            if self.max_tiles is None or size[0] * size[1] <= self.max_tiles * self.tile**2:
                break
        return first, size


def rescale_to_longest(width: int, height: int, longest: int) -> tuple[int, int]:
    """(width, height) with the longest side `longest` pixels, the other rounded down and then up to an even number."""
    aspect = width / height
    if width >= height:
        other = int(longest / aspect)
        return longest, max(other + other % 2, 1)
    other = int(longest * aspect)
    return max(other + other % 2, 1), longest


def fit_to_tiles(width: int, height: int, tile: int) -> tuple[int, int]:
    """(width, height) rounded up to whole tiles, the shorter side after it was stretched with the longer."""
    aspect = width / height
    if width >= height:
        width = math.ceil(width / tile) * tile
        return width, max(math.ceil(int(width / aspect) / tile), 1) * tile
    height = math.ceil(height / tile) * tile
    return max(math.ceil(int(height * aspect) / tile), 1) * tile, height


def _runs(views: tuple[View, ...], tokens: Mapping[str, str]) -> Iterator[Run]:
    """Every view after its marks, rows of tiles apart; each mark only if the family has it."""
    label = tokens.get("tile_label", "")
    for i, view in enumerate(views):
        is_tile = view.kind == "tile"
        if i and not view.col:
            # Two before the whole view: one ends the last row, the other sets the whole view apart.
            yield Run("\n", Modality.MARKER, -1, 1 if is_tile else 2)
        name = label.format(row=view.row + 1, col=view.col + 1) if is_tile else tokens.get("whole", "")
        for literal in (tokens.get("tile_start", ""), name):
            if literal:
                yield Run(literal, Modality.MARKER, -1, 1)
        yield Run(tokens["placeholder"], Modality.IMAGE, i, view.tokens)
