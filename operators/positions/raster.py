"""2-D positions: row and column of every token; M-RoPE without time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from operators.positions.mrope import Block, blockwise, image_blocks, text_block
from operators.positions.pieces import Piece, Text, Video


class Raster(BaseModel, frozen=True, extra="forbid"):
    """Row and column, for models that take a picture's tokens by their place in it."""

    rule: Literal["2d"] = "2d"

    @property
    def fractional(self) -> bool:
        return False

    def positions(self, pieces: Sequence[Piece]) -> npt.NDArray[np.int32]:
        """Row and column of each token: int32 [2, n]; text advances both. Steps of a video follow each other."""
        return blockwise(_blocks(pieces), 2)


def _blocks(pieces: Sequence[Piece]) -> Iterator[Block]:
    for piece in pieces:
        if isinstance(piece, Text):
            yield text_block(piece.count, 2)
        elif isinstance(piece, Video):
            for _ in range(piece.steps):
                yield np.stack([axis.ravel() for axis in np.mgrid[: piece.rows, : piece.cols]]).astype(np.int32)
        else:
            yield from (block[1:] for block in image_blocks(piece))
