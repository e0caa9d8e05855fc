"""Position ids of one document, by the rule that its family's model was trained with: one rule a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from operators.positions.mrope import MRope
from operators.positions.pieces import Image, Piece, Text, Video
from operators.positions.raster import Raster
from operators.positions.sequential import Sequential
from operators.positions.v2pe import V2pe

__all__ = ["Image", "Piece", "PositionRule", "PositionsConfig", "Text", "Video"]

PositionsConfig = Annotated[Sequential | Raster | MRope | V2pe, Field(discriminator="rule")]
"""What the `positions` section of a profile validates to."""


class PositionRule(Protocol):
    """A rule with its numbers; `rule` is its name in profiles."""

    @property
    def rule(self) -> str: ...

    @property
    def fractional(self) -> bool:
        """Whether positions are float32; otherwise they are int32."""
        ...

    def positions(self, pieces: Sequence[Piece]) -> npt.NDArray[np.int32] | npt.NDArray[np.float32]:
        """Positions of a document's n tokens, from 0: [R, n]; R as the rule has it."""
        ...
