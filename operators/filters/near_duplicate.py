"""Images of a document that look like an earlier one: recompressed, resized, a little brighter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from operators.filters.document import Document, Fault, Rule
from pipeline.errors import Reason

ROWS, COLS = 8, 9
"""Cells whose neighbours in a row are compared: 64 comparisons."""
SAME_SHADE = 8
"""Grey levels by which the cells of two copies of a picture differ at most, on average: after JPEG at 30 to 75, and
sizes from .3 to 2, those of 494 pictures differed by at most 3.8. Among 31,125 pairs of 250 photographs the hash alone
finds nine, of which four have nothing in common; with their shades four, all of them crops of one photograph."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What a picture looks like from afar."""

    hash: int
    """64 bits: whether a cell is brighter than the next one, by more than a grey level."""
    shades: np.ndarray
    """Mean of each cell in thousandths of a grey level, int64 [ROWS, COLS]."""


class NearDuplicate(Rule):
    """Images whose 64-bit difference hash (dHash) differs from that of an earlier one in few bits; the later one goes.

    Their shades must be near too: screens with the same frame, and plain gradients, have one hash and other shades.
    An image that was dropped itself is compared with nothing. Off in all presets: of screens that differ in a detail,
    which a manual shows on purpose, only the first stays.
    """

    reason: ClassVar[Reason] = Reason.FILTER_NEAR_DUPLICATE
    level: ClassVar[Literal["node", "document"]] = "node"
    needs: ClassVar[Literal["text", "pixels", "encoder"]] = "pixels"

    max_distance: int = Field(4, ge=0, le=64)
    """Most bits in which two copies of a picture differ (ours): of 494 photographs and screenshots 98 in 100 copies at
    .3 of their size and a JPEG quality of 75 are within 4, and 99 at twice their size."""

    def faults(self, document: Document) -> Iterator[Fault]:
        kept: list[tuple[int, Looks]] = []
        for image in document.images:
            if image.grey is None:
                continue
            found = looks(image.grey)
            for number, other in kept:
                if are_near(found, other, self.max_distance):
                    bits = (found.hash ^ other.hash).bit_count()
                    detail = f"{bits} of 64 bits from segment {number}; over {self.max_distance} expected"
                    yield Fault(detail, image.number)
                    break
            else:
                kept.append((image.number, found))


def looks(grey: np.ndarray) -> Looks:
    """What a luminance, uint8 [height, width], looks like from afar; the same on every machine."""
    rows, cols = _overlaps(grey.shape[0], ROWS), _overlaps(grey.shape[1], COLS)
    # Whole numbers far below 2^53, so that floats hold them and no order of adding matters.
    sums = (rows @ grey.astype(np.float64) @ cols.T).astype(np.int64)
    area = grey.shape[0] * grey.shape[1]
    bits = (sums[:, :-1] - sums[:, 1:] > area).ravel()
    return Looks(int.from_bytes(np.packbits(bits).tobytes(), "big"), sums * 1000 // area)


def are_near(one: Looks, other: Looks, max_distance: int) -> bool:
    """Whether two pictures look the same."""
    is_same_shape = (one.hash ^ other.hash).bit_count() <= max_distance
    return is_same_shape and int(np.abs(one.shades - other.shades).sum()) <= SAME_SHADE * 1000 * ROWS * COLS


@lru_cache(64)
def _overlaps(size: int, cells: int) -> np.ndarray:
    """How much of each cell every pixel of a side covers, float64 [cells, size]: parts of a pixel, `size` to a cell."""
    edges = np.arange(cells + 1) * size
    pixels = np.arange(size + 1) * cells
    left = np.maximum(edges[:-1, None], pixels[None, :-1])
    right = np.minimum(edges[1:, None], pixels[None, 1:])
    covered: np.ndarray = np.clip(right - left, 0, None).astype(np.float64)
    return covered
