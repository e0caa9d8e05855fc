"""Takes items out of bins that exceed a limit: into other bins that have room, or into new ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from operators.packing.bins import Bins
from operators.packing.dealing import deal

Integers = npt.NDArray[np.int64]

PART = 4
"""Of the bins over a limit, 1 / PART loses an item at a time: the others may find room in what that leaves behind."""
LEAST = 8
"""But at least so many."""
ROOMY = 2048
"""Bins with most room that are asked for a place."""


def relieve(bins: Bins) -> None:
    """Takes one item out of each of the bins from which that wastes least.

    The item is the smallest that ends the excess, or that which lessens it most; what it has more than the excess is
    wasted.
    """
    over = bins.over()
    held = bins.slots[over]
    sizes = bins.sizes[held]
    excess = np.maximum(bins.loads[over] - bins.limits, 0)[:, None, :]
    share = (sizes / bins.limits).sum(2)
    relief = (np.minimum(sizes, excess) / bins.limits).sum(2)
    dimensions = len(bins.limits)
    # The first are above 0 and the others below.
    value = np.where((sizes >= excess).all(2), dimensions + 1 - share, relief - dimensions - 1)
    column = np.where(held < bins.num_items, value, -np.inf).argmax(1)
    every = np.arange(len(over))
    waste = (share - relief)[every, column]
    chosen = np.argsort(waste, kind="stable")[: max(LEAST, len(over) // PART)]
    over, column = over[chosen], column[chosen]
    items = bins.slots[over, column]
    is_item = items < bins.num_items
    bins.slots[over, column] = bins.num_items
    bins.loads[over] -= bins.sizes[items]
    items = _inserted(bins, np.sort(items[is_item]))
    if len(items):
        sizes = bins.sizes[items]
        num_bins = max(1, int((-(-sizes.sum(0) // bins.limits)).max()))
        bins.add(items, deal(sizes, tuple(bins.limits.tolist()), num_bins), num_bins)


def _inserted(bins: Bins, items: Integers) -> Integers:
    """Puts items into the fullest bins that hold them; returns those that fit nowhere."""
    room = bins.limits - bins.loads
    has_slot = (bins.slots == bins.num_items).any(1)
    least = np.where(has_slot, (room / bins.limits).min(1), -1)
    roomy = np.argsort(-least, kind="stable")[:ROOMY]
    room = np.where(has_slot[roomy, None], room[roomy], -1)
    rest = []
    for item in items.tolist():
        size = bins.sizes[item]
        holds = np.flatnonzero((room >= size).all(1))
        if not len(holds):
            rest.append(item)
            continue
        chosen = holds[(room[holds] / bins.limits).sum(1).argmin()]
        row = bins.slots[roomy[chosen]]
        empty = np.flatnonzero(row == bins.num_items)
        row[empty[0]] = item
        bins.loads[roomy[chosen]] += size
        room[chosen] = room[chosen] - size if len(empty) > 1 else -1
    return np.array(rest, np.int64)
