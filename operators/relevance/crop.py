"""Cuts regions out of a picture and brings them to one size, as every encoder of regions sees them."""

from __future__ import annotations

import numpy as np
from PIL import Image


def crop(picture: Image.Image, places: np.ndarray, side: int) -> np.ndarray:
    """Each region of an RGB picture, uint8 [n, side, side, 3], resampled bilinearly with antialiasing.

    places: float [n, 4], left, top, right and bottom as shares of the picture. A region without area is black.
    """
    found = np.zeros((len(places), side, side, 3), np.uint8)
    scale = np.array([picture.width, picture.height] * 2)
    for number, box in enumerate((places.astype(np.float64) * scale).clip(0, scale)):
        left, top, right, bottom = box.tolist()
        if left < right and top < bottom:
            region = picture.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
            found[number] = np.asarray(region)
    return found


def grid(rows: int, cols: int) -> np.ndarray:
    """Places of rows x cols equal regions, row by row, float32 [rows x cols, 4]."""
    row, col = np.divmod(np.arange(rows * cols), cols)
    return np.stack([col / cols, row / rows, (col + 1) / cols, (row + 1) / rows], axis=1).astype(np.float32)
