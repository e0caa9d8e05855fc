"""Salience: how much of a region is edge."""

from __future__ import annotations

import torch

EDGE = 128
"""Sobel magnitude of an edge: a step of 32 grey levels, which a reader still sees as a stroke."""
SATURATION = 8
"""A region one eighth of whose pixels are edges counts as fully salient: body text on white has about that many."""


def perspectival(tiles: torch.Tensor) -> torch.Tensor:
    """Share of each tile's pixels whose Sobel magnitude reaches EDGE, times SATURATION, as 0..255.

    tiles: uint8 [n, h, w]; returns uint8 [n]. Integers throughout.
    """
    t = tiles.to(torch.int32)
    up, middle, down = t[:, :-2], t[:, 1:-1], t[:, 2:]
    across = up + 2 * middle + down
    gx = across[:, :, 2:] - across[:, :, :-2]
    along = t[:, :, :-2] + 2 * t[:, :, 1:-1] + t[:, :, 2:]
    gy = along[:, 2:] - along[:, :-2]
    edges = (gx * gx + gy * gy >= EDGE * EDGE).sum(dim=(1, 2), dtype=torch.int64)
    pixels = gx.shape[1] * gx.shape[2]
    return (edges * SATURATION * 255 // pixels).clamp(0, 255).to(torch.uint8)
