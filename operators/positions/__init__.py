"""Position ids of one document, by the rule that its family's model was trained with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from operators.positions import mrope, sequential
from operators.positions.pieces import Image, Piece, Text

__all__ = ["POSITIONS", "Image", "Piece", "Text", "positions_of"]

POSITIONS: dict[str, Callable[[Sequence[Piece]], npt.NDArray[np.int32]]] = {
    "1d": sequential.positions,
    "mrope": mrope.positions,
}
"""Every rule by its name in profiles."""


def positions_of(pieces: Sequence[Piece], name: str) -> npt.NDArray[np.int32]:
    """Positions of a document's n tokens, from 0, by the rule called `name`: int32 [R, n]; R as the rule has it."""
    return POSITIONS[name](pieces)
