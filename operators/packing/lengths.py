"""Packs one dimension on counts of equal lengths: a step puts many equal items into many equal bins.

A million documents of 9,600 lengths take 32,000 steps at 16,384 tokens, and a million look-ups less.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Step = tuple[int, int, int, int]
"""A length, the first of some bins, their number, and how many items of that length each of them takes."""

NEAR = 1.0001
"""Times the bound that is not worth a third way: it took .2 s of .5 for a million lengths at 16,384 tokens, in vain."""

TRIES = 64
"""Pairs that are tried to end a bin exactly. Where lengths are dense the first fits."""


def pack_lengths(lengths: Integers, capacity: int) -> list[Integers]:
    """The bin of each item [n], in up to three ways; lengths fall, and none is over the capacity.

    The first is best-fit-decreasing. Where it is above the bound, the bins that it left a gap in are packed anew by
    averages, and where that is not near it either, all of them: best-fit fills its last bins when only short items are
    left, all of nearly one length (81,211 bins for 81,178 at 16,384 tokens; packed anew, 81,182).
    """
    bound = -(-int(lengths.sum()) // capacity)
    found = [_numbers(best_fit(lengths, capacity), lengths)]
    filled = np.bincount(found[0], weights=lengths).astype(np.int64)  # exact below 2**53
    if len(filled) <= bound:
        return found
    is_full = filled == capacity
    is_open = ~is_full[found[0]]
    mended = (np.cumsum(is_full) - 1)[found[0]]
    rest = lengths[is_open]
    mended[is_open] = _numbers(fill_to_average(rest, capacity), rest) + int(is_full.sum())
    found.append(mended)
    if int(mended.max()) + 1 > bound * NEAR:
        found.append(_numbers(fill_to_average(lengths, capacity), lengths))
    return found


def best_fit(lengths: Integers, capacity: int) -> Iterator[Step]:
    """Best-fit-decreasing: the longest first, each into the fullest bin that holds it.

    Items of length 0 are spread over the bins. Bins of equal room are ranges of numbers; the latest is taken first.
    """
    bins_of: dict[int, list[tuple[int, int]]] = {}
    rooms: list[int] = []
    num_bins = 0
    for length, waiting in _counts(lengths):
        left = waiting
        if not length:
            yield from _spread(left, max(num_bins, 1))
            continue
        while left:
            place = bisect_left(rooms, length)
            is_new = place == len(rooms)
            room = capacity if is_new else rooms[place]
            # The first bin stays the fullest that holds the length until it holds no more of it.
            each = min(room // length, left)
            if is_new:
                start, stop = num_bins, num_bins + left // each
                num_bins = stop
            else:
                start, stop = bins_of[room].pop()
                if (stop - start) * each > left:
                    bins_of[room].append((start + left // each, stop))
                    stop = start + left // each
                elif not bins_of[room]:
                    del rooms[place]
            yield length, start, stop - start, each
            left -= (stop - start) * each
            room -= each * length
            if room:
                if not bins_of.setdefault(room, []):
                    insort(rooms, room)
                bins_of[room].append((start, stop))


def fill_to_average(lengths: Integers, capacity: int) -> Iterator[Step]:
    """Bins end exactly full: the longest item, then items of the average length that still fills the bin, then a pair.

    That uses up lengths from the long end, a narrow stretch at a time, and one pattern fills as many bins as there
    are items for it. Items of length 0 are spread over the bins.
    """
    stock = _Stock(lengths)
    num_bins = 0
    while stock.lengths:
        longest = stock.lengths[-1]
        pattern = {longest: 1}
        room = capacity - longest
        while room:
            # As few items as can fill the room: of more, the average could fall below the shortest.
            num_items = -(-room // min(longest, room))
            if num_items == 2 and (pair := stock.pair(room, pattern)):
                chosen: tuple[int, ...] = pair
            elif (one := stock.nearest(room // num_items, room, pattern)) is not None:
                chosen = (one,)
            else:
                break
            for length in chosen:
                pattern[length] = pattern.get(length, 0) + 1
                room -= length
        times = min(stock.counts[length] // each for length, each in pattern.items())
        for length, each in pattern.items():
            stock.take(length, times * each)
            yield length, num_bins, times, each
        num_bins += times
    yield from _spread(stock.num_empty, max(num_bins, 1))


def _spread(num_items: int, num_bins: int) -> Iterator[Step]:
    """One item of length 0 into each bin, and again: another dimension may well bind."""
    for before in range(0, num_items, num_bins):
        yield 0, 0, min(num_bins, num_items - before), 1


class _Stock:
    """Items not packed yet: their lengths, ascending, and how many there are of each."""

    def __init__(self, lengths: Integers) -> None:
        self.counts = dict(_counts(lengths))
        self.num_empty = self.counts.pop(0, 0)
        self.lengths = sorted(self.counts)

    def take(self, length: int, num_items: int) -> None:
        self.counts[length] -= num_items
        if not self.counts[length]:
            del self.counts[length]
            del self.lengths[bisect_left(self.lengths, length)]

    def nearest(self, wanted: int, room: int, taken: dict[int, int]) -> int | None:
        """The longest length up to one over `wanted`, otherwise the shortest above that fits the room."""
        middle = bisect_right(self.lengths, min(wanted + 1, room))
        for place in chain(range(middle - 1, -1, -1), range(middle, len(self.lengths))):
            length = self.lengths[place]
            if length > room:
                return None
            if self.counts[length] > taken.get(length, 0):
                return length
        return None

    def pair(self, room: int, taken: dict[int, int]) -> tuple[int, int] | None:
        """Two lengths that fill the room, or come closest among TRIES; the most equal first."""
        best: tuple[int, tuple[int, int]] | None = None
        middle = bisect_right(self.lengths, room // 2)
        for place in range(middle - 1, max(-1, middle - 1 - TRIES), -1):
            short = self.lengths[place]
            long = self.lengths[bisect_right(self.lengths, room - short) - 1]
            gap = room - short - long
            if best is not None and gap >= best[0]:
                continue
            if self.counts[short] - taken.get(short, 0) < 1 + (short == long):
                continue
            if self.counts[long] - taken.get(long, 0) < 1:
                continue
            best = (gap, (short, long))
            if not gap:
                break
        return best and best[1]


def _counts(lengths: Integers) -> Iterator[tuple[int, int]]:
    """Each length and how many there are of it, the longest first."""
    edges = np.flatnonzero(np.diff(lengths, prepend=-1))
    nums = np.diff(edges, append=len(lengths))
    return zip(lengths[edges].tolist(), nums.tolist(), strict=True)


def _numbers(steps: Iterator[Step], lengths: Integers) -> Integers:
    """The bin of each item: equal items go to the steps of their length as the steps came."""
    length, start, bins, each = np.array(list(steps), np.int64).T
    order = np.argsort(-length, kind="stable")
    start, each = start[order], each[order]
    items = bins[order] * each
    before = np.cumsum(items) - items
    within = np.arange(len(lengths)) - np.repeat(before, items)
    numbers: Integers = np.repeat(start, items) + within // np.repeat(each, items)
    return numbers
