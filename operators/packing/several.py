"""Packs under several limits at once: a bin takes items whose sizes complement each other, and ends with a pair.

Sizes are scaled so that a bin's share of the two scarcest dimensions is SCALE in each; `sum` and `skew` are the sum and
the difference of the two. Items stand in strips of like skew, ascending by sum within a strip, so that the item nearest
to a wanted (sum, skew) that a bin has room for is found in a few strips.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import le, sub

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Sizes = tuple[int, ...]

SCALE = 1 << 20
MAX_STRIPS = 64
"""Of 64 and 256 strips 64 packed as well (100,000 documents at 16,384 tokens) and 1.4 times as fast."""
WIDE = 32
"""Strips that are searched for an item that fits at all; 8 for one that ends a bin, 6 and 3 for a pair, 2 otherwise."""
STEPS = 4
"""Items of a strip that are tried."""
GOOD = SCALE // 500
"""Room in both dimensions that may be left of a bin without looking further: 0.1 % of each."""


def pack_several(sizes: Integers, limits: Sizes) -> Integers:
    """The bin of each item [n]. sizes: [n, dimensions], in decreasing order, the two scarcest dimensions first.

    Each bin starts with the largest item left, and takes items of the mean size that it lacks until a pair ends it.
    Further dimensions are kept to and not aimed at.
    """
    return _Packing(sizes, limits).run()


class _Packing:
    """Items in strips, and the bin being filled: its room in each dimension, and what it lacks of its share."""

    def __init__(self, sizes: Integers, limits: Sizes) -> None:
        num_bins = max(-(-int(total) // limit) for total, limit in zip(sizes.sum(0), limits, strict=True))
        scaled = [
            sizes[:, d] * (SCALE * num_bins / max(1, int(sizes[:, d].sum()))) for d in (0, min(1, len(limits) - 1))
        ]
        a, b = (column.astype(np.int64) for column in scaled)
        weight, skew = np.maximum(a, b), b - a
        self._limits = limits
        self._sizes = list(map(tuple, sizes.tolist()))
        self._a, self._b, self._weight = a.tolist(), b.tolist(), weight.tolist()
        self._largest_first: list[int] = np.argsort(-weight, kind="stable").tolist()
        self._next = 0
        self._num_left, self._weight_left = len(sizes), int(weight.sum())
        self._strips = _Strips(a + b, skew)
        self._number = np.full(len(sizes), -1, np.int64)

    def run(self) -> Integers:
        num_bins = 0
        while self._num_left:
            self._room, self._lack = self._limits, (SCALE, SCALE)
            self._put(self._largest(), num_bins)
            while self._num_left and (chosen := self._choose()):
                for item in chosen:
                    self._put(item, num_bins)
            num_bins += 1
        return self._number

    def _put(self, item: int, number: int) -> None:
        self._number[item] = number
        self._strips.remove(item)
        self._num_left -= 1
        self._weight_left -= self._weight[item]
        self._room = tuple(map(sub, self._room, self._sizes[item]))
        self._lack = self._lack[0] - self._a[item], self._lack[1] - self._b[item]

    def _largest(self) -> int:
        while self._strips.is_gone[self._largest_first[self._next]]:
            self._next += 1
        return self._largest_first[self._next]

    def _choose(self) -> tuple[int, ...]:
        """Items that the bin takes next: none, one, or the pair that ends it."""
        most = max(self._lack)
        mean = max(1, min(self._weight[self._largest()], self._weight_left // self._num_left))
        num_items = max(1, -(-most // mean))
        if num_items == 2 and (pair := self._pair()):
            return pair
        found = self._near(num_items, 2 if num_items > 2 else 8)
        if found is not None:
            return (found,)
        if most > GOOD:
            # Nothing of that size is left that fits: larger items first, then smaller ones.
            for part in (
                *(num_items >> k for k in range(1, num_items.bit_length())),
                *(num_items << k for k in (1, 2, 3, 4)),
            ):
                found = self._near(part, WIDE)
                if found is not None:
                    return (found,)
        return ()

    def _near(self, part: int, num_strips: int) -> int | None:
        """The item nearest to a part of what the bin lacks."""
        lack = self._lack[0] // part, self._lack[1] // part
        found = self._candidates(lack, self._room, num_strips, is_last=part <= 1)
        return min(found)[1] if found else None

    def _pair(self) -> tuple[int, int] | None:
        best: tuple[int, tuple[int, int]] | None = None
        for _, item in sorted(self._candidates((self._lack[0] // 2, self._lack[1] // 2), self._room, 6)):
            room = tuple(map(sub, self._room, self._sizes[item]))
            lack = self._lack[0] - self._a[item], self._lack[1] - self._b[item]
            others = self._candidates(lack, room, 3, is_last=True, without=item)
            if others and (best is None or min(others)[0] < best[0]):
                best = min(others)[0], (item, min(others)[1])
            if best is not None and best[0] < GOOD:
                break
        return best and best[1]

    def _candidates(
        self, lack: tuple[int, int], room: Sizes, num_strips: int, *, is_last: bool = False, without: int = -1
    ) -> list[tuple[int, int]]:
        """From each of the strips nearest in skew the item that fits and comes closest from below: distance, item.

        is_last: the item is to stay within what is lacking in both dimensions, and not in their sum alone.
        """
        found = []
        wanted = lack[0] + lack[1]
        for strip in self._strips.nearest(lack[1] - lack[0], num_strips):
            middle = self._strips.middles[strip]
            most = min(wanted, 2 * lack[1] - middle, 2 * lack[0] + middle) if is_last else wanted
            for item in self._strips.below(strip, most):
                if item != without and all(map(le, self._sizes[item], room)):
                    found.append((abs(lack[0] - self._a[item]) + abs(lack[1] - self._b[item]), item))
                    break
        return found


class _Strips:
    """Items by skew in strips of equal number, by sum in a strip; items that are gone are skipped by short cuts."""

    def __init__(self, sums: Integers, skews: Integers) -> None:
        num_strips = max(1, min(MAX_STRIPS, int(len(sums) ** 0.5 / 2)))
        strips = [
            part[np.argsort(sums[part], kind="stable")]
            for part in np.array_split(np.argsort(skews, kind="stable"), num_strips)
        ]
        self.middles: list[int] = [int(np.sort(skews[part])[len(part) // 2]) for part in strips]
        self.is_gone = bytearray(len(sums))
        self._least: list[int] = [int(skews[part].min()) for part in strips]
        self._items: list[list[int]] = [part.tolist() for part in strips]
        self._sums: list[list[int]] = [sums[part].tolist() for part in strips]
        self._num_left = [len(part) for part in strips]
        # shorter[strip][k]: k if item k - 1 of the strip is there, otherwise a smaller k that leads on; 0 is none.
        self._shorter = [list(range(len(part) + 1)) for part in strips]
        place = np.empty((2, len(sums)), np.int64)
        for number, part in enumerate(strips):
            place[0, part], place[1, part] = number, np.arange(len(part))
        self._place: list[tuple[int, int]] = list(zip(*place.tolist(), strict=True))

    def remove(self, item: int) -> None:
        strip, place = self._place[item]
        self._shorter[strip][place + 1] = place
        self._num_left[strip] -= 1
        self.is_gone[item] = 1

    def nearest(self, skew: int, num_strips: int) -> list[int]:
        """Strips that are not empty, the one that holds the skew first, then by distance."""
        least, num_left = self._least, self._num_left
        lower = max(0, bisect_right(least, skew) - 1)
        upper = lower + 1
        found: list[int] = []
        while len(found) < num_strips:
            while lower >= 0 and not num_left[lower]:
                lower -= 1
            while upper < len(least) and not num_left[upper]:
                upper += 1
            if lower < 0 and upper == len(least):
                break
            if upper == len(least) or (lower >= 0 and skew - least[lower] <= least[upper] - skew):
                found.append(lower)
                lower -= 1
            else:
                found.append(upper)
                upper += 1
        return found

    def below(self, strip: int, most: int) -> list[int]:
        """Up to STEPS items of a strip whose sum is at most `most`, the largest first."""
        shorter, items = self._shorter[strip], self._items[strip]
        found: list[int] = []
        place = bisect_right(self._sums[strip], most)
        while len(found) < STEPS:
            root = place
            while shorter[root] != root:
                root = shorter[root]
            while shorter[place] != root:
                shorter[place], place = root, shorter[place]
            if not root:
                break
            found.append(items[root - 1])
            place = root - 1
        return found
