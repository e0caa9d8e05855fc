"""The section `discrete` of a job: which pictures are written as ids of a codebook, and how."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from operators.discrete.layouts import LayoutName

SCHEME = "discrete"
"""The scheme of the plan of a picture that is written as ids: it has no views."""
DRAWS = 1 << 32
DISCRETISE_VERSION = 1
"""Of the operator `discretise`, for a recipe, whose maker must not wait for torch."""


class DiscreteConfig(BaseModel):
    """Pictures as ids of a codebook in the sequence; all others keep the views of the family."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    codebook: str = Field(min_length=1)
    """A safetensors file of `lodepack codebook train`, or the folder of a Chameleon or Emu3 model, local."""
    layout: LayoutName
    """chameleon, emu3 or llamagen: at what size a picture is coded, and the marks around its ids."""
    images: Literal["all", "alternate"] | Annotated[float, Field(gt=0, le=1)] = "all"
    """all; every second picture of a document, from the second one on (alternate); or a share of all pictures, drawn
    by the hash of shard, ordinal and segment."""
    train: bool = True
    """Whether their ids, marks among them, have labels; of a conversation those that the assistant shows."""

    def chooses(self, shard: str, ordinal: int, segment: int, image: int) -> bool:
        """Whether a picture becomes ids.

        ordinal: of the sample as it was read; segment, image: the numbers of its segment and among its pictures, from
        0, in the document as it was read.
        """
        if self.images == "all":
            return True
        if self.images == "alternate":
            return image % 2 == 1
        drawn = hashlib.sha256(f"discrete {shard} {ordinal} {segment}".encode()).digest()[:4]
        share = Fraction(str(self.images))  # 0.1 is a tenth; the float is not
        return int.from_bytes(drawn, "big") * share.denominator < share.numerator * DRAWS
