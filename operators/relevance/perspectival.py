"""Salience: what makes a region stand out, by whichever of its edges, contrast, text or colours does so most."""

from __future__ import annotations

from functools import cache

import torch

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
    t = tiles.to(torch.int16)
    across = (t[:, :-2] + t[:, 2:]).add_(t[:, 1:-1], alpha=2)
    along = (t[:, :, :-2] + t[:, :, 2:]).add_(t[:, :, 1:-1], alpha=2)
    gx, gy = across[:, :, 2:] - across[:, :, :-2], along[:, 2:] - along[:, :-2]
    squares = gx.to(torch.int32).square_().add_(gy.to(torch.int32).square_())
    return _share(squares >= EDGE * EDGE, EDGES)


def _contrast(tiles: torch.Tensor) -> torch.Tensor:
    """Share of places whose CENTRE differs from its SURROUND by CONTRAST, times CONTRASTS, as 0..255.

    Sums over squares are products with matrices of zeros and ones, of whole shades below 2^24, exact in any order: an
    eighth of the time of pooling.
    """
    shades = tiles.to(torch.float32)
    centre, surround = (_sums(shades, square) for square in (CENTRE, SURROUND))
    differs = (centre * (SURROUND // CENTRE) ** 2 - surround).abs() >= CONTRAST * SURROUND**2
    return _share(differs, CONTRASTS)


def _sums(shades: torch.Tensor, square: int) -> torch.Tensor:
    """Sum over each square, [n, down, across], of shades [n, h, w]."""
    down, across = (_windows(side, square, shades.device) for side in shades.shape[1:])
    return down @ (shades @ across.T)


@cache
def _windows(side: int, square: int, device: torch.device) -> torch.Tensor:
    """Which of `side` pixels lie in each square in the middle of each SURROUND, 0 or 1: float32 [squares, side]."""
    firsts = torch.arange(0, side - SURROUND + 1, STEP, device=device) + (SURROUND - square) // 2
    pixels = torch.arange(side, device=device)
    return ((pixels >= firsts[:, None]) & (pixels < firsts[:, None] + square)).to(torch.float32)


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
