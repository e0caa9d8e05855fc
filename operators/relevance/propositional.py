"""Information content: how evenly a region uses its shades."""

from __future__ import annotations

import math
from functools import cache

import torch

BINS = 32
"""Of 8 grey levels each: camera noise stays inside a bin, a shadow crosses several."""


SCALE = 1 << 20
"""n log2 n is tabulated in millionths: the sum over bins is then one of integers, and no device rounds its own way."""


def propositional(tiles: torch.Tensor) -> torch.Tensor:
    """Shannon entropy of each tile's luminance over log2(BINS), as 0..255.

    tiles: uint8 [n, h, w]; returns uint8 [n]. A flat tile gives 0, one that uses all bins equally 255.
    With counts n of N pixels, the entropy is (N log2 N - sum of n log2 n) / N.
    """
    bins = (tiles.reshape(tiles.shape[0], -1) // (256 // BINS)).to(torch.int64)
    pixels = bins.shape[1]
    counts = torch.zeros((tiles.shape[0], BINS), dtype=torch.int64, device=tiles.device)
    counts.scatter_add_(1, bins, torch.ones_like(bins))
    table = torch.tensor(_table(pixels), device=tiles.device)
    bits = table[pixels] - table[counts].sum(dim=1)
    whole = pixels * SCALE * (BINS.bit_length() - 1)
    return ((2 * 255 * bits + whole) // (2 * whole)).clamp(0, 255).to(torch.uint8)


@cache
def _table(pixels: int) -> list[int]:
    """N log2 n for n from 0 to `pixels`, times SCALE, rounded."""
    return [round(n * math.log2(n) * SCALE) if n else 0 for n in range(pixels + 1)]
