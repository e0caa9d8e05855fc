"""Shares as the decimals that a job writes: products of integers decide, on every machine alike."""

from __future__ import annotations

from fractions import Fraction


def decimal(value: float) -> Fraction:
    """What the shortest spelling of a number says: 0.3 is 3/10, not the nearest double below it."""
    return Fraction(str(value))


def share_of(tokens: int, share: Fraction) -> int:
    """That share of so many tokens, rounded down; one at least where there is one, so that no image vanishes."""
    return max(min(tokens, 1), tokens * share.numerator // share.denominator)
