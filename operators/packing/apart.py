"""Packs documents that come in several copies so that two copies of one lie in different bins where that can be.

Copies of a document are dealt to groups, no two to one group, and each group is packed by itself. What lies in the
emptiest bin of each group is packed once more, together; where that, or too few bins for so many copies, puts two
copies into one bin, items change places. No bin is ever added for it: of three bins, one of four copies meets another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from operators.packing import Integers, Sizes, pack_items

MOST_MOVES = 1000
"""Items that are looked at, in one try, for another place: each costs a pass over all items."""
TRIES = 4
"""Times that other groups are tried while copies meet: up to 6 did in 6 of 40 tries with 458 documents, 4 or 10 times
each, and none did at 1.5 to 2.5 times."""


class Owner(NamedTuple):
    """One part of one copy of a document."""

    document: int
    copy: int


def pack_apart(
    items: Sequence[Owner],
    sizes: Sequence[Sizes] | Integers,
    limits: Sizes,
    seed: str,
    *,
    any_emptiest: bool = False,
) -> list[list[int]]:
    """Bins as ascending lists of item indices, each within every limit, the emptiest last; `pack_items` without copies.

    sizes: of each item. seed: decides which groups a document's copies go to. When it is done, no two copies share a
    bin that moving one of them to another bin, or changing it for one item there, would part (MOST_MOVES aside).
    any_emptiest: as for `pack_items`.
    """
    if not any(item.copy for item in items):
        return pack_items(sizes, limits, any_emptiest=any_emptiest)
    sizes = np.array(sizes, np.int64)
    best: tuple[int, int] | None = None
    chosen: list[list[int]] = []
    for number in range(TRIES):
        bins = _pack_groups(items, sizes, limits, f"{seed} {number}")
        cost = (len(bins), _num_met(bins, items))
        if best is None or cost < best:
            best, chosen = cost, bins
        if not best[1]:
            break
    return chosen


def _num_met(bins: Sequence[Sequence[int]], items: Sequence[Owner]) -> int:
    """Copies that share a bin with another copy of their document."""
    return sum(len({items[i] for i in one}) - len({items[i].document for i in one}) for one in bins)


def _pack_groups(items: Sequence[Owner], sizes: Integers, limits: Sizes, seed: str) -> list[list[int]]:
    """The bins of one try."""
    most = max(item.copy for item in items)
    # One group more than copies: with as many, groups of whole weights would hold the same documents, hence be packed
    # alike, and packs of one load are neighbours, which the ranks of one step take.
    bins, left = [], []
    for group in _groups(items, most + 2, seed):
        packed = [[group[i] for i in one] for one in pack_items(sizes[np.array(group, np.int64)], limits)]
        bins += packed[:-1]
        left += packed[-1] if packed else []
    left.sort()
    bins += [[left[i] for i in one] for one in pack_items(sizes[np.array(left, np.int64)], limits)]
    number = _parted(bins, items, sizes, np.array(limits))
    bins = [np.flatnonzero(number == i).tolist() for i in range(len(bins))]
    emptiest = min(range(len(bins)), key=lambda i: (int(sizes[bins[i], 0].sum()), -i))
    return [*bins[:emptiest], *bins[emptiest + 1 :], bins[emptiest]]


def _groups(items: Sequence[Owner], num_groups: int, seed: str) -> list[list[int]]:
    """Item indices by group; a document's copies are in groups that follow each other, from one that a hash decides."""
    groups: list[list[int]] = [[] for _ in range(num_groups)]
    for i, item in enumerate(items):
        first = int.from_bytes(hashlib.sha256(f"{seed} {item.document}".encode()).digest()[:8], "big")
        groups[(first + item.copy) % num_groups].append(i)
    return groups


def _parted(bins: Sequence[Sequence[int]], items: Sequence[Owner], sizes: Integers, limits: Integers) -> Integers:
    """The bin of each item [n], after items that share one with another copy of their document have moved."""
    number = np.empty(len(items), np.int64)
    for i, one in enumerate(bins):
        number[one] = i
    documents, copies = (np.array(column, np.int64) for column in zip(*items, strict=True))
    sums = np.zeros((len(bins), len(limits)), np.int64)
    np.add.at(sums, number, sizes)
    looked_at, is_moved = 0, True
    while is_moved and looked_at < MOST_MOVES:
        is_moved = False
        for i in _meeting(number, documents, copies):
            looked_at += 1
            other = _place(i, number, documents, copies, sizes, sums, limits)
            if other is None:
                continue
            is_moved = True
            here, (there, back) = number[i], other
            for j, start, end in ((i, here, there), *(((back, there, here),) if back is not None else ())):
                number[j] = end
                sums[start] -= sizes[j]
                sums[end] += sizes[j]
    return number


def _meeting(number: Integers, documents: Integers, copies: Integers) -> Iterator[int]:
    """Items that share their bin with another copy of their document when it is their turn."""
    _, of_pair = np.unique(np.stack([number, documents]), axis=1, return_inverse=True)
    least, most = np.full(len(number), copies.max()), np.zeros_like(copies)
    np.minimum.at(least, of_pair, copies)
    np.maximum.at(most, of_pair, copies)
    for i in np.flatnonzero(least[of_pair] < most[of_pair]).tolist():
        if np.any((number == number[i]) & (documents == documents[i]) & (copies != copies[i])):
            yield i


def _place(
    i: int,
    number: Integers,
    documents: Integers,
    copies: Integers,
    sizes: Integers,
    sums: Integers,
    limits: Integers,
) -> tuple[int, int | None] | None:
    """Another bin for item i, and what comes back for it, if anything does; None if there is no such bin.

    Neither item meets another copy of its document where it comes to.
    """
    here = int(number[i])
    is_apart = np.ones(len(sums), bool)
    is_apart[number[(documents == documents[i]) & (copies != copies[i])]] = False
    is_apart[here] = False
    room = is_apart & np.all(sums + sizes[i] <= limits, axis=1)
    if room.any():
        return int(np.argmax(room)), None
    fits = np.all(sums[number] - sizes + sizes[i] <= limits, axis=1)
    fits &= np.all(sums[here] - sizes[i] + sizes <= limits, axis=1) & is_apart[number]
    staying = (number == here) & (np.arange(len(number)) != i)
    held: dict[int, set[int]] = {}
    for document, copy in zip(documents[staying].tolist(), copies[staying].tolist(), strict=True):
        held.setdefault(document, set()).add(copy)
    for j in np.flatnonzero(fits).tolist():
        if not held.get(int(documents[j]), set()) - {int(copies[j])}:
            return int(number[j]), j
    return None
