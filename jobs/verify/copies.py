"""How often each sample must be in the packs: by fractions, apart from the integers that the build counts with."""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from fractions import Fraction


class Copies:
    """Copies of each sample of a shard under a weight. In all, the first n samples have floor(n * weight + phase)."""

    def __init__(self, shard: str, weight: float) -> None:
        self._weight = Fraction(Decimal(repr(weight)))
        self._phase = Fraction(int(hashlib.sha256(f"copies {shard}".encode()).hexdigest()[:8], 16), 16**8)

    def of(self, ordinal: int) -> int:
        return math.floor((ordinal + 1) * self._weight + self._phase) - math.floor(ordinal * self._weight + self._phase)
