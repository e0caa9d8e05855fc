"""LLaVA-1.5: one square view, 576 tokens whatever the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from operators.slicing.layout import ALONE, enclosed
from operators.slicing.squares import crop_to_square, pad_to_square, square_view
from pipeline.types import Modality, Place, Run, SlicePlan


class Llava15Config(BaseModel, frozen=True, extra="forbid"):
    """Numbers of one LLaVA-1.5 checkpoint."""

    scheme: Literal["llava_1_5"] = "llava_1_5"
    size: int = Field(default=336, gt=0)
    """Side of the view, in pixels."""
    patch: int = Field(default=14, gt=0)
    """Side of a vision patch, in pixels; one patch is one token."""
    fit: Literal["pad", "crop"] = "pad"
    """pad: to a square of `fill`, as the LLaVA repository trains (image_aspect_ratio: pad), then resize. crop: the
    shorter edge to `size` and the middle of it, as transformers' processor of the converted checkpoints does."""
    fill: int = Field(default=0x7A7468, ge=0, le=0xFFFFFF)
    """Colour of the padding as 0xRRGGBB: CLIP's mean, each channel rounded down."""

    @model_validator(mode="after")
    def _patch_fits(self) -> Self:
        if self.patch > self.size:
            raise ValueError(f"patch is {self.patch}; at most size ({self.size}) expected; lower it")
        return self

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:  # noqa: ARG002 - every image alike
        """One `whole` view of all of the picture (pad) or of its middle (crop).

        Raises as `pad_to_square` or `crop_to_square`.
        Source: LLaVA's mm_utils.py; transformers' LLaVA and CLIP image processors.
        """
        if self.fit == "pad":
            canvas, box = pad_to_square(width, height, self.fill), (0, 0, width, height)
        else:
            canvas, box = crop_to_square(width, height, self.size)
        view = square_view(box, self.size, self.patch)
        placeholder = tokens["placeholder"]
        layout = enclosed([Run(placeholder, Modality.IMAGE, 0, view.tokens)], tokens)
        return SlicePlan(self.scheme, width, height, view.rows, view.cols, (view,), layout, placeholder, canvas)
