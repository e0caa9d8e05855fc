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


Piece = Text | Image
