"""The order in which a unit's packs are emitted: blocks of nearly equal vision load, themselves in no order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def order_by_load(loads: Sequence[int], block: int, seed: str) -> list[int]:
    """Numbers of the packs in the order of emission.

    Packs are sorted by load and cut into blocks of `block`, heaviest first in each, so that data-parallel ranks that
    take neighbours of a block have as much to see. Blocks follow each other in an order that hashes of `seed` decide,
    so that neither load nor place in the shards goes with place in the data set; what does not fill a block is last.
    """
    ranked = sorted(range(len(loads)), key=lambda number: (-loads[number], number))
    num_whole = len(ranked) // block
    whole = [ranked[i * block : (i + 1) * block] for i in range(num_whole)]
    shuffled = sorted(range(num_whole), key=lambda i: hashlib.sha256(f"{seed} {i}".encode()).digest())
    return [number for i in shuffled for number in whole[i]] + ranked[num_whole * block :]
