"""Assigns items to bins under several limits at once: best-fit-decreasing, exact and deterministic."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

Sizes = tuple[int, ...]


def best_fit_decreasing(items: Sequence[Sizes], limits: Sizes) -> list[list[int]]:
    """Bins as lists of item indices, each within every limit; sizes and limits have tokens first.

    The longest item goes first, into the fullest bin that still holds it in every dimension. Items of equal size
    keep their order, so the result depends on the items alone. Indices inside a bin are ascending.
    ValueError if an item alone exceeds a limit.
    """
    open_bins: list[tuple[int, int]] = []  # (tokens left, bin), sorted
    left: list[list[int]] = []
    bins: list[list[int]] = []
    for i in sorted(range(len(items)), key=lambda i: (-items[i][0], *(-size for size in items[i][1:]), i)):
        item = items[i]
        if any(size > limit for size, limit in zip(item, limits, strict=True)):
            raise ValueError(f"item {i} of sizes {item} exceeds the limits {limits}")
        place = bisect_left(open_bins, (item[0], -1))
        while place < len(open_bins) and any(
            size > room for size, room in zip(item[1:], left[open_bins[place][1]][1:], strict=True)
        ):
            place += 1
        if place < len(open_bins):
            _, number = open_bins.pop(place)
        else:
            number = len(bins)
            bins.append([])
            left.append(list(limits))
        bins[number].append(i)
        left[number] = [room - size for room, size in zip(left[number], item, strict=True)]
        if left[number][0] > 0:
            insort(open_bins, (left[number][0], number))
    return [sorted(found) for found in bins]


def bound(items: Sequence[Sizes], limits: Sizes) -> int:
    """Fewest bins that any packing can need, by the scarcest of the limits."""
    return max((-(-sum(item[d] for item in items) // limits[d]) for d in range(len(limits))), default=0)
