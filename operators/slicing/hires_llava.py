"""HiRes-LLaVA: the whole picture at low resolution, then high-resolution slices of it of the same size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from operators.slicing.grids import closest_grid, grid_tiles
from operators.slicing.layout import ALONE, enclosed
from operators.slicing.squares import square_view
from pipeline.types import Modality, Place, Run, SlicePlan


class HiresLlavaConfig(BaseModel, frozen=True, extra="forbid"):
    """Numbers of HiRes-LLaVA. Neither code nor a table of sizes was released: these are ours."""

    scheme: Literal["hires_llava"] = "hires_llava"
    max_slices: int = Field(default=4, gt=0, le=256)
    """The whole view is not counted. Four slices of 24 x 24 tokens are one raster of 48 x 48."""
    tile: int = Field(default=336, gt=0)
    """Side of a slice and of the whole view, in pixels."""
    patch: int = Field(default=14, gt=0)
    """Side of a vision patch, in pixels; one patch is one token before the self-mining sampler."""

    @model_validator(mode="after")
    def _patch_fits(self) -> Self:
        if self.patch > self.tile:
            raise ValueError(f"patch is {self.patch}; at most tile ({self.tile}) expected; lower it")
        return self

    def at_most(self, tiles: int) -> Self:
        """The same with at most so many slices (at least 1)."""
        return self if tiles >= self.max_slices else self.model_copy(update={"max_slices": tiles})

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:  # noqa: ARG002 - every image alike
        """The `whole` view, then each slice (`tile`) row-major; where one slice is enough, `whole` alone.

        The slices are those of the grid whose aspect is nearest, as InternVL chooses it; the aspect is not kept.
        Takes any shape. Source: arXiv 2407.08706, its two branches.
        """
        whole = square_view((0, 0, width, height), self.tile, self.patch)
        cols, rows = closest_grid(width, height, self.tile, 1, self.max_slices)
        grid_h, grid_w = rows * whole.rows, cols * whole.cols
        if (cols, rows) == (1, 1):
            canvas, views = None, [whole]
        else:
            canvas, slices = grid_tiles(width, height, (cols, rows), self.tile, self.patch)
            views = [replace(whole, cells=(0, 0, grid_h, grid_w)), *slices]
        placeholder = tokens["placeholder"]
        layout = enclosed((Run(placeholder, Modality.IMAGE, i, view.tokens) for i, view in enumerate(views)), tokens)
        return SlicePlan(self.scheme, width, height, grid_h, grid_w, tuple(views), layout, placeholder, canvas)
