"""Makes bins hold nearly as much of one dimension by exchanges that keep every limit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from operators.packing.bins import Bins, Sizes
from operators.packing.exchanging import divisions

Integers = npt.NDArray[np.int64]

SLOTS = 4
"""Slots of each bin that take part in an exchange: 70 ways to divide what they hold."""
TURNS = 400
"""Exchanges of all bins in pairs: 0.1 s for the quickstart's units of 20 to 38 sequences."""
PAIRS = 40_000
"""Pairs in all, which bounds the time. Among many bins those of like load are even: 1.02 of the mean for 6,400."""


def even_out(sizes: Integers, limits: Sizes, number: Integers, dimension: int) -> Integers:
    """The bin of each item [n], of as many bins, by exchanges that lower the squared sums of a dimension.

    sizes: [n, dimensions] in decreasing order; number: the bin of each item [n].
    """
    num_bins = int(number.max()) + 1
    half = num_bins // 2
    turns = min(TURNS, PAIRS // max(1, half)) if half else 0
    if not turns:
        return number
    bins = Bins(sizes, limits, number, num_bins)
    for turn in range(turns):
        by_load = np.argsort(bins.loads[:, dimension], kind="stable")
        order = bins.shuffled(num_bins) if turn % 2 else by_load
        _exchange(bins, order[:half], order[::-1][:half], dimension)
    return np.unique(bins.number(), return_inverse=True)[1].reshape(-1).astype(np.int64)


def _exchange(bins: Bins, left: Integers, right: Integers, dimension: int) -> None:
    """Divides a few items of each pair anew, in the way in which the sums of the dimension differ least."""
    width = min(SLOTS, bins.slots.shape[1])
    chosen = bins.columns(width, left, right)
    items = np.hstack([bins.slots[left[:, None], chosen[0]], bins.slots[right[:, None], chosen[1]]])
    is_left, orders = divisions(width)
    moved = np.einsum("pid,iw->pwd", bins.sizes[items], is_left.astype(np.int64) - is_left[:, :1].astype(np.int64))
    after_left, after_right = bins.loads[left][:, None] + moved, bins.loads[right][:, None] - moved
    keeps = ((after_left <= bins.limits) & (after_right <= bins.limits)).all(2)
    uneven = np.abs(after_left - after_right)[:, :, dimension]
    best = np.where(keeps, uneven, uneven[:, :1]).argmin(1)
    every = np.arange(len(left))
    after = np.take_along_axis(items, orders[best], axis=1)
    bins.slots[left[:, None], chosen[0]] = after[:, :width]
    bins.slots[right[:, None], chosen[1]] = after[:, width:]
    bins.loads[left] += moved[every, best]
    bins.loads[right] -= moved[every, best]
