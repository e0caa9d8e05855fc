"""Spends a region's tokens where reading needs them: bands of rows, cut into segments, each rendered at its own scale.

What is lost in a segment is the sum of what is lost in its cells at the scale that it is rendered at
(`operators.relevance.legibility`). For a price of a token, the cheapest of all such partitions is found exactly, by
dynamic programming over segments and then over bands; the price is then searched on the hull of (tokens, loss), so that
the tokens stay within a budget. Elementwise arithmetic in a fixed order: the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BAND_CELLS = 8
"""Tallest band, but for one of a whole region: taller ones were never chosen where bands of this height were not."""
SEGMENT_CELLS = 20
"""Longest segment: no view has more tokens along a side than a region of the highest level of detail."""
VIEW_TOKENS = 0.1
"""What a view costs beside its tokens, so that no cut is made for next to nothing."""
RESAMPLED = 0.95
"""Scale at which a segment counts that is not copied pixel for pixel, however near to its own size."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment. cells: (top, left, bottom, right) in its region; rendered as rows x cols tokens."""

    cells: tuple[int, int, int, int]
    rows: int
    cols: int


@dataclass(frozen=True, slots=True)
class Spent:
    """A partition of one region or of several: its tokens, its cost in tokens (views included), and what is lost."""

    tokens: int
    cost: float
    loss: float
    pieces: tuple[tuple[Piece, ...], ...]
    """Of each region, in raster order of bands."""


class Region:
    """All ways to cut one region, priced in losses."""

    def __init__(self, losses: np.ndarray, scales: Sequence[float], extent: tuple[float, float]) -> None:
        """losses: [len(scales), rows, cols], of each cell; scales: linear, descending, 1 excluded, where nothing is
        lost. extent: height and width in cells, of which the last row and column may have more or fewer pixels.
        """
        _, self._rows, self._cols = losses.shape
        self._ways = _ways(self._rows, self._cols, *extent, tuple(scales))
        self._losses = self._ways.losses(losses)

    def at(self, price: float) -> Spent:
        """The partition of least loss + price x cost."""
        ways = self._ways
        leaf = self._losses[0] + np.float32(price) * ways.costs[0]
        for losses, costs in zip(self._losses[1:], ways.costs[1:], strict=True):
            np.minimum(leaf, losses + np.float32(price) * costs, out=leaf)
        best = np.zeros((len(leaf), self._cols + 1), np.float32)
        origin = np.zeros((len(leaf), self._cols + 1), np.int32)
        for right in range(1, self._cols + 1):
            first, least = ways.first[right], max(0, right - SEGMENT_CELLS)
            found = best[:, least:right] + leaf[:, first : first + right - least]
            origin[:, right] = least + found.argmin(axis=1)
            best[:, right] = found.min(axis=1)
        total = [np.float32(0)]
        chosen: list[int] = []
        for bottom in range(1, self._rows + 1):
            found_at = [total[ways.tops[band]] + best[band, -1] for band in ways.ending[bottom]]
            number = int(np.argmin(found_at))
            chosen.append(ways.ending[bottom][number])
            total.append(found_at[number])
        return self._spent(list(self._trace(price, chosen, origin)))

    def _trace(self, price: float, chosen: Sequence[int], origin: np.ndarray) -> Iterator[tuple[Piece, float, float]]:
        """The pieces of the best partition with cost and loss, from the last."""
        ways = self._ways
        bottom = self._rows
        while bottom:
            band = chosen[bottom - 1]
            right = self._cols
            while right:
                left = int(origin[band, right])
                segment = ways.first[right] + left - max(0, right - SEGMENT_CELLS)
                weighed = self._losses[:, band, segment] + np.float32(price) * ways.costs[:, band, segment]
                way = int(weighed.argmin())
                rows, cols = ways.tokens(way, band, segment)
                cells = (ways.tops[band], left, bottom, right)
                yield (
                    Piece(cells, rows, cols),
                    float(ways.costs[way, band, segment]),
                    float(self._losses[way, band, segment]),
                )
                right = left
            bottom = ways.tops[band]

    def _spent(self, found: Sequence[tuple[Piece, float, float]]) -> Spent:
        pieces = tuple(piece for piece, _, _ in reversed(found))
        return Spent(
            sum(piece.rows * piece.cols for piece in pieces),
            sum(cost for _, cost, _ in found),
            sum(loss for _, _, loss in found),
            (pieces,),
        )


