"""Assigns items to bins under several limits at once, exactly and deterministically.

Two ways, and the better result of both: best-fit-decreasing, which rarely needs a bin too many, and filling bin by
bin by subset sums, which leaves the slack of all bins in one.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

Sizes = tuple[int, ...]
Bins = list[list[int]]

POOL = 256
"""Items that one bin may choose from: the subset sums of 256 lengths hit nearly every total."""


BLOCK = 128
"""Open bins that are searched one by one."""


def pack_items(items: Sequence[Sizes], limits: Sizes) -> Bins:
    """Bins as ascending lists of item indices, each within every limit, the emptiest bin last.

    Sizes and limits have tokens first. Fewer bins win; of equally many, those that leave the emptiest bin emptiest.
    Depends on the items and their order alone. ValueError if an item alone exceeds a limit.
    """
    for i, item in enumerate(items):
        if any(size > limit for size, limit in zip(item, limits, strict=True)):
            raise ValueError(f"item {i} of sizes {item} exceeds the limits {limits}")

    def tokens(members: Sequence[int]) -> int:
        return sum(items[i][0] for i in members)

    found = [way(items, limits) for way in (best_fit_decreasing, fill_bin_by_bin)]
    bins = min(found, key=lambda bins: (len(bins), min(map(tokens, bins), default=0)))
    emptiest = min(range(len(bins)), key=lambda number: (tokens(bins[number]), -number), default=0)
    return [sorted(members) for members in [*bins[:emptiest], *bins[emptiest + 1 :], *bins[emptiest : emptiest + 1]]]


def best_fit_decreasing(items: Sequence[Sizes], limits: Sizes) -> Bins:
    """The longest item first, each into the fullest bin that still holds it in every dimension."""
    bins: Bins = []
    open_bins = _OpenBins()
    for i in _decreasing(items):
        number, room = open_bins.take(items[i]) or (len(bins), limits)
        if number == len(bins):
            bins.append([])
        bins[number].append(i)
        room = _minus(room, items[i])
        if room[0] > 0:
            open_bins.put(number, room)
    return bins


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


def fill_bin_by_bin(items: Sequence[Sizes], limits: Sizes) -> Bins:
    """Each bin takes the longest item left and, of the POOL next and shortest, those that fill it best.

    Where that choice breaks another limit than tokens, the bin takes what fits, longest first.
    """
    waiting = _decreasing(items)
    bins: Bins = []
    while waiting:
        first = waiting.pop(0)
        room = _minus(limits, items[first])
        places = list(range(len(waiting))) if len(waiting) <= POOL else [*range(POOL // 2), *range(-POOL // 2, 0)]
        chosen = _best_sum([items[waiting[place]][0] for place in places], room[0])
        picked = [places[k] % len(waiting) for k in chosen]
        if not _holds(room, _total([items[waiting[place]] for place in picked], len(limits))):
            picked = []
            for place in (place % len(waiting) for place in places):
                if _holds(room, items[waiting[place]]):
                    room = _minus(room, items[waiting[place]])
                    picked.append(place)
        bins.append([first, *(waiting[place] for place in picked)])
        for place in sorted(picked, reverse=True):
            del waiting[place]
    return bins


def bound(items: Sequence[Sizes], limits: Sizes) -> int:
    """Fewest bins that any packing can need, by the scarcest of the limits."""
    return max((-(-sum(item[d] for item in items) // limits[d]) for d in range(len(limits))), default=0)


def _best_sum(lengths: Sequence[int], room: int) -> list[int]:
    """Indices of the lengths whose sum comes closest to `room` from below; early ones are preferred.

    Sums are bits of one integer: `reached[k]` has bit s set if some of the first k lengths add up to s.
    """
    mask = (1 << (room + 1)) - 1
    reached = [1]
    for length in lengths:
        reached.append((reached[-1] | reached[-1] << length) & mask)
        if reached[-1] >> room:
            break
    total = reached[-1].bit_length() - 1
    chosen: list[int] = []
    for k in range(len(reached) - 1, 0, -1):
        if not reached[k - 1] >> total & 1:
            chosen.append(k - 1)
            total -= lengths[k - 1]
    return chosen


def _decreasing(items: Sequence[Sizes]) -> list[int]:
    return sorted(range(len(items)), key=lambda i: (*(-size for size in items[i]), i))


def _holds(room: Sizes, item: Sizes) -> bool:
    return all(size <= left for size, left in zip(item, room, strict=True))


def _minus(room: Sizes, item: Sizes) -> Sizes:
    return tuple(left - size for size, left in zip(item, room, strict=True))


def _total(items: Sequence[Sizes], dimensions: int) -> Sizes:
    return tuple(sum(item[d] for item in items) for d in range(dimensions))
