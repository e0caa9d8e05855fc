"""Packs under several limits at once: about as few bins as can be are dealt out, then put right.

Dealt bins hold nearly as much of each scarce dimension as they should, many of them a little more than they may. That
is ended by exchanges between pairs of bins, by replacements that are looked up, and, where neither helps any more, by
taking items out into further bins.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from operators.packing.bins import Bins, Sizes
from operators.packing.dealing import deal
from operators.packing.exchanging import exchange
from operators.packing.relieving import relieve
from operators.packing.replacing import replace
from operators.packing.small import best_fit_decreasing

Integers = npt.NDArray[np.int64]

SPARE = 0.002
"""Bins more than the bound, from the start: with none, all bins would have to be exactly full."""
PASSES = 8
"""Exchanges of all bins in pairs, before the search. 30 gained .0005 at 8,192 tokens and lost .004 at 4,096."""
PAIRS = 8192
"""Pairs of an exchange in the search, unless more bins exceed a limit; and at most 8 to an item."""
EXCHANGES = 8
"""Exchanges to a replacement."""
ENOUGH = 0.8
"""Share of the bins over a limit that may be left of a round of the search that helped."""
PATIENCE = 3
"""Rounds in a row that did not help before items are taken out: with 1, 8,192 tokens take .1 % more bins."""
TURNS = 60
"""Times that items are taken out, of a quarter of the bins over a limit or of eight: 100,000 bins take about 45."""


def pack_several(sizes: Integers, limits: Sizes) -> Integers:
    """The bin of each item [n]. sizes: [n, dimensions], in decreasing order, the two scarcest dimensions first."""
    least = max(-(-int(total) // limit) for total, limit in zip(sizes.sum(0), limits, strict=True))
    num_bins = max(1, min(len(sizes), least + int(SPARE * least)))
    bins = Bins(sizes, limits, deal(sizes, limits, num_bins), num_bins)
    _even_out(bins)
    for _ in range(TURNS):
        if not len(bins.over()):
            break
        _search(bins)
        relieve(bins)
    return _settled(bins)


def _even_out(bins: Bins) -> None:
    """Pairs the bins that have most in some direction with those that have least, and any with any, in turns."""
    half = bins.num_bins // 2
    for turn in range(PASSES):
        if turn % 2:
            order = bins.shuffled(bins.num_bins)
        else:
            share = bins.loads / bins.limits
            first, second = share[:, 0], share[:, min(1, share.shape[1] - 1)]
            order = np.argsort((first, second, first + second, first - second)[turn // 2 % 4], kind="stable")
        exchange(bins, order[:half], order[::-1][:half])


def _search(bins: Bins) -> None:
    """Replaces and exchanges until no bin exceeds a limit, or it does not help any more."""
    failed = 0
    while failed < PATIENCE and bins.num_bins > 1 and len(before := bins.over()):
        replace(bins)
        for _ in range(EXCHANGES):
            left = bins.over()
            left = np.repeat(left, -(-min(PAIRS, 8 * bins.num_items) // max(1, len(left))))
            right = (left + 1 + bins.draw(len(left), bins.num_bins - 1)) % bins.num_bins
            exchange(bins, left, right)
        failed = failed + 1 if len(bins.over()) > ENOUGH * len(before) else 0


def _settled(bins: Bins) -> Integers:
    """The bin of each item; what still exceeds a limit is packed anew, item by item."""
    number = bins.number()
    moved = np.isin(number, bins.over())
    if moved.any():
        limits = tuple(bins.limits.tolist())
        number[moved] = best_fit_decreasing(bins.sizes[:-1][moved], limits) + bins.num_bins
    return np.unique(number, return_inverse=True)[1].reshape(-1).astype(np.int64)
