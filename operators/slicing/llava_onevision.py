"""LLaVA-OneVision: anyres up to 6x6 tiles with a bound on the tokens; several images and videos a view each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, PositiveInt

from operators.slicing.anyres import AnyresConfig, Pinpoints, newline, plan_anyres
from operators.slicing.layout import ALONE, enclosed
from operators.slicing.squares import pad_to_square, square_view
from pipeline.types import Modality, Place, Run, SlicePlan

ONEVISION_PINPOINTS = tuple((384 * cols, 384 * rows) for cols in range(1, 7) for rows in range(1, 7))


class LlavaOnevisionConfig(AnyresConfig, frozen=True, extra="forbid"):
    """Numbers of one LLaVA-OneVision checkpoint."""

    scheme: Literal["llava_onevision"] = "llava_onevision"
    pinpoints: Pinpoints = ONEVISION_PINPOINTS
    tile: PositiveInt = 384
    max_tiles: int = Field(default=9, gt=0)
    """Tiles with more tokens together are shrunk to about as many as these have (`anyres_max_9`)."""
    fill: int = Field(default=0x7F7F7F, ge=0, le=0xFFFFFF)
    """Colour around an image among several, as 0xRRGGBB: SigLIP's mean, rounded down."""

    @property
    def side(self) -> int:
        """Tokens along one side of a view."""
        return self.tile // self.patch

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:
        """Views and layout as `plan_anyres` has them; among several images, one padded `whole` view and a newline.

        Alone it takes any shape; among several it raises as `pad_to_square`. transformers decides by the nesting of
        its list of images: several are several only if the list is nested, as its chat template makes it.
        Source: LLaVA-NeXT llava_arch.py; transformers' processing and image processing of llava_onevision.
        """
        if place.count == 1:
            return plan_anyres(width, height, self, self.max_tiles * self.side**2, tuple(sorted(tokens.items())))
        view = square_view((0, 0, width, height), self.tile, self.patch)
        placeholder = tokens["placeholder"]
        runs = (Run(placeholder, Modality.IMAGE, 0, view.tokens), newline(placeholder))
        layout = enclosed(runs, tokens)
        canvas = pad_to_square(width, height, self.fill)
        return SlicePlan(self.scheme, width, height, self.side, self.side, (view,), layout, placeholder, canvas)

    def video_tokens(self, num_frames: int) -> int:
        """Placeholders of a video: frames pooled 2x2 (27 to 14 a side, 196 tokens each), and one newline at the end."""
        return num_frames * math.ceil(self.side / 2) ** 2 + 1
