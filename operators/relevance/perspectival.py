"""Salience: what makes a region stand out, by whichever of its edges, contrast, text or colours does so most."""

from __future__ import annotations

import torch
from torch.nn import functional

EDGE = 128
"""Sobel magnitude of an edge: a step of 32 grey levels, which a reader still sees as a stroke."""
EDGES = 8
"""A region one eighth of whose pixels are edges counts as fully salient: body text on white has about that many."""
CENTRE, SURROUND = 6, 24
"""Sides of the squares whose means are compared, in pixels of a tile: an icon, and what is around it."""
STEP = 4
"""Pixels from one comparison to the next: 19 along a side, the same from either end."""
CONTRAST = 32
"""Grey levels by which a centre differs from its surround where it stands out."""
CONTRASTS = 4
"""A region a quarter of whose pixels stand out from their surround counts as fully salient."""
COLOURS = 4
"""A deviation of 64 levels between opponent colours counts as fully salient."""
TEXTS = 3
"""A region a third of whose pixels are text counts as fully salient: lines of text have as much space between them."""


def perspectival(tiles: torch.Tensor, colours: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """The most salient of edges, centre-surround contrast, colours and text of each region, uint8 [n].

    tiles: luminance, uint8 [n, h, w]. colours: uint8 [n, side, side, 3]. text: mean of the text map, uint8 [n].
    Integers throughout, so no device or batch changes a value.
    """
    dense = (text.to(torch.int64) * TEXTS).clamp(max=255)
    found = torch.stack([_edges(tiles), _contrast(tiles), _colour(colours), dense])
    return found.amax(dim=0).to(torch.uint8)


def _edges(tiles: torch.Tensor) -> torch.Tensor:
    """Share of each tile's pixels whose Sobel magnitude reaches EDGE, times EDGES, as 0..255."""
    t = tiles.to(torch.int32)
    up, middle, down = t[:, :-2], t[:, 1:-1], t[:, 2:]
    across = up + 2 * middle + down
    gx = across[:, :, 2:] - across[:, :, :-2]
    along = t[:, :, :-2] + 2 * t[:, :, 1:-1] + t[:, :, 2:]
    gy = along[:, 2:] - along[:, :-2]
    return _share(gx * gx + gy * gy >= EDGE * EDGE, EDGES)


def _contrast(tiles: torch.Tensor) -> torch.Tensor:
    """Share of places whose CENTRE differs from its SURROUND by CONTRAST, times CONTRASTS, as 0..255."""
    shades = tiles.to(torch.float32)[:, None]  # sums of whole shades: below 2^24, exact in any order
    surround = functional.avg_pool2d(shades, SURROUND, STEP, divisor_override=1)
    edge = (SURROUND - CENTRE) // 2
    centre = functional.avg_pool2d(shades[:, :, edge:-edge, edge:-edge], CENTRE, STEP, divisor_override=1)
    differs = (centre * (SURROUND // CENTRE) ** 2 - surround).abs() >= CONTRAST * SURROUND**2
    return _share(differs[:, 0], CONTRASTS)


def _colour(colours: torch.Tensor) -> torch.Tensor:
    """Deviation of red against green, and of yellow against blue, the larger, times COLOURS, as 0..255."""
    red, green, blue = colours.to(torch.int64).flatten(1, 2).unbind(dim=-1)
    found = []
    for opponent in (2 * (red - green), red + green - 2 * blue):
        count = opponent.shape[1]
        spread = count * (opponent * opponent).sum(dim=1) - opponent.sum(dim=1) ** 2
        found.append((spread.to(torch.float64).sqrt() * COLOURS / (2 * count)).floor())
    return torch.stack(found).amax(dim=0).clamp(max=255).to(torch.int64)


def _share(marked: torch.Tensor, times: int) -> torch.Tensor:
    pixels = marked.shape[1] * marked.shape[2]
    return (marked.sum(dim=(1, 2), dtype=torch.int64) * times * 255 // pixels).clamp(0, 255)
