"""What a page loses to a reader when a cell of it is rendered at a smaller scale.

The page is shrunk and enlarged again, and compared with itself by the structure term of SSIM (Wang et al. 2004). A
cell loses as much as it has text, times the share of words that a reader loses where text falls so far short of its
structure; and a little of the shortfall where there is no text. Sums are of integers up to 2^24 in float32, and every
other step is one correctly rounded operation, so that a code depends on its cell's surroundings alone: not on the
device, the number of threads or the other cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
BATCH = 96
"""Cells that are measured together: an array of them is 500 kB, and two of those stay in a core's cache."""


BAND_ROWS = 12
"""Rows of a resampling that are computed together, from those pixels alone that count in them: half of all products
are with zeros."""


class Sampling(NamedTuple):
    """How a cell is measured under one reduction of its picture: the window is one size of the page's own pixels."""

    context: int
    """Pixels around a cell."""
    stride: int
    """Pixels from sample to sample."""
    window: tuple[tuple[int, ...], ...]
    """Symmetric kernels that follow one another, the first of pixels and the others of samples; each begins with 1."""


SAMPLINGS = {
    1: Sampling(6, 2, ((1, 2, 1), (1, 3, 3, 1))),
    2: Sampling(3, 1, ((1, 4, 6, 4, 1),)),
    4: Sampling(2, 1, ((1, 6, 1),)),
}
"""By reduction. Each window has a deviation near 2 pixels of the page; a product of kernels takes less than half of the
additions. With shades of -128 to 127 and weights of 32 at most, sums of products down and across come to 2^24."""


class _Band(NamedTuple):
    """Some rows of a matrix and, of its columns, those that are not all zeros in them."""

    rows: slice
    cols: slice
    weights: torch.Tensor


class _Page(NamedTuple):
    """Cells as they are: shades less 128 [size, size, n], those of them that a window reaches, and their means and
    variances around each sample.
    """

    shades: torch.Tensor
    reached: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor


class _Windows(NamedTuple):
    """Weighted means around each sample: of rows by kernels, of columns by a matrix [samples, reached pixels].

    Either is the faster one where it is used.
    """

    reached: slice
    stride: int
    kernels: tuple[tuple[int, ...], ...]
    across: torch.Tensor


class _Measures(NamedTuple):
    """How one kind of cell is measured. resamplings: one a scale, None where the reduced picture still shows it."""

    context: int
    samples: list[int]
    windows: _Windows
    half: tuple[_Band, ...]
    resamplings: list[tuple[_Band, ...] | None]


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
    page = _page(patches, measures.windows)
    weights = weights * (page.variance > FAINT)
    amount = weights.sum((0, 1))

    def over_text(lacking: torch.Tensor) -> torch.Tensor:
        return ((lacking * weights).sum((0, 1)) / amount.clamp(min=1)).to(torch.int64)

    at_half = _shortfall(page, measures.half, measures.windows)
    words = amount.to(torch.int64) * over_text(at_half).clamp(*FINENESS)
    lost = _lost(patches.device)
    losses = torch.zeros((len(SCALES), patches.shape[0]), dtype=torch.int64, device=patches.device)
    for scale, resampling in enumerate(measures.resamplings):
        if resampling is not None:
            is_half = resampling is measures.half
            lacking = at_half if is_half else _shortfall(page, resampling, measures.windows)
            losses[scale] = words * lost[over_text(lacking)] + lacking.sum((0, 1)).to(torch.int64)
    return losses


def _page(patches: torch.Tensor, windows: _Windows) -> _Page:
    size = patches.shape[1]
    shades = patches.flatten(1).T.contiguous().view(size, size, -1).to(torch.float32) - 128
    reached = shades[windows.reached, windows.reached].contiguous()
    mean, square = _window_means((reached, reached * reached), windows)
    return _Page(shades, reached, mean, square - mean * mean)


def _shortfall(page: _Page, resampling: Sequence[_Band], windows: _Windows) -> torch.Tensor:
    """1 - structure at each sample once the page was resampled, in 256ths, 0..255: float32 [samples, samples, n].

    Cells come last in every array, so each product with a small matrix is a few large ones.
    """
    seen = _resampled(page.shades, resampling).add_(0.5).floor_().clamp_(-128, 127)
    maps = (seen, seen * seen, seen * page.reached)
    mean, square, product = _window_means(maps, windows)
    variance = square - mean * mean
    shared = product - mean * page.mean
    total = page.variance + variance
    lacking: torch.Tensor = (total - shared).sub_(shared).mul_(256)
    return lacking.div_(total.add_(STABLE)).floor_().clamp_(0, 255)


def _resampled(shades: torch.Tensor, resampling: Sequence[_Band]) -> torch.Tensor:
    """Cells [size, size, n] resampled down and across, as far as windows reach: [reached, reached, n]."""
    down = torch.cat([band.weights @ shades[band.cols].flatten(1) for band in resampling]).view(-1, *shades.shape[1:])
    return torch.cat([band.weights @ down[:, band.cols] for band in resampling], dim=1)


def _window_means(maps: Sequence[torch.Tensor], windows: _Windows) -> Iterator[torch.Tensor]:
    """Means of each map [reached, reached, n] in the window of each sample: [samples, samples, n]."""
    for values in maps:
        yield windows.across @ _summed(values, windows.stride, windows.kernels)


def _summed(values: torch.Tensor, stride: int, kernels: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """Rows summed by a kernel at every `stride`, and what that gives by the next at every place."""
    kernel, *others = kernels
    last = values.shape[0] - len(kernel) + 1
    found = values[:last:stride] + values[len(kernel) - 1 :: stride]
    for place, weight in enumerate(kernel[1:-1], 1):
        found.add_(values[place : place + last : stride], alpha=weight)
    return _summed(found, 1, others) if others else found


def _padded(grey: torch.Tensor, margin: int) -> torch.Tensor:
    """The page with its outermost pixels repeated."""
    tall = torch.cat([grey[:1].expand(margin, -1), grey, grey[-1:].expand(margin, -1)])
    return torch.cat([tall[:, :1].expand(-1, margin), tall, tall[:, -1:].expand(-1, margin)], dim=1)


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
    size = cell + 2 * sampling.context
    samples = list(range(sampling.stride // 2, cell, sampling.stride))
    first, *others = sampling.window
    reach = (len(first) + sampling.stride * sum(len(kernel) - 1 for kernel in others)) // 2
    reached = slice(sampling.context + samples[0] - reach, sampling.context + samples[-1] + reach + 1)
    across = _summed(torch.eye(reached.stop - reached.start), sampling.stride, sampling.window)
    across /= across[0].sum() ** 2
    windows = _Windows(reached, sampling.stride, sampling.window, across.to(device))

    def resampling(scale: float) -> tuple[_Band, ...]:
        matrix = there_and_back(size, max(1, round(size * scale)))
        return tuple(_bands(torch.tensor(matrix, dtype=torch.float32, device=device)[reached] / ONE))

    half = resampling(0.5)
    scales = [scale * reduction for scale in SCALES]
    resamplings = [half if scale == 0.5 else resampling(scale) if scale < 1 else None for scale in scales]
    return _Measures(sampling.context, samples, windows, half, resamplings)


def _bands(matrix: torch.Tensor) -> Iterator[_Band]:
    for start in range(0, matrix.shape[0], BAND_ROWS):
        rows = slice(start, min(start + BAND_ROWS, matrix.shape[0]))
        used = matrix[rows].any(dim=0).nonzero()[:, 0].tolist()
        cols = slice(used[0], used[-1] + 1)
        yield _Band(rows, cols, matrix[rows, cols].contiguous())


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
