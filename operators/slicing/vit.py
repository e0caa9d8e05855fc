"""A plain vision transformer: the picture stretched to one fixed square, a token a patch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from operators.slicing.layout import ALONE, enclosed
from operators.slicing.squares import square_view
from pipeline.types import Modality, Place, Run, SlicePlan


class VitConfig(BaseModel, frozen=True, extra="forbid"):
    """Numbers of one vision transformer."""

    scheme: Literal["vit"] = "vit"
    size: int = Field(default=224, gt=0)
    """Side of the view, in pixels."""
    patch: int = Field(default=16, gt=0)
    """Side of a vision patch, in pixels; one patch is one token, and what is left of `size` is unseen (384 by 14)."""
    resample: Literal["bilinear", "bicubic", "lanczos"] = "bilinear"
    """Filter of the resizing: ViT bilinear, SigLIP bicubic."""

    @model_validator(mode="after")
    def _patch_fits(self) -> Self:
        if self.patch > self.size:
            raise ValueError(f"patch is {self.patch}; at most size ({self.size}) expected; lower it")
        return self

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:  # noqa: ARG002 - every image alike
        """One `whole` view; its aspect is not kept. Takes any shape. Source: transformers' ViT image processor."""
        view = square_view((0, 0, width, height), self.size, self.patch)
        placeholder = tokens["placeholder"]
        layout = enclosed([Run(placeholder, Modality.IMAGE, 0, view.tokens)], tokens)
        return SlicePlan(
            self.scheme,
            width,
            height,
            view.rows,
            view.cols,
            (view,),
            layout,
            placeholder,
            resample=self.resample,
        )
