"""V2PE: a visual token advances by a fraction of what text does, so that long documents stay inside the window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, field_validator

from operators.positions.pieces import Image, Piece, Text, num_tokens

TILE_TOKENS = 256
"""Visual tokens of one InternVL tile; a stride of as many advances like text."""


class V2pe(BaseModel, frozen=True, extra="forbid"):
    """InternVL with variable visual position encoding (arXiv 2412.09616)."""

    rule: Literal["v2pe"] = "v2pe"
    stride: int = Field(ge=1, le=TILE_TOKENS)
    """Positions that 256 visual tokens advance: a power of two. The paper draws it anew per image in training."""

    @field_validator("stride")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"{value} is no power of two; 1, 2, 4 … 256 expected")
        return value

    @property
    def fractional(self) -> bool:
        return True

    def positions(self, pieces: Sequence[Piece]) -> npt.NDArray[np.float32]:
        """Fractional positions of each token: float32 [1, n], exact up to 2**16.

        The i-th visual token of a stretch (from 1) stands i * stride / 256 after the text before it; the text behind
        it goes on with the next whole number. Source: get_rope_pos_id of OpenGVLab/V2PE.
        """
        steps: list[npt.NDArray[np.floating[Any]]] = [np.empty(0)]
        last = -1.0
        for is_visual, count in _stretches(pieces):
            step = self.stride / TILE_TOKENS if is_visual else 1.0
            steps.append(last + step * np.arange(1, count + 1))
            last = float(math.ceil(last + step * count))
        found: npt.NDArray[np.float32] = np.concatenate(steps).astype(np.float32)[np.newaxis]
        return found


def _stretches(pieces: Sequence[Piece]) -> list[tuple[bool, int]]:
    """(is it visual, tokens) of each stretch of text and markers, or of visual tokens."""
    runs: list[tuple[bool, int]] = []
    for piece in pieces:
        if isinstance(piece, Image):
            runs += [(run["view"] >= 0, run["count"]) for run in piece.runs]
        else:
            runs.append((not isinstance(piece, Text), num_tokens(piece)))
    return [(kind, sum(count for _, count in group)) for kind, group in groupby(runs, key=lambda run: run[0])]
