"""What a page loses to a reader when a cell of it is rendered at a smaller scale.

The page is shrunk and enlarged again, and compared with itself by the structure term of SSIM (Wang et al. 2004). A
cell loses as much as it has text, times the share of words that a reader loses where text falls so far short of its
structure; and a little of the shortfall where there is no text. Sums are of integers up to 2^24 in float32, and every
other step is one correctly rounded operation, so that a code depends on its cell's surroundings alone: not on the
device, the number of threads or the other cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch.nn import functional

from operators.relevance.resampling import ONE, there_and_back
from operators.relevance.text import CELL as TEXT_CELL

SCALES = (0.85, 0.72, 0.6, 0.5, 0.4, 0.3, 0.2, 0.12)
"""Linear scales that a cell's loss is measured at; at scale 1 nothing is lost."""
STABLE = 60.0
"""Variance that counts as no structure (SSIM's constant C2): a deviation of 8 grey levels is half structure."""
FAINT = 30.0
"""Variance up to which a pixel is no text: it is the ground around it."""
SPREAD = 1
"""Text reaches so many values of its map further than it was found: its outermost strokes lie on the border."""
LOST = ((0, 0), (13, 26), (77, 51), (102, 128), (128, 230), (154, 255), (255, 255))
"""Share of words lost, in 255ths, at a mean shortfall of structure over a cell's text, in 256ths; linear between.

Of 1,652 lines of screenshots that an OCR reader read at seven scales, it lost .66 to .74 of the words at a shortfall of
.4 to .5, and .91 to .98 at .5 to .7. Up to .3 it lost a third whatever the shortfall; but a table with that third
read fewer words at 36 % of the tokens (.899 of those of 11 pages, against .938).
"""
FINENESS = (23, 115)
"""The finer text is, the more words have room on a cell, and the more structure it lacks at half its size: the mean
shortfall there, cut to this, is what surely text counts in terms of other pixels. It read .818 of the words of 17 pages
at 20 % of the tokens, against .794 with one weight for all text, and as much at 36 and 72 %."""
LOSSES = (0, *(round(128 * 2 ** (step / 10.5)) for step in range(255)))
"""What each code stands for: 6.8 % from one to the next, up to more than any cell loses."""
BATCH = 64
"""Cells that are measured together: an array of them is 400 kB, and a few of those stay in a core's cache."""


class Sampling(NamedTuple):
    """How a cell is measured under one reduction of its picture: the window is one size of the page's own pixels."""

    context: int
    stride: int
    window: tuple[int, ...]


SAMPLINGS = {
    1: Sampling(6, 2, (1, 2, 4, 6, 6, 6, 4, 2, 1)),
    2: Sampling(3, 1, (2, 8, 12, 8, 2)),
    4: Sampling(2, 1, (4, 24, 4)),
}
"""By reduction: pixels around a cell, pixels from sample to sample, and the window, of a deviation near 2 pixels of
the page."""
WINDOW_SUM = 32
"""Of each window: with shades of -128 to 127, sums of products down and across come to 2^24 at most."""


class _Page(NamedTuple):
    """Cells as they are: shades less 128 [size, size, n], their means and variances around each sample."""

    shades: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor


class _Measures(NamedTuple):
    """How one kind of cell is measured. resamplings: one a scale, None where the reduced picture still shows it."""

    context: int
    samples: list[int]
    window: torch.Tensor
    half: torch.Tensor
    resamplings: list[torch.Tensor | None]


