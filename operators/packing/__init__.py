"""Assigns items to bins under several limits at once, exactly and deterministically.

Items are ordered by their sizes before anything else looks at them, so that the bins' contents, as sizes, depend on
the multiset of sizes alone; which of several equal items lies where goes by their indices. Several ways are tried and
the best result is taken: counts of equal lengths (`lengths`), items dealt out and exchanged (`several`), and, for the
few thousand items of a usual unit, a plain best-fit-decreasing and subset sums (`small`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from operators.packing.lengths import pack_lengths
from operators.packing.several import pack_several
from operators.packing.small import best_fit_decreasing, fill_bin_by_bin

Sizes = tuple[int, ...]
Integers = npt.NDArray[np.int64]

SMALL = 3000
"""Items up to which the slow ways are tried too: each takes about 0.1 s then."""

REPAIRED = 0.2
"""Share of the bins up to which a packing by tokens alone is put right. Where two limits bind alike it is half."""


def pack_items(items: Sequence[Sizes] | Integers, limits: Sizes, *, any_emptiest: bool = False) -> list[list[int]]:
    """Bins as ascending lists of item indices, each within every limit, the emptiest bin last.

    items: [n, dimensions], not negative, tokens first, as the limits are. any_emptiest: whether it does not matter how
    full the emptiest bin is, as where nothing is done with it: the first way with as few bins as any can have is taken,
    in a third of the time. The sizes in the bins are the same for any
    order of the items. With tokens alone there are never more bins than best-fit-decreasing makes.
    ValueError if an item alone exceeds a limit.
    """
    order, starts = pack_array(items, limits, any_emptiest=any_emptiest)
    members, borders = order.tolist(), starts.tolist()
    return [members[start:end] for start, end in pairwise(borders)]


def pack_array(
    items: Sequence[Sizes] | Integers, limits: Sizes, *, any_emptiest: bool = False
) -> tuple[Integers, Integers]:
    """pack_items as two arrays: item indices [n] bin by bin, and where each bin starts [bins + 1], first 0, last n."""
    sizes = _as_array(items, len(limits))
    _check(sizes, limits)
    if not len(sizes):
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    totals = [int(total) for total in sizes.sum(0)]
    scarcity = sorted(range(len(limits)), key=lambda d: (-totals[d] / limits[d], d))
    order = _decreasing(sizes, scarcity)
    ordered = sizes[order]
    # A limit that all items together do not reach is no limit.
    binding = [d for d in scarcity if totals[d] > limits[d]] or [scarcity[0]]
    bound_by = tuple(limits[d] for d in binding)
    number = _pack(np.ascontiguousarray(ordered[:, binding]), bound_by, ordered[:, 0], any_emptiest=any_emptiest)
    number = _emptiest_last(number, ordered[:, 0])
    of_item = np.empty_like(number)
    of_item[order] = number
    starts = np.concatenate([[0], np.cumsum(np.bincount(number))]).astype(np.int64)
    return _stable_order(of_item), starts


def bound(items: Sequence[Sizes] | Integers, limits: Sizes) -> int:
    """Fewest bins that any packing can need, by the scarcest of the limits."""
    sizes = _as_array(items, len(limits))
    return max((-(-int(total) // limit) for total, limit in zip(sizes.sum(0), limits, strict=True)), default=0)


def _pack(sizes: Integers, limits: Sizes, tokens: Integers, *, any_emptiest: bool) -> Integers:
    """The bin of each item [n], by the best of the ways; sizes in decreasing order, the scarcest limit first."""
    repaired = (_repaired(number, sizes, limits) for number in pack_lengths(sizes[:, 0], limits[0]))
    found = [number for number in repaired if number is not None]
    fewest = bound(sizes, limits)
    ways: list[Callable[[Integers, Sizes], Integers]] = []
    if not found or (len(limits) > 1 and min(map(_num_bins, found)) > fewest):
        ways.append(pack_several)
    if len(sizes) <= SMALL:
        ways += [best_fit_decreasing, fill_bin_by_bin]
    if any_emptiest:
        ways.reverse()  # the quickest first: pack_several takes ten times as long as the others
    for way in ways:
        if any_emptiest and any(_num_bins(number) == fewest for number in found):
            break
        found.append(way(sizes, limits))
    return min(found, key=lambda number: (_num_bins(number), int(_sums(number, tokens).min())))


def _repaired(number: Integers, sizes: Integers, limits: Sizes) -> Integers | None:
    """Bins that exceed one of the limits are packed anew, under all of them, with as many that have most room there.

    None if they are more than REPAIRED of all: then everything is better packed under all limits from the start.
    """
    if len(limits) == 1:
        return number
    sums = np.stack([_sums(number, sizes[:, d]) for d in range(len(limits))], axis=1)
    over: npt.NDArray[np.bool_] = np.any(sums > np.array(limits), axis=1)
    if not over.any():
        return number
    if over.mean() > REPAIRED:
        return None
    fill = (sums[:, 1:] / np.array(limits[1:])).max(1)
    chosen = over.copy()
    chosen[np.argsort(fill, kind="stable")[: int(over.sum())]] = True
    return _anew(number, chosen, sizes, limits)


def _anew(number: Integers, chosen: npt.NDArray[np.bool_], sizes: Integers, limits: Sizes) -> Integers:
    """The items of the chosen bins in new bins, behind the others."""
    moved = chosen[number]
    kept = np.cumsum(~chosen) - 1
    result = kept[number]
    result[moved] = pack_several(sizes[moved], limits) + int((~chosen).sum())
    return result


def _emptiest_last(number: Integers, tokens: Integers) -> Integers:
    filled = _sums(number, tokens)
    emptiest = len(filled) - 1 - int(np.argmin(filled[::-1]))
    places = np.arange(len(filled))
    places[emptiest + 1 :] -= 1
    places[emptiest] = len(filled) - 1
    return places[number]


def _as_array(items: Sequence[Sizes] | Integers, dimensions: int) -> Integers:
    if isinstance(items, np.ndarray):
        return items.astype(np.int64, copy=False).reshape(-1, dimensions)
    return np.fromiter(chain.from_iterable(items), np.int64, len(items) * dimensions).reshape(-1, dimensions)


def _check(sizes: Integers, limits: Sizes) -> None:
    wrong = ((sizes > np.array(limits)) | (sizes < 0)).any(1)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(f"item {i} of sizes {tuple(sizes[i].tolist())} exceeds the limits {limits}, or is negative")


def _decreasing(sizes: Integers, dimensions: Sequence[int]) -> Integers:
    """Indices by falling sizes, the first of the dimensions first; equal items by index."""
    order = np.arange(len(sizes))
    for d in reversed(dimensions):
        rest = int(sizes[:, d].max()) - sizes[:, d]
        order = order[_stable_order(rest[order])]
    return order


def _stable_order(values: Integers) -> Integers:
    """Order of values that are not negative, ascending, equal ones by index.

    16 bits at a time: numpy sorts those by radix, a million lengths in 0.012 s.
    """
    order = np.arange(len(values))
    largest, shift = int(values.max(initial=0)), 0
    while largest >> shift:
        digits = (values >> shift & 0xFFFF).astype(np.uint16)
        order = order[np.argsort(digits[order], kind="stable")]
        shift += 16
    return order


def _num_bins(number: Integers) -> int:
    return int(number.max()) + 1


def _sums(number: Integers, sizes: Integers) -> Integers:
    """Sum of the sizes in each bin, exact."""
    sums = np.zeros(_num_bins(number), np.int64)
    np.add.at(sums, number, sizes)
    return sums
