"""Information content: how evenly a region uses its shades."""

from __future__ import annotations

import math

import torch

BINS = 32
"""Of 8 grey levels each: camera noise stays inside a bin, a shadow crosses several."""


def propositional(tiles: torch.Tensor) -> torch.Tensor:
    """Shannon entropy of each tile's luminance over log2(BINS), as 0..255.

    tiles: uint8 [n, h, w]; returns uint8 [n]. A flat tile gives 0, one that uses all bins equally 255.
    """
    n = tiles.shape[0]
    bins = (tiles.reshape(n, -1) // (256 // BINS)).to(torch.int64)
    counts = torch.zeros((n, BINS), dtype=torch.int64, device=tiles.device)
    counts.scatter_add_(1, bins, torch.ones_like(bins))
    share = counts.to(torch.float64) / bins.shape[1]
    bits = -(share * torch.log2(share.clamp_min(torch.finfo(torch.float64).tiny))).sum(dim=1)
    return (bits / math.log2(BINS) * 255).round().clamp(0, 255).to(torch.uint8)