def legibility(grey: torch.Tensor, text: torch.Tensor, cell: int, reduction: int = 1) -> torch.Tensor:
    """Codes of what each cell loses at each of SCALES: uint8 [len(SCALES), rows, cols]; see LOSSES.

    grey: luminance uint8 [rows * cell, cols * cell]; text: its `text_map`. Of a picture that was reduced by 2 or 4,
    `cell` is as much smaller, and nothing is lost at scales that the reduced picture still shows.
    """
    rows, cols = grey.shape[0] // cell, grey.shape[1] // cell
    measures = _measures(cell, reduction, grey.device)
    size = cell + 2 * measures.context
    with torch.inference_mode():
        patches = _padded(grey, measures.context).unfold(0, size, cell).unfold(1, size, cell).reshape(-1, size, size)
        weights = _weights(text, measures.samples, cell, rows, cols)
        losses = torch.zeros((len(SCALES), rows * cols), dtype=torch.int64, device=grey.device)
        shown = (patches.amax((1, 2)) != patches.amin((1, 2))).nonzero()[:, 0]
        for start in range(0, len(shown), BATCH):
            some = shown[start : start + BATCH]
            losses[:, some] = _losses(patches[some], weights[:, :, some], measures)
        losses *= (cell * reduction // (2 * len(measures.samples))) ** 2
        codes = torch.bucketize(losses.cummax(0).values, _borders(grey.device), right=True)
        return codes.to(torch.uint8).view(len(SCALES), rows, cols)


def _losses(patches: torch.Tensor, weights: torch.Tensor, measures: _Measures) -> torch.Tensor:
    """Losses of cells, int64 [len(SCALES), n], of uint8 [n, size, size] and weights [samples, samples, n]."""
    page = _page(patches, measures.window)
    weights = weights * (page.variance > FAINT)
    amount = weights.sum((0, 1))

    def over_text(lacking: torch.Tensor) -> torch.Tensor:
        return ((lacking * weights).sum((0, 1)) / amount.clamp(min=1)).to(torch.int64)

    words = amount.to(torch.int64) * over_text(_shortfall(page, measures.half, measures.window)).clamp(*FINENESS)
    lost = _lost(patches.device)
    losses = torch.zeros((len(SCALES), patches.shape[0]), dtype=torch.int64, device=patches.device)
    for scale, resampling in enumerate(measures.resamplings):
        if resampling is not None:
            lacking = _shortfall(page, resampling, measures.window)
            losses[scale] = words * lost[over_text(lacking)] + lacking.sum((0, 1)).to(torch.int64)
    return losses


def _page(patches: torch.Tensor, window: torch.Tensor) -> _Page:
    shades = patches.permute(1, 2, 0).to(torch.float32).contiguous() - 128
    mean, square = _window_means(torch.stack([shades, shades * shades], 1), window)
    return _Page(shades, mean, square - mean * mean)


def _shortfall(page: _Page, resampling: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """1 - structure at each sample once the page was resampled, in 256ths, 0..255: float32 [samples, samples, n].

    Cells come last in every array, so each product with a small matrix is a few large ones.
    """
    size, _, count = page.shades.shape
    down = (resampling @ page.shades.view(size, -1)).view(size, size, count)
    seen = (resampling @ down).add_(ONE * ONE // 2).mul_(1 / (ONE * ONE)).floor_().clamp_(-128, 127)
    mean, square, product = _window_means(torch.stack([seen, seen * seen, seen * page.shades], 1), window)
    variance = square - mean * mean
    shared = product - mean * page.mean
    lacking: torch.Tensor = (page.variance + variance).sub_(shared).sub_(shared).mul_(256)
    lacking.div_(page.variance + variance + STABLE)
    return lacking.floor_().clamp_(0, 255)


def _window_means(maps: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Means of maps [size, m, size, n] in the window of each sample: [m, samples, samples, n]."""
    size, num_maps, _, count = maps.shape
    down = (window @ maps.view(size, -1)).view(-1, num_maps, size, count)
    return (window @ down).mul_(1 / WINDOW_SUM**2).transpose(0, 1)


def _padded(grey: torch.Tensor, margin: int) -> torch.Tensor:
    """The page with its outermost pixels repeated."""
    rows, cols = (torch.arange(-margin, side + margin, device=grey.device).clamp(0, side - 1) for side in grey.shape)
    return grey[rows][:, cols]


def _weights(text: torch.Tensor, samples: Sequence[int], cell: int, rows: int, cols: int) -> torch.Tensor:
    """How surely each sample is text: float32 [samples, samples, cells], integers of 0..255."""
    wide = functional.max_pool2d(text[None].to(torch.float32), 2 * SPREAD + 1, 1, SPREAD)[0]
    down, across = (
        (torch.arange(count)[:, None] * cell + torch.tensor(samples)).flatten().to(text.device) // TEXT_CELL
        for count in (rows, cols)
    )
    found = wide[down][:, across].view(rows, len(samples), cols, len(samples))
    return found.permute(1, 3, 0, 2).reshape(len(samples), len(samples), -1)


@cache
def _measures(cell: int, reduction: int, device: torch.device) -> _Measures:
    sampling = SAMPLINGS[reduction]
    size, reach = cell + 2 * sampling.context, len(sampling.window) // 2
    samples = list(range(sampling.stride // 2, cell, sampling.stride))
    window = torch.zeros((len(samples), size))
    for row, place in enumerate(samples):
        first = sampling.context + place - reach
        window[row, first : first + len(sampling.window)] = torch.tensor(sampling.window, dtype=torch.float32)

    def resampling(scale: float) -> torch.Tensor:
        matrix = there_and_back(size, max(1, round(size * scale)))
        return torch.tensor(matrix, dtype=torch.float32, device=device)

    resamplings = [resampling(scale * reduction) if scale * reduction < 1 else None for scale in SCALES]
    return _Measures(sampling.context, samples, window.to(device), resampling(0.5), resamplings)


@cache
def _lost(device: torch.device) -> torch.Tensor:
    """LOST for each whole shortfall, int64 [256]."""
    found = [0]
    for (start, low), (end, high) in pairwise(LOST):
        found += [low + (high - low) * (place - start) // (end - start) for place in range(start + 1, end + 1)]
    return torch.tensor(found, dtype=torch.int64, device=device)


@cache
def _borders(device: torch.device) -> torch.Tensor:
    """The smallest loss of each code from 1: what is nearer to that code's than to the one before."""
    return torch.tensor([(a + b + 1) // 2 for a, b in pairwise(LOSSES)], dtype=torch.int64, device=device)
