"""Images without a sharp edge anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from operators.filters.document import Document, Fault, Rule
from pipeline.errors import Reason

SIDE = 512
"""Longest side, in pixels, at which sharpness is judged, up to twice that: the small copy's own size then decides
nothing."""


class Blur(Rule):
    """Variance of the Laplacian of an image's luminance, shrunk to at most 1,024 pixels a side. Off in all presets.

    A picture of one colour has no edges either, and falls under it.
    """

    reason: ClassVar[Reason] = Reason.FILTER_BLUR
    level: ClassVar[Literal["node", "document"]] = "node"
    needs: ClassVar[Literal["text", "pixels", "encoder"]] = "pixels"

    min: float = Field(10.0, ge=0, allow_inf_nan=False)
    """Least variance, in squared grey levels (ours). Of 250 crops of soft photographs 14 in 100 fall under it as they
    are, most of them fog and sky, and 82 with a Gaussian blur of .3 % of their longer side; of 244 screenshots 1
    in 100, and over 75 with one of .8 %."""

    def faults(self, document: Document) -> Iterator[Fault]:
        for image in document.images:
            variance = sharpness(image.grey)
            if variance is not None and variance < Fraction(self.min):
                yield Fault(f"sharpness {float(variance):.1f}; at least {self.min:g}", image.number)


def sharpness(grey: np.ndarray | None) -> Fraction | None:
    """Variance of the Laplacian (four neighbours less four times the middle), exact. None: under 3 pixels a side.

    grey: luminance, uint8 [height, width].
    """
    if grey is None:
        return None
    sums, scale = _shrunk(grey)
    if min(sums.shape) < 3:
        return None
    middle = sums[1:-1, 1:-1]
    edges = sums[:-2, 1:-1] + sums[2:, 1:-1] + sums[1:-1, :-2] + sums[1:-1, 2:] - 4 * middle
    count, total, squares = edges.size, int(edges.sum()), int((edges * edges).sum())
    return Fraction(count * squares - total * total, (count * scale) ** 2)


def _shrunk(grey: np.ndarray) -> tuple[np.ndarray, int]:
    """Sums of squares of k x k pixels, int64, and k², for the largest k that leaves SIDE pixels of the longer side."""
    k = max(1, max(grey.shape) // SIDE)
    rows, cols = (side // k for side in grey.shape)
    whole = grey[: rows * k, : cols * k].astype(np.int64)
    return whole.reshape(rows, k, cols, k).sum(axis=(1, 3)), k * k
