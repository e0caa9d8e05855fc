"""Finds, for a bin that exceeds a limit, an item of another bin that can stand for one or two of its own."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from operators.packing.bins import SCALE, Bins
from operators.packing.exchanging import disjoint

Integers = npt.NDArray[np.int64]

SLOTS = 6
"""Slots of a bin of which one or two are replaced: 21 ways."""
STEPS = 3
"""Items of a strip that are tried, from the largest that fits."""
STRIPS = 1.5
"""Items stand in 1 / STRIPS times the root of their number of strips."""
CHUNK = 4096
"""Bins that are looked after at once; bounds memory."""
_SPAN = 4 * SCALE


def replace(bins: Bins) -> None:
    """Ends the excess of as many bins as it can by one replacement each, after which both bins keep all limits.

    Items stand in strips by their first dimension, sorted by the second, so that the items that are just small enough
    are neighbours: a few looks do what takes `exchange` hundreds of random pairs.
    """
    index = _Index(bins)
    over = bins.over()
    for start in range(0, len(over), CHUNK):
        _replace(bins, index, over[start : start + CHUNK])


class _Index:
    """Items of the bins that keep all limits, by strip and second dimension; and where each lies."""

    def __init__(self, bins: Bins) -> None:
        may_move = bins.slots < bins.num_items
        may_move[bins.over()] = False
        rows, columns = np.nonzero(may_move)
        items = bins.slots[rows, columns]
        self._second = min(1, len(bins.limits) - 1)
        by_first = np.argsort(bins.shares[items, 0], kind="stable")
        per_strip = max(1, int(STRIPS * len(items) ** 0.5))
        self._low = bins.shares[items[by_first[::per_strip]], 0]
        keys = np.arange(len(items)) // per_strip * _SPAN + bins.shares[items[by_first], self._second].astype(np.int64)
        by_key = np.argsort(keys, kind="stable")
        self._keys = keys[by_key]
        order = by_first[by_key]
        self.items, self.rows, self.columns = items[order], rows[order], columns[order]

    def below(self, most: npt.NDArray[np.float32]) -> list[Integers]:
        """Places of items whose shares are about at most `most` [..., dimensions], in two strips; -1 is none."""
        found = []
        strip = np.searchsorted(self._low, most[..., 0], side="right") - 1
        second = np.clip(most[..., self._second], -1, _SPAN - 2).astype(np.int64)
        for step in (0, 1):
            start = (strip - step) * _SPAN
            place = np.searchsorted(self._keys, start + second, side="right") - 1
            for back in range(STEPS):
                is_there = (place >= back) & (self._keys[np.maximum(place - back, 0)] >= start)
                found.append(np.where(is_there, place - back, -1))
        return found


@cache
def _ways(width: int) -> Integers:
    """Pairs of slots; `width` stands for none."""
    return np.array([(k, width) for k in range(width)] + list(combinations(range(width), 2)), np.int64)


def _replace(bins: Bins, index: _Index, over: Integers) -> None:
    if not len(index.items):
        return
    width = min(SLOTS, bins.slots.shape[1])
    (columns,) = bins.columns(width, over)
    own = np.hstack([bins.slots[over[:, None], columns], np.full((len(over), 1), bins.num_items)])
    pairs = own[:, _ways(width)]
    given = bins.sizes[pairs].sum(2)
    room = bins.limits - bins.loads
    most = given + room[over][:, None, :]
    best, taken, way = np.full(len(over), np.inf), np.zeros(len(over), np.int64), np.zeros(len(over), np.int64)
    every = np.arange(len(over))
    for place in index.below((most * (SCALE / bins.limits)).astype(np.float32)):
        size = bins.sizes[index.items[place]]
        other = index.rows[place]
        fits = (place >= 0) & ((size <= most) & (given - size <= room[other])).all(2)
        # The other bin is to end as full as may be: its room is no use to others.
        left = ((room[other] - given + size) * (1 / bins.limits)).sum(2)
        left = np.where(fits, left, np.inf)
        least = left.argmin(1)
        is_better = left[every, least] < best
        best = np.where(is_better, left[every, least], best)
        taken, way = np.where(is_better, place[every, least], taken), np.where(is_better, least, way)
    found = np.flatnonzero(best < np.inf)
    found = found[disjoint(over[found], index.rows[taken[found]], bins.num_bins)]
    _apply(bins, index, over[found], columns[found], _ways(width)[way[found]], taken[found])


def _apply(bins: Bins, index: _Index, left: Integers, columns: Integers, way: Integers, taken: Integers) -> None:
    """Replaces; of two items the second goes to an empty slot of the other bin, where there is one."""
    right, column = index.rows[taken], index.columns[taken]
    every = np.arange(len(left))
    first = columns[every, way[:, 0]]
    is_pair = way[:, 1] < columns.shape[1]
    second = np.where(is_pair, columns[every, np.where(is_pair, way[:, 1], 0)], first)
    empty = bins.slots[right] == bins.num_items
    # An index is of a moment: another bin may have taken the item since.
    is_true = (bins.slots[right, column] == index.items[taken]) & (empty.any(1) | ~is_pair)
    left, right, column, first, second = left[is_true], right[is_true], column[is_true], first[is_true], second[is_true]
    is_pair, free = is_pair[is_true], empty[is_true].argmax(1)
    item, ones, twos = bins.slots[right, column], bins.slots[left, first], bins.slots[left, second]
    moved = bins.sizes[item] - bins.sizes[ones] - np.where(is_pair[:, None], bins.sizes[twos], 0)
    bins.slots[left[is_pair], second[is_pair]] = bins.num_items
    bins.slots[left, first] = item
    bins.slots[right, column] = ones
    bins.slots[right[is_pair], free[is_pair]] = twos[is_pair]
    bins.loads[left] += moved
    bins.loads[right] -= moved
