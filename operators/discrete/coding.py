"""Opens what turns pictures into codes: a codebook of patches, or the VQ encoder of a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from operators.devices import found_device
from operators.discrete.checkpoint import VQCoder
from operators.discrete.codebook import PatchCodebook, load_codebook
from operators.discrete.patches import LEVELS, Codes, cut
from operators.discrete.quantise import Nearest

Coder = Callable[[np.ndarray], Codes]
"""Codes [rows, cols] of a picture, uint8 [height, width, 3]."""


def open_coder(path: Path, device: str) -> Coder:
    """The coder of a file or folder. ConfigError where it does not open, or there is no GPU though one is asked for."""
    found_device(device, "discretise")
    return VQCoder(path, device) if path.is_dir() else PatchCoder(load_codebook(path), device)


class PatchCoder:
    """Codes pictures by a codebook of patches on one device."""

    def __init__(self, book: PatchCodebook, device: str) -> None:
        self._book = book
        self._nearest = Nearest(book.codes, device)

    def __call__(self, picture: np.ndarray) -> Codes:
        """int32 [h / downsample, w / downsample] of a picture uint8 [h, w, 3] whose sides are multiples of it.

        decode(this(decode(codes))) is decode(codes): a code's own patch is nearest to itself.
        """
        book = self._book
        values = cut(picture, book.downsample)
        if (book.low, book.high) != (0.0, LEVELS):  # else levels as they are: integers
            values = book.low + values * ((book.high - book.low) / LEVELS)
        rows, cols = (side // book.downsample for side in picture.shape[:2])
        return self._nearest(values).reshape(rows, cols)
