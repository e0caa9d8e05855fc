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
from itertools import pairwise

import numpy as np

BAND_CELLS = 8
"""Tallest band, but for one of a whole region. It bounds the search; up to 20 gained nothing on eleven pages."""
SEGMENT_CELLS = 20
"""Longest segment: no view has more tokens along a side than a region of the highest level of detail."""
VIEW_TOKENS = 0.03
"""What a view costs beside its tokens, so that no cut is made for next to nothing."""
RESAMPLED = 0.95
"""Scale at which a segment counts that is not copied pixel for pixel, however near to its own size."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment. cells: (top, left, bottom, right) in its region; rendered as rows x cols tokens."""

    cells: tuple[int, int, int, int]
    rows: int
    cols: int
    loss: float

    @property
    def tokens(self) -> int:
        return self.rows * self.cols


@dataclass(frozen=True, slots=True)
class Spent:
    """A partition of one region or of several."""

    pieces: tuple[tuple[Piece, ...], ...]
    """Of each region, in raster order of bands."""
    tokens: int
    cost: float
    """Tokens, and VIEW_TOKENS for each piece."""
    loss: float

    @classmethod
    def of(cls, pieces: Sequence[Sequence[Piece]]) -> Spent:
        every = [piece for own in pieces for piece in own]
        tokens = sum(piece.tokens for piece in every)
        cost = tokens + VIEW_TOKENS * len(every)
        return cls(tuple(map(tuple, pieces)), tokens, cost, sum(piece.loss for piece in every))


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
        return Spent.of([[*self._trace(price, chosen, origin)][::-1]])

    def _trace(self, price: float, chosen: Sequence[int], origin: np.ndarray) -> Iterator[Piece]:
        """The pieces of the best partition, from the last."""
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
                yield Piece(cells, rows, cols, float(self._losses[way, band, segment]))
                right = left
            bottom = ways.tops[band]


def together(regions: Sequence[Region]) -> Callable[[float], Spent]:
    """`at` of several regions that pay one price."""

    def at(price: float) -> Spent:
        return Spent.of([region.at(price).pieces[0] for region in regions])

    return at


def within(at: Callable[[float], Spent], budget: int) -> Spent:
    """The partition of least loss that `at` finds within `budget` tokens; the one of fewest if even that has more.

    Between two neighbours on the hull, one within the budget and one above it, as many bands as fit are taken of the
    latter: both are the best at their price, and so is any mixture.
    """
    dear, cheap = at(0.0), at(CHEAPEST)
    if dear.tokens <= budget or cheap.tokens > budget:
        return dear if dear.tokens <= budget else cheap
    while dear.cost > cheap.cost:
        found = at((cheap.loss - dear.loss) / (dear.cost - cheap.cost))
        if not cheap.cost < found.cost < dear.cost:
            break
        if found.tokens <= budget:
            cheap = found
        else:
            dear = found
    return _mixed(cheap, dear, budget)


def _mixed(cheap: Spent, dear: Spent, budget: int) -> Spent:
    """`cheap` with stretches of `dear` in place of its own, the largest first, as far as the budget allows.

    A stretch reaches from one row of cells at which both have a border to the next.
    """
    stretches = [[*_stretches(*both)] for both in zip(cheap.pieces, dear.pieces, strict=True)]
    left = budget - cheap.tokens
    places = [(region, i) for region, found in enumerate(stretches) for i in range(len(found))]
    more = {
        place: _tokens(dearer) - _tokens(own) for place in places for own, dearer in [stretches[place[0]][place[1]]]
    }
    taken: set[tuple[int, int]] = set()
    for place in sorted(places, key=lambda place: -more[place]):
        if 0 < more[place] <= left:
            left -= more[place]
            taken.add(place)
    return Spent.of(
        [
            [piece for i, both in enumerate(found) for piece in both[(region, i) in taken]]
            for region, found in enumerate(stretches)
        ]
    )


def _stretches(one: Sequence[Piece], other: Sequence[Piece]) -> Iterator[tuple[list[Piece], list[Piece]]]:
    """The pieces of two partitions of one region between the borders of bands that they have in common."""
    borders = sorted({piece.cells[0] for piece in one} & {piece.cells[0] for piece in other})
    for top, bottom in pairwise([*borders, BELOW]):
        yield tuple([piece for piece in pieces if top <= piece.cells[0] < bottom] for pieces in (one, other))  # type: ignore[misc]


def _tokens(pieces: Sequence[Piece]) -> int:
    return sum(piece.tokens for piece in pieces)


CHEAPEST = 1e12
"""A price at which nothing but tokens counts."""
BELOW = 1 << 30
"""A row below every region."""


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
        # As places in a flat array, which are found three times as fast as those along an axis.
        self._above = above * above[0].size + np.arange(above[0].size).reshape(above[0].shape)
        self._share = np.clip((upper - scale) / (upper - lower), 0, 1).astype(np.float32)
        self.costs = (self._rows[:, :, None] * self._cols[:, None, :] + VIEW_TOKENS).astype(np.float32)

    def losses(self, cells: np.ndarray) -> np.ndarray:
        """float32 [ways, bands, segments] of losses [scales, rows, cols]."""
        sums = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1, cells.shape[2] + 1))
        sums[1:, 1:, 1:] = cells.cumsum(axis=1).cumsum(axis=2)
        band = sums[:, self._bands[1]] - sums[:, self._bands[0]]
        known = (band[:, :, self._segments[1]] - band[:, :, self._segments[0]]).astype(np.float32)
        more = (known[1:] - known[:-1]).ravel()[self._above]
        more *= self._share
        more += known.ravel()[self._above]
        return np.asarray(more)

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
