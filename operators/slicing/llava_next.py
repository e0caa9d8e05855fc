"""LLaVA-NeXT anyres: the whole image once, then tiles of it on the canvas that wastes least."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import PositiveInt

from operators.slicing.anyres import AnyresConfig, Pinpoints, plan_anyres
from operators.slicing.layout import ALONE
from pipeline.types import Place, SlicePlan

NEXT_PINPOINTS = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))


class LlavaNextConfig(AnyresConfig, frozen=True, extra="forbid"):
    """Numbers of one LLaVA-NeXT checkpoint."""

    scheme: Literal["llava_next"] = "llava_next"
    pinpoints: Pinpoints = NEXT_PINPOINTS
    tile: PositiveInt = 336

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:  # noqa: ARG002 - every image alike
        """Views and layout as `plan_anyres` has them. Takes any shape.

        Source: LLaVA-NeXT mm_utils.py and llava_arch.py (`spatial_unpad`); rounding of the unpadding as in
        transformers' processing_llava_next.py.
        """
        return plan_anyres(width, height, self, None, tuple(sorted(tokens.items())))
