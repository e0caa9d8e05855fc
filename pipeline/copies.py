"""How often the data set holds a sample: exactly its source's weight, to within one sample in any run of a shard's."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from functools import cache, lru_cache

PHASES = 1 << 32


def num_copies(shard: str, ordinal: int, weight: float) -> int:
    """Copies of a shard's sample `ordinal`, from 0; a pure function of the three, so no other shard or unit moves it.

    weight: of the source, taken as its decimal text says it. Any n samples in a row have n * weight copies together,
    less than one more or fewer; a weight of 1 gives 1 each.
    """
    phase = phase_of(shard)
    return copies_before(ordinal + 1, weight, phase) - copies_before(ordinal, weight, phase)


def copies_before(ordinal: int, weight: float, phase: int) -> int:
    """Copies of the samples 0 to ordinal-1 together: floor(ordinal * weight + phase / PHASES), in integers alone."""
    ratio = _ratio(weight)
    numerator = ordinal * ratio.numerator * PHASES + phase * ratio.denominator
    return numerator // (ratio.denominator * PHASES)


@cache
def _ratio(weight: float) -> Fraction:
    return Fraction(str(weight))  # 0.1 is a tenth; the float is not


@lru_cache(maxsize=256)  # asked for every sample, shard by shard
def phase_of(shard: str) -> int:
    """Where a shard begins to count, 0 to PHASES - 1: without it all shards would leave out their first samples."""
    return int.from_bytes(hashlib.sha256(f"copies {shard}".encode()).digest()[:4], "big")
