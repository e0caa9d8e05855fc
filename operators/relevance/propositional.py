"""Information content: how evenly a region uses its shades or, for choice, the channels of its texture array."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch

from operators.relevance.texture import texture

BINS = 32
"""Of 8 grey levels each: camera noise stays inside a bin, a shadow crosses several."""
LEAST = 0.01
"""Smallest range of channel entropies that is stretched to 0..255: that of a flat picture is rounding."""
SCALE = 1 << 20
"""n log2 n is tabulated in millionths: the sum over bins is then one of integers, and no device rounds its own way."""


def propositional(tiles: torch.Tensor) -> torch.Tensor:
    """Shannon entropy of each tile's luminance over log2(BINS), as 0..255.

    tiles: uint8 [n, h, w]; returns uint8 [n]. A flat tile gives 0, one that uses all bins equally 255.
    With counts n of N pixels, the entropy is (N log2 N - sum of n log2 n) / N.
    """
    shades = tiles.reshape(tiles.shape[0], -1)
    pixels = shades.shape[1]
    firsts = torch.arange(0, tiles.shape[0] * BINS, BINS, dtype=torch.int32, device=tiles.device)
    bins = shades // (256 // BINS) + firsts[:, None]
    counts = torch.bincount(bins.flatten(), minlength=tiles.shape[0] * BINS).view(-1, BINS)
    table = _table(pixels, tiles.device)
    bits = table[pixels] - table[counts].sum(dim=1)
    whole = pixels * SCALE * (BINS.bit_length() - 1)
    return ((2 * 255 * bits + whole) // (2 * whole)).clamp(0, 255).to(torch.uint8)


def channel_entropy(colours: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Entropy of the softmax over the texture array's channels, averaged over each region of one image, uint8 [n].

    colours: uint8 [n, side, side, 3]; places: float32 [n, 4] (see `texture`). From the image's least, 0, to its
    greatest, 255: ARR-COC's scorer, which stretches over the whole batch; here each image is stretched alone.
    """
    found = []
    with torch.inference_mode():
        for region, place in zip(torch.from_numpy(colours), torch.from_numpy(places), strict=True):
            shares = texture(region[None], place[None], region.shape[0]).to(torch.float64).softmax(dim=1)
            found.append(-(shares * shares.log()).sum(dim=1).mean().item())
    values = np.array(found)
    shares = (values - values.min()) / max(float(np.ptp(values)), LEAST)
    return np.asarray(np.floor(shares * 255 + 0.5).astype(np.uint8))


@cache
def _table(pixels: int, device: torch.device) -> torch.Tensor:
    """N log2 n for n from 0 to `pixels`, times SCALE, rounded, int64."""
    found = [round(n * math.log2(n) * SCALE) if n else 0 for n in range(pixels + 1)]
    return torch.tensor(found, dtype=torch.int64, device=device)
