"""1-D positions: every token, of text or image, advances by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from operators.positions.pieces import Piece, Text


def positions(pieces: Sequence[Piece]) -> npt.NDArray[np.int32]:
    """0, 1, 2 … over the whole document: int32 [1, n]."""
    count = sum(piece.count if isinstance(piece, Text) else sum(run["count"] for run in piece.runs) for piece in pieces)
    return np.arange(count, dtype=np.int32)[np.newaxis]
