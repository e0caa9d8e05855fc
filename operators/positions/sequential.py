"""1-D positions: every token, of text or image, advances by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from operators.positions.pieces import Piece, num_tokens


class Sequential(BaseModel, frozen=True, extra="forbid"):
    """The rule of LLaVA, InternVL, MiniCPM-V, Idefics3, Pixtral, Llama 4 and Phi-3.5-V."""

    rule: Literal["1d"] = "1d"

    @property
    def fractional(self) -> bool:
        return False

    def positions(self, pieces: Sequence[Piece]) -> npt.NDArray[np.int32]:
        """0, 1, 2 … over the whole document: int32 [1, n]."""
        return np.arange(sum(map(num_tokens, pieces)), dtype=np.int32)[np.newaxis]
