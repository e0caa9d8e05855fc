"""InternVL 1.5 to 3: tiles of the stretched picture, and a thumbnail after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from operators.slicing.grids import closest_grid, grid_tiles
from operators.slicing.layout import ALONE, enclosed
from operators.slicing.squares import square_view
from pipeline.types import Modality, Place, Run, SlicePlan


class InternVLConfig(BaseModel, frozen=True, extra="forbid"):
    """Numbers of one InternVL checkpoint; `dynamic_image_size` of its config.json is taken as true."""

    scheme: Literal["internvl"] = "internvl"
    min_tiles: int = Field(default=1, gt=0)
    max_tiles: int = Field(default=12, gt=0, le=256)
    """The thumbnail is not counted. The fine-tuning scripts of the repository say 6."""
    tile: int = Field(default=448, gt=0)
    """Side of a tile and of the thumbnail, in pixels."""
    patch: int = Field(default=14, gt=0)
    """Side of one vision patch, in pixels."""
    merge: int = Field(default=2, gt=0)
    """Patches per token along each side: the pixel shuffle at `downsample_ratio` 0.5."""
    thumbnail: bool = True
    """Whether a view of the whole picture follows the tiles, if there is more than one."""

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.min_tiles > self.max_tiles:
            raise ValueError(f"min_tiles is {self.min_tiles}; at most max_tiles ({self.max_tiles}) expected; lower it")
        if self.tile % (self.patch * self.merge):
            raise ValueError(
                f"tile is {self.tile}; a multiple of patch x merge ({self.patch * self.merge}) expected; correct it"
            )
        return self

    def at_most(self, tiles: int) -> Self:
        """The same with at most so many tiles (at least 1), the thumbnail not counted."""
        if tiles >= self.max_tiles:
            return self
        return self.model_copy(update={"min_tiles": min(self.min_tiles, tiles), "max_tiles": tiles})

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:  # noqa: ARG002 - every image alike
        """Each `tile` row-major, then the `whole`, all within one pair of image marks; or one `whole` view alone.

        The aspect is not kept. Takes any shape. Source: InternVL's train/dataset.py, dynamic_preprocess;
        transformers' GOT-OCR2 image processor with crop_to_patches.
        """
        whole = square_view((0, 0, width, height), self.tile, self.patch, self.merge)
        cols, rows = closest_grid(width, height, self.tile, self.min_tiles, self.max_tiles)
        grid_h, grid_w = rows * whole.rows, cols * whole.cols
        if (cols, rows) == (1, 1):
            canvas, views = None, [whole]
        else:
            canvas, views = grid_tiles(width, height, (cols, rows), self.tile, self.patch, self.merge)
            if self.thumbnail:
                views.append(replace(whole, cells=(0, 0, grid_h, grid_w)))
        placeholder = tokens["placeholder"]
        layout = enclosed((Run(placeholder, Modality.IMAGE, i, view.tokens) for i, view in enumerate(views)), tokens)
        return SlicePlan(self.scheme, width, height, grid_h, grid_w, tuple(views), layout, placeholder, canvas)
