"""Ways of knowing what a region is worth, one file each: a batch of luminance tiles in, one 8-bit value a tile out.

Tiles are uint8 [n, TILE, TILE]. Every sum is one of integers, so a value depends on its tile alone: not on the
tiles beside it, the batch, the device or the number of threads.
"""

from __future__ import annotations

TILE = 96
"""Side of the square that a region's luminance is resampled to, in pixels."""
