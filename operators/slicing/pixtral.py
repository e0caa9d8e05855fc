"""Pixtral: one view at the picture's own size, or less, with a token after each row of its tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, Field

from operators.slicing.layout import ALONE, enclosed
from operators.slicing.tiles import whole_view
from pipeline.errors import InputError, Reason
from pipeline.types import Modality, Place, Run, SlicePlan


class PixtralConfig(BaseModel, frozen=True, extra="forbid"):
    """Numbers of one checkpoint."""

    scheme: Literal["pixtral"] = "pixtral"
    longest: int = Field(default=1024, gt=0)
    """Larger pictures are shrunk to this longest side, in pixels."""
    patch: int = Field(default=16, gt=0)
    """Side of a vision patch, in pixels."""
    merge: int = Field(default=1, gt=0)
    """Patches per token along each side: 2 for Mistral Small 3.1."""
    rounding: Literal["floor", "nearest"] = "floor"
    """Sides of a shrunk picture: `floor` as transformers has them, `nearest` (halves to even) as mistral-common."""

    @property
    def factor(self) -> int:
        """Side of one token, in pixels."""
        return self.patch * self.merge

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:  # noqa: ARG002 - every image alike
        """One `whole` view; layout: its rows of placeholders with `row_break` between them, then `image_end`.

        Raises as `token_grid`. Source: transformers' image_processing_pil_pixtral.py and processing_pixtral.py, and
        mistral-common's tokens/tokenizers/image.py.
        """
        cols, rows = token_grid(width, height, self)
        view = whole_view((width, height), (cols * self.factor, rows * self.factor), self.patch, (cols, rows))
        layout = enclosed(_runs(cols, rows, tokens), tokens)
        return SlicePlan(self.scheme, width, height, rows, cols, (view,), layout, tokens["placeholder"])


def token_grid(width: int, height: int, config: PixtralConfig) -> tuple[int, int]:
    """(columns, rows) of tokens that cover the picture once its longest side fits.

    Raises InputError (image-sliver) where rounding down leaves a side of no pixels, which transformers cannot resize;
    mistral-common keeps one pixel.
    """
    ratio = max(height / config.longest, width / config.longest)
    if ratio > 1:
        if config.rounding == "floor":
            width, height = math.floor(width / ratio), math.floor(height / ratio)
        else:
            width, height = max(round(width / ratio), 1), max(round(height / ratio), 1)
    if not min(width, height):
        raise InputError(
            Reason.IMAGE_SLIVER,
            f"image of {width}x{height} pixels once its longest side is {config.longest}; "
            "at least one pixel a side expected; crop or drop it",
        )
    return (width - 1) // config.factor + 1, (height - 1) // config.factor + 1


def _runs(cols: int, rows: int, tokens: Mapping[str, str]) -> Iterator[Run]:
    """Rows of placeholders and what stands between them."""
    for row in range(rows):
        if row and "row_break" in tokens:
            yield Run(tokens["row_break"], Modality.MARKER, -1, 1)
        yield Run(tokens["placeholder"], Modality.IMAGE, 0, cols)
