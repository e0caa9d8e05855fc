"""Samples that were made of others, told from them by the output contract alone: bits 40 and up of their ordinal."""

from __future__ import annotations

READ_ORDINALS = 1 << 40


def original_of(ordinal: int) -> int:
    """The ordinal of the sample that was read: of a derived one its original's, of another its own."""
    return ordinal % READ_ORDINALS
