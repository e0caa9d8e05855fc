"""MiniCPM-V: the whole picture at about one tile's area, then a grid of slices near the picture's aspect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from operators.slicing.layout import ALONE
from operators.slicing.tiles import tile_views, whole_view
from pipeline.types import Canvas, Modality, Place, Run, SlicePlan, View


class MiniCPMVConfig(BaseModel, frozen=True, extra="forbid"):
    """Numbers of one MiniCPM-V checkpoint."""

    scheme: Literal["minicpm_v"] = "minicpm_v"
    tile: int = Field(default=448, gt=0)
    """A view has about this many pixels squared (`scale_resolution`)."""
    patch: int = Field(default=14, gt=0)
    """Side of a vision patch, in pixels."""
    max_slices: int = Field(default=9, gt=0)
    """Most slices of a picture, the whole view not counted."""
    queries: int | None = Field(default=64, gt=0)
    """Tokens of every view, whatever its size, where a resampler makes them: a square. None: `merge` makes them."""
    merge: int = Field(default=1, gt=0)
    """Patches per token along each side where there is no resampler, and then sides are multiples of it."""

    @property
    def factor(self) -> int:
        """What the sides of a view are multiples of, in pixels."""
        return self.patch * self.merge

    @model_validator(mode="after")
    def _tokens_are_a_grid(self) -> Self:
        if self.queries is None:
            return self
        if math.isqrt(self.queries) ** 2 != self.queries:
            raise ValueError(f"queries is {self.queries}; a square expected, as the resampler's grid is; correct it")
        if self.merge != 1:
            raise ValueError(f"merge is {self.merge} beside queries; 1 expected; drop one of them")
        return self

    def at_most(self, tiles: int) -> Self:
        """The same with at most so many slices (at least 1)."""
        return self if tiles >= self.max_slices else self.model_copy(update={"max_slices": tiles})

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:
        """The `whole` view, then the slices row-major, rows of slices with a line break between them.

        Layout: the picture's number in its document (from 0) between its marks, then each view between its own. Takes
        any shape. Source: `slice_image` of OpenBMB's MiniCPM-V finetune/dataset.py (2.6) and transformers'
        image_processing_minicpmv4_6.py.
        """
        grid = select_grid(width, height, self)
        source = find_best_resize(width, height, self, upscale=grid is None)
        if grid is None:
            whole = whole_view((width, height), source, self.patch, self._tokens_of(source))
            views, canvas = [whole], None
        else:
            cols, rows = grid
            side = find_best_resize(ensure_divide(width, cols) / cols, ensure_divide(height, rows) / rows, self)
            shape = self._tokens_of(side)
            native = cols * shape[0], rows * shape[1]
            whole = whole_view((width, height), source, self.patch, self._tokens_of(source), native)
            canvas = _stretched(cols * side[0], rows * side[1])
            views = [whole, *tile_views(canvas, whole, side, self.patch, shape)]
        layout = tuple(_runs(views, tokens, place))
        _, _, grid_h, grid_w = whole.cells
        return SlicePlan(
            self.scheme, width, height, grid_h, grid_w, tuple(views), layout, tokens["placeholder"], canvas
        )

    def _tokens_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """(columns, rows) of the tokens of a view of `size` (width, height) pixels."""
        if self.queries is not None:
            return math.isqrt(self.queries), math.isqrt(self.queries)
        return size[0] // self.factor, size[1] // self.factor


def ensure_divide(length: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to `length`, halves to the even one; at least one."""
    return max(round(length / divisor) * divisor, divisor)


def find_best_resize(width: float, height: float, config: MiniCPMVConfig, *, upscale: bool = True) -> tuple[int, int]:
    """(width, height) in pixels of a view: nearly its aspect; one tile's area, or its own if that is less.

    With `upscale` a smaller one is enlarged. The height is rounded down first, and the width taken from it.
    """
    if width * height > config.tile**2 or upscale:
        aspect = width / height
        height = int(config.tile / math.sqrt(aspect))
        width = int(height * aspect)
    return ensure_divide(width, config.factor), ensure_divide(height, config.factor)


def select_grid(width: int, height: int, config: MiniCPMVConfig) -> tuple[int, int] | None:
    """(columns, rows) of the slices: of nearly the picture's area and nearest its aspect; None: no slices.

    Of equal grids that of the fewest columns wins.
    """
    wanted = min(math.ceil(width * height / config.tile**2), config.max_slices)
    if wanted <= 1:
        return None
    counts = [count for count in (wanted - 1, wanted, wanted + 1) if 1 < count <= config.max_slices]
    grids = [(cols, count // cols) for count in counts for cols in range(1, count + 1) if count % cols == 0]
    aspect = math.log(width / height)
    return min(grids, key=lambda grid: abs(aspect - math.log(grid[0] / grid[1])))


def _stretched(width: int, height: int) -> Canvas:
    """A canvas that the picture fills."""
    return Canvas(width, height, width, height, 0, 0)


def _runs(views: list[View], tokens: Mapping[str, str], place: Place) -> Iterator[Run]:
    """Number, whole view, slices; each mark only if the family has it."""
    if "number_start" in tokens and "number_end" in tokens:
        for literal in (tokens["number_start"], str(place.number), tokens["number_end"]):
            yield Run(literal, Modality.MARKER, -1, 1)
    for i, view in enumerate(views):
        start, end = ("tile_start", "tile_end") if view.kind == "tile" else ("image_start", "image_end")
        if view.row and not view.col:
            yield Run("\n", Modality.MARKER, -1, 1)
        if start in tokens:
            yield Run(tokens[start], Modality.MARKER, -1, 1)
        yield Run(tokens["placeholder"], Modality.IMAGE, i, view.tokens)
        if end in tokens:
            yield Run(tokens[end], Modality.MARKER, -1, 1)
