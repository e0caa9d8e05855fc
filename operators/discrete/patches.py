"""Pictures as patches and back, and how alike two pictures are."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

LEVELS = 255
"""Of a colour, in 8 bits."""
Codes = npt.NDArray[np.int32]
"""Ids of a codebook."""


def cut(picture: np.ndarray, side: int) -> np.ndarray:
    """Patches of a picture [h, w, 3] in raster order, each row by row: [h/side * w/side, side * side * 3]."""
    height, width, channels = picture.shape
    rows = picture.reshape(height // side, side, width // side, side, channels).swapaxes(1, 2)
    return np.ascontiguousarray(rows).reshape(-1, side * side * channels)


def joined(patches: np.ndarray, rows: int, cols: int, side: int) -> np.ndarray:
    """The picture that `cut` made these patches of: [rows * side, cols * side, 3]."""
    grid = patches.reshape(rows, cols, side, side, -1).swapaxes(1, 2)
    return np.ascontiguousarray(grid).reshape(rows * side, cols * side, -1)


def psnr(squares: float, num_values: int) -> float:
    """Peak signal to noise of 8-bit values in decibels, from the sum of their squared errors; inf where there is none.

    PSNR = 10 log10(255² n / Σ(x - y)²).
    """
    return math.inf if not squares else 10 * math.log10(LEVELS**2 * num_values / squares)
