"""Ways of knowing what a region is worth, one file each: a batch of luminance tiles in, one 8-bit value a tile out.

Tiles are uint8 [n, TILE, TILE]. Every sum is one of integers, so a value depends on its tile alone: not on the
tiles beside it, the batch, the device or the number of threads.

The participatory way also needs a text and colours: `encoder` has regions, uint8 [n, REGION, REGION, 3], and computes
in floats, at one padded shape; its values are rounded to 8 bits before anything is decided.
"""

from __future__ import annotations

TILE = 96
"""Side of the square that a region's luminance is resampled to, in pixels."""
REGION = 48
"""Side of the square that a region's colours are resampled to, in pixels: a word of six letters has 7 a letter."""
