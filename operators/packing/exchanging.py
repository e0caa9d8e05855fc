"""Exchanges items between pairs of bins so that both exceed the limits less."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from operators.packing.bins import SCALE, Bins

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

SLOTS = 4
"""Slots of each bin that take part: with 3, 100,000 documents at 8,192 tokens had ten times the bins over a limit
left in one and a half times the time."""

CHUNK = 512
"""Pairs at once: their 70 costs fit a core's own cache."""


def exchange(bins: Bins, left: Integers, right: Integers) -> None:
    """Divides a few items of each pair of bins anew, where that lowers the sum of the squared excesses.

    left, right: [pairs], different bins in each pair; of pairs that share a bin only that of most gain is changed.
    """
    width = min(SLOTS, bins.slots.shape[1])
    chosen = bins.columns(width, left, right)
    items = np.hstack([bins.slots[left[:, None], chosen[0]], bins.slots[right[:, None], chosen[1]]])
    best, gain = _best(bins, items, left, right)
    kept = np.flatnonzero(gain > 0)
    kept = kept[np.argsort(-gain[kept], kind="stable")]
    kept = kept[disjoint(left[kept], right[kept], bins.num_bins)]
    left, right, items = left[kept], right[kept], items[kept]
    after = np.take_along_axis(items, _divisions(width)[1][best[kept]], axis=1)
    moved = bins.sizes[after[:, :width]].sum(1) - bins.sizes[items[:, :width]].sum(1)
    bins.slots[left[:, None], chosen[0][kept]] = after[:, :width]
    bins.slots[right[:, None], chosen[1][kept]] = after[:, width:]
    bins.loads[left] += moved
    bins.loads[right] -= moved


def disjoint(left: Integers, right: Integers, num_bins: int) -> npt.NDArray[np.bool_]:
    """Which pairs are the first to name either of their bins [pairs]."""
    place = np.arange(len(left))
    first = np.full(num_bins, len(left))
    for side in (left, right):
        # Of several assignments to one place the last holds.
        earliest = np.full(num_bins, len(left))
        earliest[side[::-1]] = place[::-1]
        first = np.minimum(first, earliest)
    both: npt.NDArray[np.bool_] = (first[left] == place) & (first[right] == place)
    return both


@cache
def _divisions(width: int) -> tuple[Floats, Integers]:
    """All ways to give half of 2 * width slots to the left bin, the present one first.

    As zeros and ones [2 * width, ways], and as orders [ways, 2 * width] with the left bin's in front.
    """
    ways = [[*left, *(k for k in range(2 * width) if k not in left)] for left in combinations(range(2 * width), width)]
    orders = np.array(ways, np.int64)
    is_left = np.zeros((2 * width, len(ways)), np.float32)
    is_left[orders[:, :width].T, np.arange(len(ways))] = 1
    return is_left, orders


def _best(bins: Bins, items: Integers, left: Integers, right: Integers) -> tuple[Integers, Floats]:
    """For each pair the way of least excess, and by how much less that is than now."""
    is_left, _ = _divisions(items.shape[1] // 2)
    width = len(is_left) // 2
    best, gain = np.empty(len(items), np.int64), np.empty(len(items), np.float32)
    for start in range(0, len(items), CHUNK):
        part = slice(start, start + CHUNK)
        cost = np.zeros((len(items[part]), is_left.shape[1]), np.float32)
        for d, limit in enumerate(bins.limits):
            share = np.ascontiguousarray(bins.shares[:, d][items[part]])
            over_left, over_right = (
                ((bins.loads[side[part], d] - limit) * (SCALE / float(limit))).astype(np.float32)
                for side in (left, right)
            )
            excess = share @ is_left
            excess += (over_left - share[:, :width].sum(1))[:, None]
            rest = (over_left + over_right)[:, None] - excess
            for over in (excess, rest):
                np.maximum(over, 0, out=over)
                cost += np.multiply(over, over, out=over)
        best[part] = cost.argmin(1)
        gain[part] = cost[:, 0] - cost[np.arange(len(cost)), best[part]]
    return best, gain
