"""Whether a document fits a sequence, and where it is cut if it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from operators.layout import Part, framing_tokens
from operators.loads import Loads, loads_of
from operators.vocabulary import Vocabulary
from pipeline.errors import InputError, Reason

UNLIMITED = 1 << 62
DIMENSIONS = ("tokens", "images", "patches", "tiles", "squares")
"""What a sequence may be limited in; a size has one number for each."""
TOKENS, IMAGES, PATCHES, TILES, SQUARES = range(5)
Size = tuple[int, int, int, int, int]


class PackLimits(BaseModel):
    """What one packed sequence may hold beside its tokens; None is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int | None = Field(None, ge=1)
    """Images in one sequence."""
    patches: int | None = Field(None, ge=1)
    """Vision patches in one sequence: what the vision tower sees. Four to a token in the Qwen families."""
    tiles: int | None = Field(None, ge=1)
    """Views in one sequence: InternVL is trained with 48."""
    squares: int | None = Field(None, ge=1)
    """Sum of the squared lengths of a sequence's documents: what attention costs."""


class PackConfig(BaseModel):
    """How documents share sequences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: PackLimits = PackLimits()
    long_documents: Literal["split", "reject"] = "split"
    """A document longer than a sequence: split at a segment border, never inside an image or a text; or reject."""
    align: int = Field(1, ge=1)
    """Documents begin at multiples of this, with padding behind them: for context and tensor parallel training."""
    closing: bool = False
    """Documents of each unit's last, part-filled sequence are packed together, by a closing unit after all others."""


@dataclass(frozen=True, slots=True)
class Document:
    """A measured row that fits, cut into parts, with the size of each."""

    row: int
    parts: tuple[Part, ...]
    sizes: tuple[Size, ...]
    """Tokens here include what alignment adds."""
    num_tokens: int
    """Of all parts, without."""

    def total(self) -> list[int]:
        """Tokens, images, patches, tiles and parts."""
        sums = [*map(sum, zip(*self.sizes, strict=True))]
        return [self.num_tokens, *sums[IMAGES:SQUARES], len(self.parts)]


@dataclass(frozen=True, slots=True)
class _Totals:
    """Running totals of a document's segments, and whether start and end tokens frame it."""

    running: Sequence[Sequence[int]]
    """Tokens, images, patches, tiles."""
    is_framed: bool


class Fitter:
    """Cuts documents to the limits of a sequence."""

    def __init__(self, config: PackConfig, sequence_length: int, vocabulary: Vocabulary) -> None:
        limits = (getattr(config.limits, name) or UNLIMITED for name in DIMENSIONS[1:])
        self.limits: tuple[int, ...] = (sequence_length, *limits)
        self._align = config.align
        self._split = config.long_documents == "split"
        self._vocabulary = vocabulary

    def fit(self, batch: pa.RecordBatch, numbers: Sequence[int]) -> list[Document | InputError]:
        """The document of each measured row, whole or in as few parts as fit, or why there is none.

        Why: too-long (a segment alone exceeds a limit, or the job rejects long documents), no-loss. numbers: of the
        rows, of which none is rejected or withheld.
        """
        loads = loads_of(batch, self._vocabulary)
        num_segments = np.diff(loads.borders)
        whole = {count: Part(0, count) for count in set(num_segments.tolist())}
        framing = framing_tokens(Part(0, 0), self._vocabulary)
        tokens, *others = np.diff(loads.running[loads.borders], axis=0).T
        tokens = tokens + loads.is_framed * framing
        aligned = -(-tokens // self._align) * self._align
        sizes = np.stack([aligned, *others, aligned**2], axis=1)
        is_whole = ((sizes <= np.array(self.limits)).all(1) & (loads.num_trained > 0)).tolist()
        found: list[Document | InputError] = []
        rows = zip(numbers, num_segments.tolist(), sizes.tolist(), tokens.tolist(), strict=True)
        for i, (number, count, size, num_tokens) in enumerate(rows):
            if is_whole[i]:
                found.append(Document(number, (whole[count],), (tuple(size),), num_tokens))
                continue
            try:
                found.append(self._cut(batch, loads, i, number))
            except InputError as error:
                found.append(error)
        return found

    def _cut(self, batch: pa.RecordBatch, loads: Loads, i: int, number: int) -> Document:
        """The document of row i, which is too long or trains nothing."""
        if not loads.num_trained[i]:
            raise InputError(
                Reason.NO_LOSS,
                "the sample holds no token to train; "
                + ("it has neither text nor image" if loads.is_framed[i] else "no assistant says anything in it"),
            )
        start, end = loads.borders[i : i + 2]
        totals = _Totals(loads.running[start : end + 1].tolist(), bool(loads.is_framed[i]))
        whole = Part(0, int(end - start))
        if not self._split:
            raise InputError(Reason.TOO_LONG, self._describe(self._size(totals, whole)))
        borders = self._borders(batch["segments"][i], totals)
        parts = tuple(Part(start, end, i, len(borders) - 1) for i, (start, end) in enumerate(pairwise(borders)))
        sizes = tuple(self._size(totals, part) for part in parts)
        return Document(number, parts, sizes, self._num_tokens(totals, whole))

    def _borders(self, segments: pa.ListScalar, totals: _Totals) -> list[int]:
        """Segment borders that cut a document into as few parts as fit, each as full as it can be."""
        borders = [0]
        last = len(totals.running) - 1
        while borders[-1] < last:
            start = end = borders[-1]
            # A part that reaches the end carries the end token, so it is measured with it.
            while end < last and self._fits(
                self._size(totals, Part(start, end + 1, len(borders) - 1, len(borders) + (end + 1 < last)))
            ):
                end += 1
            if end == start:
                segment = segments[start].as_py()
                size = self._size(totals, Part(start, start + 1, len(borders) - 1, len(borders) + (start + 1 < last)))
                raise InputError(
                    Reason.TOO_LONG,
                    f"segment {start} alone has {self._describe(size)}",
                    member=segment["member"],
                    offset=segment["offset"],
                    size=segment["size"],
                    segment=start,
                )
            borders.append(end)
        return borders

    def _size(self, totals: _Totals, part: Part) -> Size:
        before, after = totals.running[part.first], totals.running[part.last]
        _, images, patches, tiles = (b - a for a, b in zip(before, after, strict=True))
        tokens = -(-self._num_tokens(totals, part) // self._align) * self._align
        return tokens, images, patches, tiles, tokens**2

    def _num_tokens(self, totals: _Totals, part: Part) -> int:
        tokens = totals.running[part.last][TOKENS] - totals.running[part.first][TOKENS]
        return tokens + (framing_tokens(part, self._vocabulary) if totals.is_framed else 0)

    def _describe(self, size: Size) -> str:
        """The size beside the limits, in what is limited."""
        limited = [d for d, limit in enumerate(self.limits) if limit < UNLIMITED]
        found, held = (", ".join(f"{sizes[d]} {DIMENSIONS[d]}" for d in limited) for sizes in (size, self.limits))
        return f"{found}; a sequence holds {held}"

    def _fits(self, size: Size) -> bool:
        return all(value <= limit for value, limit in zip(size, self.limits, strict=True))