def together(regions: Sequence[Region]) -> Callable[[float], Spent]:
    """`at` of several regions that pay one price."""

    def at(price: float) -> Spent:
        found = [region.at(price) for region in regions]
        return Spent(
            sum(spent.tokens for spent in found),
            sum(spent.cost for spent in found),
            sum(spent.loss for spent in found),
            tuple(pieces for spent in found for pieces in spent.pieces),
        )

    return at


def within(at: Callable[[float], Spent], budget: int) -> Spent:
    """The partition of least loss on the hull of those that `at` finds, of at most `budget` tokens.

    The one of fewest tokens if even that has more.
    """
    dear, cheap = at(0.0), at(CHEAPEST)
    if dear.tokens <= budget:
        return dear
    while cheap.tokens <= budget and dear.cost > cheap.cost:
        price = (cheap.loss - dear.loss) / (dear.cost - cheap.cost)
        found = at(price)
        if not cheap.cost < found.cost < dear.cost:
            break
        if found.tokens <= budget:
            cheap = found
        else:
            dear = found
    return cheap


CHEAPEST = 1e12
"""A price at which nothing but tokens counts."""


class _Ways:
    """Bands and segments of a grid, and the ways to render each pair of them: the same for all regions of one shape."""

    def __init__(self, rows: int, cols: int, height: float, width: float, scales: Sequence[float]) -> None:
        spans = [
            (top, bottom)
            for bottom in range(1, rows + 1)
            for top in range(bottom)
            if bottom - top <= BAND_CELLS or bottom - top == rows <= SEGMENT_CELLS
        ]
        self.tops = [top for top, _ in spans]
        self.ending = [[i for i, (_, end) in enumerate(spans) if end == bottom] for bottom in range(rows + 1)]
        self._bands = np.array(spans).T
        ends = [(max(0, right - SEGMENT_CELLS), right) for right in range(cols + 1)]
        self._segments = np.array([(left, right) for least, right in ends for left in range(least, right)]).T
        self.first = np.cumsum([0] + [right - least for least, right in ends]).tolist()
        all_scales = np.array([1.0, *scales])
        self._rows, down = _rendered(self._bands, rows, height, all_scales)
        self._cols, across = _rendered(self._segments, cols, width, all_scales)
        down, across = down[:, :, None], across[:, None, :]
        scale = (np.minimum(down, across) + np.sqrt(down * across)) / 2
        scale = np.where((down == 1) & (across == 1), 1.0, np.minimum(scale, RESAMPLED))
        # Of scale s between two of those whose losses are known: their numbers, and the share of the smaller one.
        above = np.clip((all_scales[:, None, None, None] >= scale).sum(axis=0) - 1, 0, len(all_scales) - 2)
        upper, lower = all_scales[above], all_scales[above + 1]
        self._above = above
        self._share = np.clip((upper - scale) / (upper - lower), 0, 1).astype(np.float32)
        self.costs = (self._rows[:, :, None] * self._cols[:, None, :] + VIEW_TOKENS).astype(np.float32)

    def losses(self, cells: np.ndarray) -> np.ndarray:
        """float32 [ways, bands, segments] of losses [scales, rows, cols]."""
        sums = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1, cells.shape[2] + 1))
        sums[1:, 1:, 1:] = cells.cumsum(axis=1).cumsum(axis=2)
        band = sums[:, self._bands[1]] - sums[:, self._bands[0]]
        known = (band[:, :, self._segments[1]] - band[:, :, self._segments[0]]).astype(np.float32)
        upper = np.take_along_axis(known, self._above, axis=0)
        lower = np.take_along_axis(known, self._above + 1, axis=0)
        return np.asarray(upper + (lower - upper) * self._share)

    def tokens(self, way: int, band: int, segment: int) -> tuple[int, int]:
        return int(self._rows[way, band]), int(self._cols[way, segment])


def _rendered(spans: np.ndarray, cells: int, extent: float, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens along one side of each span at each scale, and the scale that this comes to, [scales, spans]."""
    start, end = spans
    length = end - start
    tokens = np.maximum(1, np.floor(length * scales[:, None] + 0.5))
    return tokens, tokens / (length + (end == cells) * (extent - cells))


@lru_cache(maxsize=64)
def _ways(rows: int, cols: int, height: float, width: float, scales: tuple[float, ...]) -> _Ways:
    return _Ways(rows, cols, height, width, scales)
