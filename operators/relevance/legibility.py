"""What a page loses to a reader when a cell of it is rendered at a smaller scale."""

from __future__ import annotations

import numpy as np
from PIL import Image

SCALES = (0.85, 0.72, 0.6, 0.5, 0.4, 0.3, 0.2, 0.12)
"""Linear, of the native size."""
LOSSES = tuple(range(256))
"""The loss that each 8-bit code stands for."""


def legibility(grey: np.ndarray, cell: int, reduction: int = 1) -> np.ndarray:
    """Codes of LOSSES for each cell at each of SCALES: uint8 [len(SCALES), rows, cols].

    grey: uint8 [rows * cell, cols * cell], of which the original was reduced by `reduction` along each side.
    """
    rows, cols = grey.shape[0] // cell, grey.shape[1] // cell
    picture = Image.fromarray(grey)
    found = np.zeros((len(SCALES), rows, cols), np.uint8)
    for i, scale in enumerate(SCALES):
        if scale * reduction >= 1:
            continue
        width, height = (max(1, round(side * scale * reduction)) for side in picture.size)
        again = picture.resize((width, height), Image.Resampling.BICUBIC).resize(picture.size, Image.Resampling.BICUBIC)
        lost = np.abs(np.asarray(again).astype(int) - grey).reshape(rows, cell, cols, cell).mean(axis=(1, 3))
        found[i] = np.maximum(found[i - 1] if i else 0, lost.astype(np.uint8))
    return found
