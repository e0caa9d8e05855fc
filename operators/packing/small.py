"""Packs a few thousand items in ways that look at every item: the usual unit has hundreds, and a bin saved counts.

Two ways: best-fit-decreasing, which rarely needs a bin too many, and filling bin by bin by subset sums, which leaves
the slack of all bins in one. Items come in decreasing order.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Sizes = tuple[int, ...]

POOL = 256
"""Items that one bin may choose from: the subset sums of 256 lengths hit nearly every total."""

BLOCK = 128
"""Open bins that are searched one by one."""

MAX_SUMS = 1 << 18
"""Capacity up to which subset sums are bits of an integer: 131,072 tokens, and not the squares of their lengths."""


def best_fit_decreasing(sizes: Integers, limits: Sizes) -> Integers:
    """The bin of each item [n]: in turn each goes into the fullest bin that still holds it in every dimension."""
    items = list(map(tuple, sizes.tolist()))
    number = np.empty(len(items), np.int64)
    num_bins = 0
    open_bins = _OpenBins()
    for i, item in enumerate(items):
        taken = open_bins.take(item)
        number[i], room = taken or (num_bins, limits)
        num_bins += taken is None
        room = _minus(room, item)
        if room[0] > 0:
            open_bins.put(int(number[i]), room)
    return number


class _OpenBins:
    """Bins with room, the fullest first, in blocks that know the most room of any bin in them.

    A search skips the blocks in which nothing fits. Without that it walks past every bin that has tokens left but
    no image: with limits.images at 4, 40,000 documents took 211 seconds, and take 6.
    """

    def __init__(self) -> None:
        self._blocks: list[list[tuple[int, int, Sizes]]] = []  # (tokens left, bin, room), sorted
        self._most: list[Sizes] = []

    def take(self, item: Sizes) -> tuple[int, Sizes] | None:
        """Removes the fullest bin that holds `item`, of equals the first; its number and room."""
        least = (item[0], -1)
        for b in range(bisect_left(self._blocks, least, key=lambda block: block[-1][:2]), len(self._blocks)):
            if not _holds(self._most[b], item):
                continue
            block = self._blocks[b]
            for place in range(bisect_left(block, least, key=lambda entry: entry[:2]), len(block)):
                if _holds(block[place][2], item):
                    _, number, room = block.pop(place)
                    if not block:
                        del self._blocks[b], self._most[b]
                    return number, room
            self._most[b] = _most(block)
        return None

    def put(self, number: int, room: Sizes) -> None:
        entry = (room[0], number, room)
        b = min(bisect_left(self._blocks, entry, key=lambda block: block[-1]), len(self._blocks) - 1)
        if b < 0:
            self._blocks.append([entry])
            self._most.append(room)
            return
        block = self._blocks[b]
        insort(block, entry)
        self._most[b] = tuple(map(max, self._most[b], room))
        if len(block) > BLOCK:
            half = len(block) // 2
            self._blocks[b : b + 1] = [block[:half], block[half:]]
            self._most[b : b + 1] = [_most(block[:half]), _most(block[half:])]


def _most(block: Sequence[tuple[int, int, Sizes]]) -> Sizes:
    return tuple(map(max, *(room for _, _, room in block))) if len(block) > 1 else block[0][2]


def fill_bin_by_bin(sizes: Integers, limits: Sizes) -> Integers:
    """The bin of each item [n]: a bin takes the longest left, and of POOL others those that fill it best.

    The others are the next and the shortest. Where that choice breaks another limit than the first, the bin takes
    what fits, longest first.
    """
    items = list(map(tuple, sizes.tolist()))
    number = np.empty(len(items), np.int64)
    waiting = list(range(len(items)))
    num_bins = 0
    while waiting:
        first = waiting.pop(0)
        room = _minus(limits, items[first])
        places = list(range(len(waiting))) if len(waiting) <= POOL else [*range(POOL // 2), *range(-POOL // 2, 0)]
        chosen = _best_sum([items[waiting[place]][0] for place in places], room[0]) if room[0] < MAX_SUMS else []
        picked = [places[k] % len(waiting) for k in chosen]
        total = tuple(sizes[[waiting[place] for place in picked]].sum(0).tolist())
        if not picked or not _holds(room, total):
            picked = []
            for place in (place % len(waiting) for place in places):
                if _holds(room, items[waiting[place]]):
                    room = _minus(room, items[waiting[place]])
                    picked.append(place)
        number[[first, *(waiting[place] for place in picked)]] = num_bins
        num_bins += 1
        for place in sorted(picked, reverse=True):
            del waiting[place]
    return number


def _best_sum(lengths: Sequence[int], room: int) -> list[int]:
    """Indices of the lengths whose sum comes closest to `room` from below; early ones are preferred.

    Sums are bits of one integer: `reached[k]` has bit s set if some of the first k lengths add up to s.
    """
    mask = (1 << (room + 1)) - 1
    reached = [1]
    for length in lengths:
        # A square of a length may be millions of bits more than the room.
        reached.append((reached[-1] | reached[-1] << length) & mask if length <= room else reached[-1])
        if reached[-1] >> room:
            break
    total = reached[-1].bit_length() - 1
    chosen: list[int] = []
    for k in range(len(reached) - 1, 0, -1):
        if not reached[k - 1] >> total & 1:
            chosen.append(k - 1)
            total -= lengths[k - 1]
    return chosen


def _holds(room: Sizes, item: Sizes) -> bool:
    return all(size <= left for size, left in zip(item, room, strict=True))


def _minus(room: Sizes, item: Sizes) -> Sizes:
    return tuple(left - size for size, left in zip(item, room, strict=True))
