"""What positions are computed from: the pieces of one document, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Text:
    """`count` tokens of text, or markers that stand in it."""

    count: int


@dataclass(frozen=True, slots=True)
class Image:
    """One image as rows of the schema: its views (of these cells, rows, cols) and its layout (view, count).

    The runs of one view hold its tokens in raster order; runs of view -1 are markers and advance as text does.
    """

    views: Sequence[dict[str, Any]]
    runs: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Video:
    """Steps x rows x cols visual tokens without a marker between them; `seconds` pass from one step to the next."""

    steps: int
    rows: int
    cols: int
    seconds: float = 0.0


Piece = Text | Image | Video


def num_tokens(piece: Piece) -> int:
    """Tokens of one piece."""
    if isinstance(piece, Text):
        return piece.count
    if isinstance(piece, Video):
        return piece.steps * piece.rows * piece.cols
    return sum(run["count"] for run in piece.runs)
