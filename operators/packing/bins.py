"""Bins under several limits, as arrays: what is in each, how full it is, and which exceed a limit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Sizes = tuple[int, ...]

SCALE = 1 << 20
"""A full bin in `shares`. Sums of eight shares are exact in 32-bit floats, in whatever order they are added."""

SEED = 2


class Bins:
    """Items [n] in bins [K]. Bins may exceed limits: to end that is what `exchange`, `replace` and `relieve` are for.

    `slots` [K, width] holds items that may move, the number n for none. Of a bin with many times the usual number of
    items the smallest stay where they are, so that memory is a few times that of the items.
    """

    def __init__(self, sizes: Integers, limits: Sizes, number: Integers, num_bins: int) -> None:
        """sizes: [n, dimensions] in decreasing order; number: the bin of each item [n]."""
        self.num_items = len(sizes)
        self.limits = np.array(limits, np.int64)
        self.sizes = np.vstack([sizes, np.zeros((1, len(limits)), np.int64)])
        self.shares = shares(self.sizes, limits)
        self._number = number.copy()
        self._bits = np.random.PCG64(SEED)
        usual = -(-self.num_items // num_bins)
        width = min(int(np.bincount(number).max()) + 1, 4 * usual + 8)
        self.slots = _rows(np.arange(self.num_items), number, num_bins, width, self.num_items)
        self.loads = np.stack([_sums(number, sizes[:, d], num_bins) for d in range(len(limits))], axis=1)

    @property
    def num_bins(self) -> int:
        return len(self.slots)

    def over(self) -> Integers:
        """Numbers of the bins that exceed a limit."""
        return np.flatnonzero((self.loads > self.limits).any(1))

    def number(self) -> Integers:
        """The bin of each item [n]."""
        number = self._number.copy()
        rows, columns = np.nonzero(self.slots < self.num_items)
        number[self.slots[rows, columns]] = rows
        return number

    def add(self, items: Integers, number: Integers, num_bins: int) -> None:
        """Opens bins for items that are in no slot any more; number: which of the new bins each goes to."""
        self._number[items] = number + self.num_bins
        rows = _rows(items, number, num_bins, self.slots.shape[1], self.num_items)
        loads = [_sums(number, self.sizes[items, d], num_bins) for d in range(len(self.limits))]
        self.slots = np.vstack([self.slots, rows])
        self.loads = np.vstack([self.loads, np.stack(loads, axis=1)])

    def draw(self, count: int, below: int) -> Integers:
        """Integers from 0 to below - 1, the same in every process: numpy keeps the raw stream of a generator."""
        return ((self._bits.random_raw(count) >> np.uint64(32)).astype(np.int64) * below) >> 32

    def columns(self, width: int, *rows: Integers) -> list[Integers]:
        """For each of some lists of bins, slots [bins, width] of theirs: neighbours in an order drawn for all."""
        order = self.shuffled(self.slots.shape[1])
        return [order[(self.draw(len(one), len(order))[:, None] + np.arange(width)) % len(order)] for one in rows]

    def shuffled(self, count: int) -> Integers:
        return np.argsort(self._bits.random_raw(count), kind="stable")


def shares(sizes: Integers, limits: Sizes) -> npt.NDArray[np.float32]:
    """Of each limit, in whole parts of SCALE: good to choose by, not to keep limits by."""
    return np.rint(sizes * (SCALE / np.array(limits, np.float64))).astype(np.float32)


def _rows(items: Integers, number: Integers, num_bins: int, width: int, nothing: int) -> Integers:
    """Items by bin [bins, width], the first in front; what a row has no place for is left out."""
    order = np.argsort(number, kind="stable")
    counts = np.bincount(number, minlength=num_bins)
    place = np.arange(len(items)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.full((num_bins, width), nothing)
    kept = place < width
    rows[number[order][kept], place[kept]] = items[order][kept]
    return rows


def _sums(number: Integers, sizes: Integers, num_bins: int) -> Integers:
    sums = np.zeros(num_bins, np.int64)
    np.add.at(sums, number, sizes)
    return sums
